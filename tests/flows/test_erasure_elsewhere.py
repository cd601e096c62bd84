"""An erasure outlives a database that went back whichever server's journal tells of it first (LAW.md R45, R51)."""

from __future__ import annotations

import pytest

from tests.flows.conftest import NOW, TOKENS, kept_in_step, reported
from tests.flows.test_in_step import ANNA, TODAY, Server, Start, after, copy_of, person, put_back, start
from tracker.core.consent import ConsentPolicy
from tracker.flows.subject import Request, Subjects
from tracker.model import Method, Purpose

__all__ = ["start"]


async def erased(server: Server) -> bool:
    held = await server.store.held(person(ANNA), TODAY)
    return held.is_only_lawful_rest and Purpose.OPEN in held.standing.suppressed


@pytest.mark.parametrize("first", ["journal", "other"])
async def test_every_server_replays_an_erasure_as_one(start: Start, first: str) -> None:
    one = await start()
    await kept_in_step(one.store, one.folder / "other")
    other = await start("other")
    await one.consents.report(reported(ANNA, reference="77"), NOW)
    await one.consents.report(reported(ANNA, method=Method.REP, actor="jonas", reference="J1"), NOW)
    for server in (one, other):
        await server.in_step.keep(after(minutes=2))
    yesterday = copy_of(one.folder)
    subjects = Subjects(one.store, lambda: TOKENS, ConsentPolicy(), one.in_step)
    assert await subjects.erase(ANNA, Request("office"), after(hours=1))
    for server in (one, other):
        await server.in_step.keep(after(hours=2))
    await other.store.close()
    await put_back(one, yesterday)
    again = await start(first, now=after(days=1))
    assert await erased(again)
    last = await start("other" if first == "journal" else "journal", now=after(days=1))
    await again.in_step.keep(after(days=1, minutes=2))
    await last.in_step.keep(after(days=1, minutes=4))
    assert not again.in_step.trouble + last.in_step.trouble
    assert await erased(last)


async def test_an_erasure_that_could_not_be_noted_is_followed_up_as_one(start: Start) -> None:
    server = await start()
    await server.consents.report(reported(ANNA, reference="77"), NOW)
    await server.in_step.keep(after(minutes=2))
    yesterday = copy_of(server.folder)
    (server.folder / "journal").rename(server.folder / "elsewhere")
    subjects = Subjects(server.store, lambda: TOKENS, ConsentPolicy(), server.in_step)
    assert await subjects.erase(ANNA, Request("office"), after(hours=1))
    await server.in_step.keep(after(hours=1, seconds=1))
    (server.folder / "elsewhere").rename(server.folder / "journal")
    await server.in_step.keep(after(hours=2))
    await put_back(server, yesterday)
    assert await erased(await start(now=after(days=1)))
