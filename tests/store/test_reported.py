"""What a lying key reported ends, with what was measured; what others reported, and every no, stays."""

from __future__ import annotations

import pytest

from tests.store.world import ANNA, BERT, PROOF, TODAY, World, at, copy, on, opened, person, report
from tracker.model import MAIL_PURPOSES, LedgerEvent, Method, Purpose
from tracker.store import reported
from tracker.store.reported import Ended

OPEN = frozenset({Purpose.OPEN})


async def end(world: World, since: int = 0, now: int = 5) -> Ended:
    return await world.store.end_reported("liar", at(since), at(now), PROOF)


async def test_grants_of_the_key_end_with_their_events(world: World) -> None:
    await world.give(ANNA, actor="liar")
    await world.give(BERT)
    assert await world.store.register(copy(ANNA), TODAY)
    assert await world.store.record(opened(copy(ANNA)), TODAY)
    assert await end(world) == Ended(grants=2, pending=0, people=1)
    assert [world.count(table) for table in ("tracked", "events", "grants")] == [0, 0, 2]
    given, ended = await world.store.history(ANNA, on(5))
    assert (ended.event, ended.actor, ended.purposes) == (LedgerEvent.EXPIRED, "cli", MAIL_PURPOSES)
    assert world.rows("SELECT ended, entry FROM ledger_ends") == [(given.entry, ended.entry)]
    assert await world.store.broken_entry(on(5)) is None


async def test_nobody_is_suppressed_since_nobody_said_no(world: World) -> None:
    await world.give(ANNA, actor="liar")
    await end(world)
    assert world.count("suppressions") == 0
    await world.give(ANNA, now=at(6))
    assert await world.store.grants_of(ANNA, on(6)) == {Purpose.OPEN, Purpose.CLICK}


async def test_what_waits_for_a_confirmation_ends_too(world: World) -> None:
    async with world.store.consents() as book:
        held = report(ANNA, actor="liar", method=Method.REP)
        await book.hold(held, OPEN, last_day=on(30), content_last_day=on(PROOF), now=at(0))
    assert await end(world) == Ended(grants=0, pending=1, people=1)
    assert world.count("pending") == 0


async def test_what_it_reported_before_that_day_and_what_others_reported_stays(world: World) -> None:
    await world.give(ANNA, actor="liar", now=at(0))
    await world.give(BERT, actor="liar", now=at(2))
    await world.give(person(1), actor="liar", now=at(2))
    await world.give(person(1), actor="crm", now=at(3))
    assert await end(world, since=1) == Ended(grants=2, pending=0, people=1)
    assert await world.store.grants_of(ANNA, on(5))
    assert not await world.store.grants_of(BERT, on(5))
    assert await world.store.grants_of(person(1), on(5)), "somebody else reported it anew"


async def test_a_no_that_the_key_reported_stays(world: World) -> None:
    await world.withdraw(ANNA)
    assert await end(world) == Ended()
    assert world.count("suppressions") == 2


async def test_many_people_end_in_chunks_and_a_second_time_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reported, "PEOPLE", 3)
    for number in range(10):
        await world.give(person(number), actor="liar")
    assert await end(world) == Ended(grants=20, pending=0, people=10)
    entries = world.count("ledger")
    assert await end(world) == Ended()
    assert world.count("ledger") == entries
