"""Webhooks wait beside their events, on both engines: for covered people alone, and never longer than the event."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest

from tests.store.conftest import Worlds
from tests.store.world import ANNA, BERT, NOW, OFFER, PROOF, SHOP, TODAY, World, at, clicked, copy, on, opened
from tracker.core.calendar import hour_of, instant_of
from tracker.core.webhook import Backlog, WaitingWebhook
from tracker.model import Agent, Language, Notice, Pseudonym, Registration

COVERED, WATCHED, PLAIN = "2027-webhook", "2027-live", "2026-1"
TURNED = NOW + timedelta(hours=1)
LEASE = timedelta(seconds=30)


@pytest.fixture
async def telling(worlds: Worlds) -> AsyncIterator[World]:
    """A world in which the key `crm` is told of events."""
    async with worlds(told_to="crm") as world:
        yield await with_notices(world)


async def with_notices(world: World) -> World:
    for version, features in ((COVERED, {"webhook"}), (WATCHED, {"webhook", "live"}), ("2027-l", {"live"})):
        await world.store.add_notice(Notice(version, Language.DE, "Dürfen wir?", frozenset(features)))
    return world


async def sent(world: World, who: Pseudonym = ANNA, notice: str = COVERED, **changes: object) -> Registration:
    await world.give(who, notice_version=notice)
    made = copy(who, **{"reference": f"no-{who[:1].decode()}", **changes})
    assert await world.store.register(made, TODAY)
    return made


async def due(world: World, now: datetime = TURNED, count: int = 100) -> tuple[WaitingWebhook, ...]:
    return await world.store.take_webhooks("crm", now, now + LEASE, count)


async def test_an_event_waits_until_its_hour_has_turned(telling: World) -> None:
    copy = await sent(telling)
    event = clicked(copy)
    assert await telling.store.record(event, TODAY)
    assert not await due(telling, NOW + timedelta(minutes=59, seconds=59))
    (one,) = await due(telling)
    assert one == WaitingWebhook(event, ("no-a",), OFFER, "Offer", SHOP.host, SHOP.path, tries=0)


async def test_where_somebody_may_watch_live_it_is_due_at_once(telling: World) -> None:
    event = opened(await sent(telling, notice=WATCHED))
    assert await telling.store.record(event, TODAY)
    assert [one.event for one in await due(telling, NOW)] == [event]
    assert (await due(telling, NOW + LEASE))[0].host is None


@pytest.mark.parametrize("notice", [PLAIN, "2027-l"])
async def test_without_the_feature_nothing_is_ever_written(telling: World, notice: str) -> None:
    """The promise: what a notice does not cover is not passed on."""
    made = await sent(telling, notice=notice)
    assert await telling.store.record(opened(made), TODAY)
    assert telling.count("outbox") == 0
    assert telling.count("events") == 1


async def test_without_a_receiver_nothing_is_written(world: World) -> None:
    made = await sent(await with_notices(world))
    assert await world.store.record(opened(made), TODAY)
    assert world.count("outbox") == 0


async def test_nothing_is_written_of_who_has_no_reference_of_the_receivers(telling: World) -> None:
    made = await sent(telling, source="another")
    nameless = await sent(telling, BERT, reference=None)
    for one in (made, nameless):
        assert await telling.store.record(opened(one), TODAY)
    assert telling.count("outbox") == 0


async def test_a_repeat_is_told_once_and_not_again_after_it_was_told(telling: World) -> None:
    event = opened(await sent(telling))
    await asyncio.gather(*(telling.store.record(event, TODAY) for _ in range(3)))
    assert telling.count("outbox") == 1
    await telling.store.settle_webhooks([one.event for one in await due(telling)], {})
    assert await telling.store.record(event, TODAY)
    assert telling.count("outbox") == 0


async def test_one_group_of_covered_and_other_people_is_kept_apart(telling: World) -> None:
    covered, plain = await sent(telling), await sent(telling, BERT, PLAIN)
    events = [opened(covered), opened(plain), clicked(covered), clicked(plain)]
    assert all(await asyncio.gather(*(telling.store.record(event, TODAY) for event in events)))
    assert {one.event for one in await due(telling)} == {events[0], events[2]}
    assert telling.count("events") == 4


async def test_a_withdrawal_takes_the_waiting_webhook_along(telling: World) -> None:
    """R44: what waits hangs on the event, in the schema."""
    made = await sent(telling)
    for event in (opened(made), clicked(made)):
        assert await telling.store.record(event, TODAY)
    assert telling.count("outbox") == 2
    await telling.withdraw(purposes=frozenset({opened(made).purpose}))
    assert [one.event for one in await due(telling)] == [clicked(made)]
    with telling.plain() as sql:
        sql.execute("DELETE FROM grants")
        assert sql.execute("SELECT count(*) FROM outbox").fetchone() == (0,)


async def test_a_webhook_without_its_event_is_refused(telling: World) -> None:
    with telling.connected() as sql, pytest.raises(telling.refused):
        sql.execute("INSERT INTO outbox VALUES (?, ?, 'o', 0, 1, 3, 0, 0)", (on(90), b"d" * 16))


async def test_what_is_taken_is_left_to_nobody_else_until_its_time_is_over(telling: World) -> None:
    assert await telling.store.record(opened(await sent(telling)), TODAY)
    assert len(await due(telling)) == 1
    assert not await due(telling, TURNED + LEASE - timedelta(seconds=1))
    assert [one.tries for one in await due(telling, TURNED + LEASE)] == [1], "who took it has died"


async def test_what_was_put_off_is_due_again_at_its_time(telling: World) -> None:
    event = opened(await sent(telling))
    assert await telling.store.record(event, TODAY)
    await due(telling)
    later = TURNED + timedelta(hours=2)
    await telling.store.settle_webhooks([], {event: later})
    assert not await due(telling, later - timedelta(seconds=1))
    assert len(await due(telling, later)) == 1


async def test_what_is_not_covered_any_more_is_not_told_and_waits_for_nothing(telling: World) -> None:
    assert await telling.store.record(opened(await sent(telling)), TODAY)
    assert await telling.store.record(opened(await sent(telling, BERT)), TODAY)
    await telling.give(now=at(1), notice_version=PLAIN)
    assert not await due(telling, NOW)
    assert telling.count("outbox") == 2, "its turn has not come"
    assert [one.references for one in await due(telling)] == [("no-b",)]
    assert telling.count("outbox") == 1


async def test_it_is_said_how_much_waits_since_when_and_what_was_not_taken(telling: World) -> None:
    assert await telling.store.webhook_backlog(TODAY) == Backlog(0, 0, None)
    made = await sent(telling)
    for event in (opened(made), clicked(made), clicked(made, hour=hour_of(NOW) + 5)):
        assert await telling.store.record(event, TODAY)
    assert await telling.store.webhook_backlog(TODAY) == Backlog(3, 0, hour_of(NOW))
    taken = [one.event for one in await due(telling)]
    await telling.store.settle_webhooks([opened(made)], {clicked(made): TURNED + timedelta(hours=2)})
    assert len(taken) == 2
    assert await telling.store.webhook_backlog(TODAY) == Backlog(2, 1, hour_of(NOW))
    assert await telling.store.webhook_backlog(on(91)) == Backlog(0, 0, None)


async def test_what_a_burst_gave_away_is_not_told_at_all(telling: World) -> None:
    made = await sent(telling)
    assert await telling.store.record(opened(made), TODAY)
    telling.store.heed_bursts(lambda delivery, hour: True)
    assert await telling.store.record(clicked(made), TODAY)
    assert telling.rows("SELECT DISTINCT agent FROM events") == [(Agent.MACHINE,)]
    assert not await due(telling)


async def test_the_last_day_of_the_event_is_that_of_the_webhook(telling: World) -> None:
    """Given up at the event's last day, also where whole days are dropped."""
    made = await sent(telling)
    for event in (opened(made), clicked(made)):
        assert await telling.store.record(event, TODAY)
    assert await due(telling, at(90))
    assert not await due(telling, at(91))
    await telling.store.sweep(on(91), at(91), PROOF)
    assert [telling.count(table) for table in ("outbox", "events", "deliveries")] == [0, 0, 0]


async def test_some_are_taken_at_a_time_the_earliest_first(telling: World) -> None:
    made = await sent(telling)
    for hours in (2, 0, 1):
        assert await telling.store.record(opened(made, hour=hour_of(NOW) + hours), TODAY)
    taken = await due(telling, at(1), count=2)
    assert [instant_of(one.event.hour) for one in taken] == [NOW, NOW + timedelta(hours=1)]
