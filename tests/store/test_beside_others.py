"""On PostgreSQL hits and mail wait for nobody, two servers at once do no harm, and no partition is ever missing."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.postgres import Plain
from tests.store.conftest import opened as open_store
from tests.store.world import ANNA, BERT, PROOF, RETENTION, TODAY, World, at, clicked, copy, on, opened, person
from tracker.model import Agent, Day, DeliveryId, Hour, MessageKey, Pseudonym, Purpose, StoreUnavailable
from tracker.store import deliveries, events_postgres
from tracker.store.partitions import ensure_partitions, partitions
from tracker.store.store import Store

pytestmark = pytest.mark.postgres

OPEN, CLICK = frozenset({Purpose.OPEN}), frozenset({Purpose.CLICK})
AT_ONCE = 10
"""Seconds; what comes back at all has not waited, since the transaction beside it is not committed meanwhile."""


@pytest.fixture
async def world(postgres_world: World) -> AsyncIterator[World]:
    """A store that is more patient with locks than with statements."""
    store = await open_store(postgres_world.url, busy_seconds=60)
    yield World(store, postgres_world.url)
    await store.close()


@pytest.fixture
async def other(world: World) -> AsyncIterator[World]:
    """Another server on the same database."""
    store = await open_store(world.url, busy_seconds=60)
    yield World(store, world.url)
    await store.close()


@contextmanager
def under_way(world: World, *statements: str) -> Iterator[Any]:
    """Somebody's transaction with STATEMENTS, which is not committed yet when the block begins."""
    with Plain(world.url) as somebody:
        somebody.execute("BEGIN")
        for statement in statements:
            somebody.execute(statement)
        yield somebody


WITHDRAWAL = f"DELETE FROM grants WHERE recipient = (SELECT id FROM recipients WHERE pseudonym = '\\x{ANNA.hex()}')"


async def test_a_group_of_events_passes_over_somebody_who_is_just_withdrawing(world: World) -> None:
    copies = [await world.send(who) for who in (ANNA, BERT, *map(person, range(20)))]
    events = [make(sent) for sent in copies for make in (opened, clicked)]
    with under_way(world, WITHDRAWAL) as somebody:
        async with asyncio.timeout(AT_ONCE):
            answers = await asyncio.gather(*(world.store.record(event, TODAY) for event in events))
        assert answers == [event.delivery != copies[0].delivery for event in events]
        somebody.execute("COMMIT")
    assert world.count("events") == 2 * 21
    assert world.count("tracked") == 2 * 21


async def test_nor_does_a_later_hour_wait_for_the_withdrawal_of_whoever_touched_the_message_last(world: World) -> None:
    """Both would write where the message stands in a list."""
    anna, bert = await world.send(ANNA), await world.send(BERT)
    assert anna.message == bert.message
    assert await world.store.record(opened(anna), TODAY)
    with under_way(world, WITHDRAWAL) as somebody:
        async with asyncio.timeout(AT_ONCE):
            assert await world.store.record(opened(bert, hour=Hour(bert.sent_hour + 3)), TODAY)
        somebody.execute("COMMIT")
    assert world.count("events") == 1
    assert await world.store.look_for_last_engagement(TODAY) == 1
    assert world.rows("SELECT engaged_hour FROM messages") == [(bert.sent_hour + 3,)]


async def test_nor_does_a_burst_wait_for_a_withdrawal_or_for_who_registers_a_copy_of_the_same_message(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What people seem to have done goes to a program, and with it the message's last hour: it may be held, too."""
    anna, bert = await world.send(ANNA), await world.send(BERT)
    hour = Hour(bert.sent_hour + 3)
    assert await world.store.record(opened(anna), TODAY)
    assert await world.store.record(opened(bert, hour=hour), TODAY)
    burst = {(bert.last_day, bert.delivery, hour)}
    monkeypatch.setattr(events_postgres, "struck_of", lambda *_: burst)
    for holding in (WITHDRAWAL, "UPDATE messages SET last_hour = last_hour + 1"):
        with under_way(world, holding) as somebody:
            async with asyncio.timeout(AT_ONCE):
                assert await world.store.record(clicked(bert, hour=hour), TODAY)
            somebody.execute("ROLLBACK")
        marked = "SELECT DISTINCT agent FROM events WHERE hour = ?"
        assert world.rows(marked, hour) == [(int(Agent.MACHINE),)]
        await world.store.look_for_last_engagement(TODAY)
        assert world.rows("SELECT engaged_hour FROM messages") == [(anna.sent_hour,)]
        burst.clear()
        assert await world.store.record(opened(bert, hour=hour), TODAY)
        burst.add((bert.last_day, bert.delivery, hour))


async def test_who_withdraws_takes_messages_in_the_order_in_which_copies_are_registered(world: World) -> None:
    """Else each would wait for a message that the other holds, and one would be lost."""
    first, second = (MessageKey(letter * 16) for letter in (b"A", b"Z"))
    for days, message in ((1, second), (2, first)):  # they go in the order of their days
        sent = await world.send(ANNA, message=message, delivery=DeliveryId(message), last_day=on(days))
        assert await world.store.record(opened(sent), TODAY)
    holding = "UPDATE messages SET last_hour = last_hour + 1 WHERE id = ?"
    with under_way(world) as somebody:
        somebody.execute(holding, [first])
        withdrawing = asyncio.create_task(world.withdraw(ANNA))
        while not await waiting(world):
            assert not withdrawing.done(), "it passed over the message, and leaves the hour behind"
        somebody.execute(holding, [second])
        somebody.execute("COMMIT")
    assert await withdrawing
    assert world.count("events") == 0
    assert world.rows("SELECT DISTINCT engaged_hour FROM messages") == [(0,)]


async def test_two_servers_take_back_what_the_same_messages_did_in_any_order(world: World, other: World) -> None:
    """Beside hits on what stays."""
    keys = [MessageKey(bytes([number]) * 16) for number in range(6)]
    people = [person(number) for number in range(12)]
    stays = [await world.send(BERT, message=key, delivery=DeliveryId(key)) for key in keys]
    for number, who in enumerate(people):
        for at_day, key in enumerate(keys if number % 2 else reversed(keys)):
            name = DeliveryId(bytes([number, at_day]) * 8)
            sent = await world.send(who, message=key, delivery=name, last_day=on(1 + at_day))
            assert await world.store.record(opened(sent), TODAY)

    async def hits() -> list[bool]:
        return [
            await each.store.record(opened(sent, hour=Hour(sent.sent_hour + hour)), TODAY)
            for hour in range(1, 5)
            for sent, each in zip(stays, 3 * (world, other), strict=True)
        ]

    async def withdrawals(at_one: World, those: list[Pseudonym]) -> list[bool]:
        return [await at_one.withdraw(who) for who in those]

    *gone, recorded = await asyncio.gather(withdrawals(world, people[::2]), withdrawals(other, people[1::2]), hits())
    assert gone == 2 * [6 * [True]]
    assert all(recorded)
    assert world.count("events") == len(recorded)
    await world.store.look_for_last_engagement(TODAY)
    assert world.rows("SELECT DISTINCT engaged_hour FROM messages") == [(stays[0].sent_hour + 4,)]


async def waiting(world: World) -> bool:
    """Whether somebody waits for a lock."""
    ((found,),) = await asyncio.to_thread(world.rows, "SELECT count(*) FROM pg_locks WHERE NOT granted")
    return bool(found)


async def test_nor_does_it_wait_for_somebody_who_takes_a_tracked_copy_away(world: World) -> None:
    """Neither for the row nor for the foreign key's look at it."""
    anna, bert = await world.send(ANNA), await world.send(BERT)
    with under_way(world, f"DELETE FROM tracked WHERE delivery = '\\x{anna.delivery.hex()}'"):
        async with asyncio.timeout(AT_ONCE):
            answers = await asyncio.gather(*(world.store.record(opened(sent), TODAY) for sent in (anna, bert)))
    assert answers == [False, True]


async def test_a_withdrawal_that_is_taken_back_leaves_the_next_event_its_grant(world: World) -> None:
    sent = await world.send(ANNA)
    with under_way(world, WITHDRAWAL) as somebody:
        assert not await world.store.record(opened(sent), TODAY)
        somebody.execute("ROLLBACK")
    assert await world.store.record(opened(sent), TODAY)


async def test_a_group_of_copies_passes_over_somebody_who_is_just_withdrawing(world: World) -> None:
    for who in (ANNA, BERT):
        await world.give(who)
    with under_way(world, WITHDRAWAL) as somebody:
        async with asyncio.timeout(AT_ONCE):
            answers = await asyncio.gather(
                *(
                    world.store.register(copy(who, reference=f"crm-{number}"), TODAY)
                    for number, who in enumerate([ANNA, BERT])
                )
            )
        assert answers == [frozenset(), OPEN | CLICK]
        somebody.execute("COMMIT")
    assert world.count("deliveries") == 1
    assert world.rows("SELECT reference FROM external_ids") == [("crm-1",)]


async def test_a_reference_that_somebody_is_writing_costs_no_copy(world: World) -> None:
    """It is left out, and the next copy brings it again."""
    await world.send(ANNA, reference="crm-1")
    await world.give(now=at(1), days=800)
    with under_way(world, "UPDATE external_ids SET last_day = last_day + 1"):
        async with asyncio.timeout(AT_ONCE):
            assert await world.store.register(copy(reference="crm-1", sent_hour=5), TODAY) == OPEN | CLICK
    assert await world.store.register(copy(reference="crm-1", sent_hour=6), TODAY) == OPEN | CLICK
    assert world.rows("SELECT last_day FROM external_ids") == [(on(801),)]


async def test_who_is_alone_holds_up_neither_hits_nor_mail_nor_readiness(world: World, other: World) -> None:
    """A long import at another server, or at this one."""
    sent = await world.send(ANNA)
    for holder in (other, world):
        async with holder.store.consents() as book, asyncio.timeout(AT_ONCE):
            await book.standing(BERT, TODAY)
            assert await world.store.record(opened(sent), TODAY)
            assert await world.store.register(copy(ANNA), TODAY)
            assert await world.store.grants_of(ANNA, TODAY)
            await world.store.ping()


async def test_two_servers_may_give_a_grant_to_the_same_person_at_once(world: World, other: World) -> None:
    await asyncio.gather(*(each.give(person(number)) for number in range(10) for each in (world, other)))
    assert world.count("recipients") == 10
    assert world.count("grants") == 20
    assert await world.store.broken_entry(TODAY) is None


async def test_the_chain_does_not_fork_when_two_servers_write_at_once(world: World, other: World) -> None:
    async def live(each: World, first: int) -> None:
        for number in range(first, first + 10):
            await each.give(person(number))
            await each.withdraw(person(number), now=at(1))

    await asyncio.gather(*(live(each, first) for first, each in ((0, world), (10, other), (20, world), (30, other))))
    assert world.count("ledger") == 80
    assert await other.store.broken_entry(on(1)) is None
    assert not (await other.store.examine_ledger(on(1))).faults


async def test_groups_of_two_servers_with_the_same_rows_in_another_order_do_not_wait_for_each_other(
    world: World, other: World
) -> None:
    people = [person(number) for number in range(50)]
    for who in people:
        await world.give(who)
    for run in range(5):
        there = [world.store.register(copy(who, sent_hour=run, reference=f"c{who.hex()[:8]}"), TODAY) for who in people]
        back = [
            other.store.register(copy(who, sent_hour=run, reference=f"c{who.hex()[:8]}"), TODAY)
            for who in reversed(people)
        ]
        assert set(await asyncio.gather(*there, *back)) == {OPEN | CLICK}
        events = [opened(copy(who), hour=run) for who in people]
        both = [world.store.record(event, TODAY) for event in events]
        both += [other.store.record(event, TODAY) for event in reversed(events)]
        assert set(await asyncio.gather(*both)) == {True}
    assert world.count("events") == 250


async def test_a_withdrawal_at_one_server_is_effective_at_the_other_at_once(world: World, other: World) -> None:
    sent = await world.send(ANNA)
    assert await other.store.record(opened(sent), TODAY)
    await other.withdraw(ANNA)
    assert not await world.store.grants_of(ANNA, TODAY)
    assert not await world.store.record(clicked(sent), TODAY)
    assert not await world.store.register(copy(ANNA), TODAY)


async def test_each_row_is_looked_for_by_its_key_however_little_the_planner_knows(world: World) -> None:
    """Whole partitions read for a group of hits would cost more with each of the day's messages."""
    await world.send(ANNA)
    events = ([on(90)], [b"d" * 16], ["o"], [0], [1], [3], TODAY)
    copies = ([on(90)], [b"d" * 16], [1], ["o"], TODAY)
    async with world.store._database.write(alone=False) as connection:
        for statement, values in ((events_postgres._WRITE_ALONE, events), (deliveries._TRACKED_AT_ONCE, copies)):
            plan = "\n".join((await connection.exec_driver_sql(f"EXPLAIN {statement}", values)).scalars())
            for table, key in (("tracked", "purpose"), ("deliveries", "id"), ("grants", "purpose")):
                assert f"Seq Scan on {table}" not in plan
                scans = re.findall(rf"Scan using {table}_\S+ on {table}[\s\S]*?Index Cond: (.*)", plan)
                assert all(f"{key} = given.{key}" in condition for condition in scans)
            assert "Index Cond: ((recipient = " in plan


# --- partitions ---


async def days(store: Store) -> list[Day]:
    async with store._database.read() as connection:
        found = await partitions(connection)
    for day, names in found.items():
        assert names == (f"events_{day}", f"tracked_{day}", f"deliveries_{day}")
    return list(found)


async def test_partitions_are_made_a_week_ahead_by_two_servers_at_once(world: World, other: World) -> None:
    await asyncio.gather(*(each.store.make_room(on(3), RETENTION) for each in (world, other, world, other)))
    await world.store.make_room(on(3), RETENTION)
    assert await days(world.store) == [on(RETENTION + day) for day in range(3 + 7 + 1)]


async def test_a_copy_of_a_day_that_has_no_partition_makes_it(world: World, other: World) -> None:
    """Retention was changed, or no server ran for a week: mail is tracked as ever."""
    await world.give(ANNA)
    sent = [copy(ANNA, last_day=on(7)), copy(ANNA, last_day=on(300))]
    assert await asyncio.gather(*(each.store.register(one, TODAY) for one in sent for each in (world, other))) == 4 * [
        OPEN | CLICK
    ]
    assert {on(7), on(300)} < set(await days(world.store))
    assert await world.store.record(opened(sent[1]), TODAY)


async def test_a_partition_that_went_with_a_database_that_went_back_is_made_again(world: World) -> None:
    await world.give(ANNA)
    assert await world.store.register(copy(ANNA, last_day=on(7)), TODAY)
    with Plain(world.url) as plain:
        for table in ("events", "tracked", "deliveries"):
            plain.execute(f"ALTER TABLE {table} DETACH PARTITION {table}_{on(7)}")
            plain.execute(f"DROP TABLE {table}_{on(7)}")
    with pytest.raises(StoreUnavailable):  # one mail goes out untouched
        await world.store.register(copy(ANNA, last_day=on(7)), TODAY)
    assert await world.store.register(copy(ANNA, last_day=on(7)), TODAY) == OPEN | CLICK


async def test_while_somebody_reads_for_long_partitions_are_made_all_the_same(world: World) -> None:
    with under_way(world, "SELECT * FROM deliveries, tracked, events, grants"):
        async with asyncio.timeout(5):
            await ensure_partitions(world.store._database, on(200), on(201))
    assert on(201) in await days(world.store)


async def test_what_writes_when_a_partition_is_to_be_made_is_not_held_up_for_long(world: World) -> None:
    """Rather the partition waits for the next try."""
    await world.give(ANNA)
    with under_way(world, "INSERT INTO deliveries SELECT * FROM deliveries LIMIT 0"):
        await asyncio.gather(
            ensure_partitions(world.store._database, on(200), on(200)),
            world.store.register(copy(ANNA), TODAY),
            return_exceptions=True,
        )
        assert await world.store.register(copy(ANNA), TODAY)


async def test_the_sweep_takes_rows_out_of_partitions(world: World) -> None:
    sent = await world.send(ANNA)
    assert await world.store.record(opened(sent), TODAY)
    end = RETENTION + 1
    await world.store.sweep(on(end), at(end), PROOF)
    assert [world.count(table) for table in ("deliveries", "tracked", "events")] == [0, 0, 0]
    assert world.count("grants") == 2
