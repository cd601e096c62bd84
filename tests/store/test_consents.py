"""Who agreed and who said no: one transaction each, and a second no writes nothing."""

from __future__ import annotations

import asyncio

import pytest

from tests.store.world import ANNA, BERT, GRANTED, PROOF, TODAY, World, at, on, person, report
from tracker.model import (
    MAIL_PURPOSES,
    Grant,
    Language,
    LedgerEvent,
    Method,
    PendingGrant,
    Purpose,
    Standing,
    Suppressed,
)

OPEN = frozenset({Purpose.OPEN})


async def hold(world: World, purposes: frozenset[Purpose] = MAIL_PURPOSES) -> None:
    async with world.store.consents() as book:
        await book.hold(report(method=Method.REP), purposes, last_day=on(30), content_last_day=on(PROOF), now=at(0))


async def test_nothing_is_known_of_somebody_unknown(world: World) -> None:
    assert await world.store.standing(BERT, TODAY) == Standing()
    assert await world.store.grants_of(BERT, TODAY) == frozenset()


async def test_a_grant_is_live_through_its_last_day(world: World) -> None:
    """R14: and not a day longer."""
    entry = await world.give(purposes=OPEN)
    expected = Grant(Purpose.OPEN, on(GRANTED), at(0), "2026-1", entry)
    assert (await world.store.standing(ANNA, on(GRANTED))).grants == {Purpose.OPEN: expected}
    assert await world.store.grants_of(ANNA, on(GRANTED)) == OPEN
    assert await world.store.standing(ANNA, on(GRANTED + 1)) == Standing()
    assert await world.store.grants_of(ANNA, on(GRANTED + 1)) == frozenset()


async def test_what_waits_permits_nothing(world: World) -> None:
    """R7: pending is not live."""
    await hold(world, OPEN)
    standing = await world.store.standing(ANNA, TODAY)
    assert standing == Standing(pending={Purpose.OPEN: PendingGrant(Purpose.OPEN, on(30), Method.REP, 1)})
    assert await world.store.grants_of(ANNA, TODAY) == frozenset()
    assert await world.store.standing(ANNA, on(31)) == Standing()


async def test_a_grant_takes_the_place_of_what_waited(world: World) -> None:
    await hold(world)
    await world.give(purposes=OPEN)
    standing = await world.store.standing(ANNA, TODAY)
    assert (set(standing.grants), set(standing.pending)) == ({Purpose.OPEN}, {Purpose.CLICK})


async def test_a_withdrawal_counts_at_once(world: World) -> None:
    await world.give()
    assert await world.withdraw(purposes=OPEN)
    assert await world.store.grants_of(ANNA, TODAY) == frozenset({Purpose.CLICK})
    standing = await world.store.standing(ANNA, TODAY)
    assert standing.suppressed == {Purpose.OPEN: on(PROOF)}


async def test_withdrawing_twice_writes_once(world: World) -> None:
    await world.give()
    assert await world.withdraw()
    entries = world.count("ledger")
    assert not await world.withdraw(now=at(1))
    assert not await world.withdraw(purposes=OPEN, now=at(1))
    assert world.count("ledger") == entries


async def test_a_no_from_somebody_unknown_is_kept(world: World) -> None:
    assert await world.withdraw(BERT)
    assert set((await world.store.standing(BERT, TODAY)).suppressed) == MAIL_PURPOSES
    (entry,) = await world.store.history(BERT, TODAY)
    assert (entry.event, entry.language) == (LedgerEvent.REFUSED, Language.DE)


async def test_a_no_ends_what_waited_and_is_a_refusal(world: World) -> None:
    await hold(world)
    assert await world.withdraw()
    assert (await world.store.standing(ANNA, TODAY)).pending == {}
    assert [entry.event for entry in await world.store.history(ANNA, TODAY)] == ["requested", "refused"]


async def test_a_no_can_be_prolonged_and_never_shortened(world: World) -> None:
    await world.withdraw()
    for last_day in (on(PROOF + 5), on(3)):
        async with world.store.consents() as book:
            await book.prolong_suppression(ANNA, OPEN, last_day)
    suppressed = (await world.store.standing(ANNA, TODAY)).suppressed
    assert suppressed == {Purpose.OPEN: on(PROOF + 5), Purpose.CLICK: on(PROOF)}


async def test_nothing_is_written_when_the_block_raises(world: World) -> None:
    async def hold_and_think_again() -> None:
        async with world.store.consents() as book:
            await book.hold(report(), OPEN, last_day=on(30), content_last_day=on(PROOF), now=at(0))
            raise Suppressed("purposes")

    with pytest.raises(Suppressed):
        await hold_and_think_again()
    assert [world.count(table) for table in ("ledger", "pending", "recipients")] == [0, 0, 0]


async def test_notices_are_read_by_version_and_language(world: World) -> None:
    async with world.store.consents() as book:
        found = await book.notice("2026-1", Language.DE)
        assert found is not None
        assert (found.text, found.superseded_day) == ("Dürfen wir?", None)
        assert await book.notice("2026-1", Language.IT) is None
        assert await book.notice("2027-1", Language.DE) is None


async def test_a_reference_lives_as_long_as_what_it_stands_for(world: World) -> None:
    await world.give()
    async with world.store.consents() as book:
        await book.remember_reference("crm", "4711", ANNA, on(GRANTED))
    assert await world.store.person_by_reference("crm", "4711", None, on(GRANTED)) is not None
    assert await world.store.person_by_reference("crm", "4711", None, on(GRANTED + 1)) is None
    await world.withdraw(now=at(1))
    assert world.rows("SELECT last_day FROM external_ids") == [(on(PROOF + 1),)], "that of the suppression"


async def test_each_source_has_references_of_its_own(world: World) -> None:
    await world.give()
    async with world.store.consents() as book:
        await book.remember_reference("crm", "4711", ANNA, on(5))
        await book.remember_reference("shop", "4711", BERT, on(5))
    assert await world.store.person_by_reference("newsletter", "4711", None, TODAY) is None
    figures = await world.store.person_by_reference("shop", "4711", None, TODAY)
    assert figures is not None
    assert figures.purposes == frozenset()


async def test_a_reference_follows_the_person_it_was_last_given_to(world: World) -> None:
    for who, last_day in ((ANNA, 5), (BERT, 3)):
        async with world.store.consents() as book:
            await book.remember_reference("crm", "1", who, on(last_day))
    rows = world.rows("SELECT pseudonym, last_day FROM external_ids JOIN recipients ON id = recipient")
    assert rows == [(BERT, on(3))]


async def test_ids_of_recipients_tell_no_order(world: World) -> None:
    """R28: ids are random."""
    for number in range(20):
        await world.withdraw(person(number))
    ids = [row[0] for row in world.rows("SELECT recipient FROM ledger_contents ORDER BY entry")]
    assert ids != sorted(ids)
    assert max(ids) > 2**48


async def test_a_caller_who_goes_away_in_the_middle_leaves_nothing_half_written(world: World) -> None:
    for turns in range(40):
        task = asyncio.create_task(world.withdraw(person(turns)))
        for _ in range(5 * turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    done = world.count("ledger")
    rows = world.rows("SELECT count(*) FROM suppressions UNION ALL SELECT 2 * count(*) FROM recipients")
    assert rows == [(2 * done,), (2 * done,)]
    assert await world.withdraw(ANNA)
    assert await world.store.broken_entry(TODAY) is None
