"""An erasure stays one: in the ledger, in the journals of all servers, and after a restore (LAW.md R45, R51)."""

from __future__ import annotations

import json

from tests.flows.conftest import NOW, TOKENS, kept_in_step, locked, reported
from tests.flows.test_in_step import ANNA, TODAY, Server, Start, after, copy_of, person, put_back, start
from tracker.core.consent import ConsentPolicy
from tracker.flows.subject import Request, Subjects
from tracker.model import LedgerEvent, NoKind

__all__ = ["start"]  # a fixture


async def erase(server: Server, hours: float = 1) -> bool:
    subjects = Subjects(server.store, lambda: TOKENS, ConsentPolicy(), server.in_step)
    return await subjects.erase(ANNA, Request("cli"), after(hours=hours))


def kinds(server: Server, journal: str) -> list[str]:
    """What a journal says of Anna."""
    lines = (server.folder / journal / "2026-11.journal").read_text().splitlines()
    said = [json.loads(line.rpartition(" ")[0]) for line in lines]
    return [one["kind"] for one in said if one.get("pseudonym") == person(ANNA).hex()]


async def test_r45_an_erasure_by_another_server_is_one_in_the_journal_of_this_one(start: Start) -> None:
    """R45: yesterday's database comes back, and the server that erased is gone for good."""
    one = await start()
    await kept_in_step(one.store, one.folder / "other")
    other = await start("other")
    await one.consents.report(reported(ANNA, reference="77"), NOW)
    for server in (one, other):
        await server.in_step.keep(after(minutes=2))
    yesterday = copy_of(one.folder)
    assert await erase(one)
    await other.in_step.keep(after(hours=2))
    assert kinds(one, "other") == kinds(one, "journal") == [NoKind.ERASURE]
    await other.store.close()
    await put_back(one, yesterday)
    other = await start("other", now=after(days=1))
    held = await other.store.held(person(ANNA), TODAY)
    assert held.is_only_lawful_rest
    assert [entry.event for entry in held.history] == ["given", "erased"]
    again = await start(now=after(days=1))
    assert not again.in_step.trouble
    assert await again.events(ANNA) == ["given", "erased"], "each server replays it, once is enough"


async def test_r51_an_erasure_of_somebody_whom_the_older_database_does_not_know_stays_one(start: Start) -> None:
    """R51: what a still older backup has of them goes as well, whoever replays."""
    server = await start()
    await server.in_step.keep(after(minutes=2))
    yesterday = copy_of(server.folder)
    await server.consents.report(reported(ANNA, reference="77"), NOW)
    assert await erase(server)
    await server.in_step.keep(after(hours=2))
    await put_back(server, yesterday)
    again = await start(now=after(days=1))
    assert await again.silent(ANNA)
    assert await again.events(ANNA) == ["erased"]
    await again.in_step.keep(after(days=1, minutes=2))
    await again.journal.load()  # as after a return to this very state: all of it waits once more
    await again.in_step.replay(again.journal)
    assert await again.events(ANNA) == ["erased"]


async def test_an_erasure_that_waited_for_the_store_is_one_in_the_ledger(start: Start) -> None:
    server = await start()
    await server.consents.report(reported(ANNA, reference="77"), NOW)
    with locked(server.folder):
        assert await erase(server)
    await server.in_step.keep(after(hours=1))
    assert await server.events(ANNA) == [LedgerEvent.GIVEN, LedgerEvent.ERASED]
    assert await server.store.broken_entry(TODAY) is None
    examined = await server.store.examine_ledger(TODAY)
    assert not examined.faults
