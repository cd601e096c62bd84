"""Promise 5: no event without a live grant, in the schema itself, shown through plain SQL and through our insert."""

from __future__ import annotations

import pytest

from tests.store.world import ANNA, BERT, GRANTED, TODAY, World, at, clicked, copy, on, opened
from tracker.model import DeliveryRef, Purpose

OPEN = frozenset({Purpose.OPEN})
CLICK = frozenset({Purpose.CLICK})


async def test_an_event_without_a_tracked_delivery_is_refused(world: World) -> None:
    await world.give()
    with world.plain() as sql, pytest.raises(world.refused, match=r"(?i)foreign key"):
        sql.execute("INSERT INTO events VALUES (?, ?, 'o', 0, 1, 3)", (on(90), b"d" * 16))


async def test_a_tracked_delivery_without_a_grant_is_refused(world: World) -> None:
    sent = await world.send(purposes=OPEN)
    await world.withdraw(purposes=CLICK)
    with world.plain() as sql:
        (recipient,) = sql.execute("SELECT id FROM recipients").fetchone()
        for purpose in "cp":
            with pytest.raises(world.refused, match=r"(?i)foreign key"):
                sql.execute(
                    "INSERT INTO tracked VALUES (?, ?, ?, ?, 0)", (sent.last_day, sent.delivery, purpose, recipient)
                )


async def test_an_event_of_one_persons_delivery_cannot_hang_on_anothers_grant(world: World) -> None:
    sent = await world.send(ANNA)
    await world.give(BERT)
    await world.withdraw(ANNA)
    with world.plain() as sql:
        (bert,) = sql.execute("SELECT id FROM recipients WHERE pseudonym = ?", (BERT,)).fetchone()
        with pytest.raises(world.refused, match=r"(?i)foreign key"):
            sql.execute("INSERT INTO tracked VALUES (?, ?, 'o', ?, 0)", (sent.last_day, sent.delivery, bert))
        with pytest.raises(world.refused, match=r"(?i)foreign key"):
            sql.execute("UPDATE deliveries SET recipient = 1")


async def test_withdrawing_is_one_delete_and_the_events_are_gone(world: World) -> None:
    """R44: zero rows are left."""
    sent = await world.send()
    assert await world.store.record(opened(sent), TODAY)
    assert await world.store.record(clicked(sent), TODAY)
    with world.plain() as sql:
        sql.execute("DELETE FROM grants")
        for table in ("tracked", "events"):
            assert sql.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    assert await world.withdraw(purposes=OPEN)
    assert world.rows("SELECT DISTINCT purpose FROM events UNION SELECT purpose FROM tracked") == [("c",)]


async def test_renewing_a_grant_keeps_its_events(world: World) -> None:
    sent = await world.send()
    assert await world.store.record(opened(sent), TODAY)
    await world.give(now=at(1))
    assert world.count("events") == 1
    assert world.rows("SELECT DISTINCT last_day FROM grants") == [(on(GRANTED + 1),)]


async def test_our_insert_refuses_an_event_without_a_grant(world: World) -> None:
    sent = await world.send()
    await world.withdraw()
    assert not await world.store.record(opened(sent), TODAY)
    assert not await world.store.record(opened(copy(BERT)), TODAY)
    assert world.count("events") == 0


async def test_our_insert_refuses_an_event_on_an_expired_grant(world: World) -> None:
    await world.give(days=5)
    sent = copy()
    assert await world.store.register(sent, TODAY)
    assert not await world.store.record(opened(sent), on(6))
    assert world.count("events") == 0
    assert await world.store.record(opened(sent), on(5))


async def test_our_insert_refuses_an_event_past_its_deliverys_last_day(world: World) -> None:
    sent = await world.send()
    assert not await world.store.record(opened(sent), on(91))
    assert world.count("events") == 0
    assert await world.store.record(opened(sent), on(90))


async def test_our_insert_refuses_an_event_for_a_purpose_that_was_not_tracked(world: World) -> None:
    sent = await world.send(purposes=OPEN)
    assert not await world.store.record(clicked(sent), TODAY)
    assert await world.store.record(opened(sent), TODAY)


async def test_our_insert_refuses_an_event_that_rests_on_a_superseded_notice(world: World) -> None:
    sent = await world.send()
    with world.plain() as sql:
        sql.execute("UPDATE notices SET superseded_day = ?", (TODAY,))
        sql.execute("COMMIT")
        sql.execute("BEGIN")
    assert not await world.store.record(opened(sent), TODAY)
    assert not await world.store.grants_of(ANNA, TODAY)
    assert not await world.store.register(copy(), TODAY)


async def test_a_closed_delivery_takes_no_more_opens(world: World) -> None:
    sent = await world.send()
    await world.store.close_deliveries([DeliveryRef(sent.last_day, sent.delivery)], ANNA, TODAY)
    assert not await world.store.record(opened(sent), TODAY)
    assert await world.store.record(clicked(sent), TODAY)


async def test_a_delivery_that_went_on_to_somebody_else_takes_no_clicks_either(world: World) -> None:
    sent, other = await world.send(ANNA), await world.send(BERT)
    await world.store.close_deliveries([DeliveryRef(sent.last_day, sent.delivery)], BERT, TODAY)
    assert not await world.store.record(opened(sent), TODAY)
    assert not await world.store.record(clicked(sent), TODAY)
    assert await world.store.record(opened(other), TODAY)
    assert world.rows("SELECT count(*) FROM events") == [(1,)]


async def test_a_delivery_that_went_on_to_somebody_unknown_is_closed_too(world: World) -> None:
    sent = await world.send()
    await world.store.close_deliveries([DeliveryRef(sent.last_day, sent.delivery)], BERT, TODAY)
    assert not await world.store.record(clicked(sent), TODAY)


async def test_an_event_costs_at_most_sixty_bytes_on_disk(sqlite_world: World) -> None:
    with sqlite_world.plain() as sql:
        sql.execute("PRAGMA foreign_keys = OFF")
        sql.execute("COMMIT")
        sql.execute("PRAGMA foreign_keys = OFF")
        sql.execute("BEGIN")
        before = sql.execute("PRAGMA page_count").fetchone()[0] - sql.execute("PRAGMA freelist_count").fetchone()[0]
        sql.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) "
            "INSERT INTO events SELECT 20780 + i % 2, randomblob(16), 'c', 140737488355327 - i, 498300, 3 FROM n"
        )
        after = sql.execute("PRAGMA page_count").fetchone()[0]
        size = sql.execute("PRAGMA page_size").fetchone()[0]
        assert (after - before) * size / 20_000 <= 60
