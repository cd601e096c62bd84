"""What somebody does shows when its hour has turned, unless their notice lets anybody watch; no order tells before."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from tests.store.conftest import Worlds
from tests.store.world import ANNA, BERT, JONAS, OFFER, SHOP, TODAY, World, clicked, copy, opened, person
from tracker.model import (
    Agent,
    DeliveryId,
    Feature,
    Hour,
    Language,
    MessageKey,
    MessageQuery,
    Notice,
    Order,
    Pseudonym,
    Purpose,
    Registration,
)

FEED = MessageQuery(frozenset({JONAS}), Order.ENGAGED)
SENT = copy().sent_hour
NOW = Hour(SENT + 30)
"""The hour that is running."""
LIVE = "2026-live"


@pytest.fixture
async def world(worlds: Worlds) -> AsyncIterator[World]:
    async with worlds() as one:
        assert await one.store.add_notice(
            Notice(LIVE, Language.DE, "Auch im Moment?", features=frozenset({Feature.LIVE, Feature.WEBHOOK}))
        )
        yield one


def offer(number: int, who: Pseudonym = ANNA) -> Registration:
    key = bytes([number]) * 16
    return copy(
        who, delivery=DeliveryId(key), message=MessageKey(key), label=str(number), sent_hour=Hour(SENT + number)
    )


async def send(world: World, *copies: Registration, watched: bool = False) -> None:
    for each in copies:
        await world.give(each.recipient, notice_version=LIVE if watched else "2026-1")
        assert await world.store.register(each, TODAY)


async def labels(world: World, running: Hour | None, **changes: Any) -> list[str | None]:
    """Of all pages of the list in the hour RUNNING."""
    query = replace(FEED, **{"limit": 2, **changes})
    found: list[str | None] = []
    while True:
        page, after = await world.store.messages(query, TODAY, running)
        found += [message.label for message in page]
        if after is None:
            return found
        query = replace(query, after=after)


async def test_nothing_tells_of_the_running_hour_before_it_has_turned(world: World) -> None:
    sent = offer(1)
    await send(world, sent)
    quiet = [
        await world.store.messages(FEED, TODAY, NOW),
        await world.store.message(sent.message, None, TODAY, None, NOW),
        await world.store.timeline(sent.message, TODAY, NOW),
        await world.store.person(ANNA, None, TODAY, NOW),
    ]
    for agent in Agent:
        for event in (opened(sent, hour=NOW, agent=agent), clicked(sent, hour=NOW, agent=agent)):
            assert await world.store.record(event, TODAY)

    async def looks(running: Hour | None) -> list[object]:
        return [
            await world.store.messages(FEED, TODAY, running),
            await world.store.message(sent.message, None, TODAY, None, running),
            await world.store.timeline(sent.message, TODAY, running),
            await world.store.person(ANNA, None, TODAY, running),
        ]

    assert await looks(NOW) == quiet
    for seen, before in zip(await looks(Hour(NOW + 1)), quiet, strict=True):
        assert seen != before
    assert await looks(Hour(NOW + 1)) == await looks(None)


async def test_a_reference_does_not_tell_sooner_either(world: World) -> None:
    sent = replace(offer(1), reference="4711")
    await send(world, sent)
    assert await world.store.record(clicked(sent, hour=NOW), TODAY)

    async def clicks(running: Hour) -> list[Hour | None]:
        person = await world.store.person_by_reference("crm", "4711", None, TODAY, running)
        assert person is not None
        assert bool(person.messages[0].links) is (running > NOW)
        return [message.clicked for message in person.messages]

    assert await clicks(NOW) == [None]
    assert await clicks(Hour(NOW + 1)) == [NOW]


async def test_who_agreed_to_be_watched_shows_at_once(world: World) -> None:
    anna, bert = copy(ANNA), copy(BERT)
    await send(world, anna, watched=True)
    await send(world, bert)
    for sent in (anna, bert):
        assert await world.store.record(opened(sent, hour=NOW), TODAY)
        assert await world.store.record(clicked(sent, hour=NOW), TODAY)
    figures = await world.store.message(OFFER, None, TODAY, None, NOW)
    assert figures is not None
    assert (figures.opened, figures.clicked, figures.engaged, figures.last_engaged) == (1, 1, 1, NOW)
    assert [link.people for link in figures.links] == [1, 0]
    (moment,) = await world.store.timeline(OFFER, TODAY, NOW)
    assert (moment.hour, moment.opened, moment.clicked) == (NOW, 1, 1)
    assert (await world.store.person(ANNA, None, TODAY, NOW)).messages[0].clicked == NOW
    assert (await world.store.person(BERT, None, TODAY, NOW)).messages[0].clicked is None


async def test_only_the_purpose_that_was_agreed_to_so_is_watched(world: World) -> None:
    sent = copy(ANNA)
    await send(world, sent)
    await world.give(ANNA, frozenset({Purpose.CLICK}), notice_version=LIVE)
    for event in (opened(sent, hour=NOW), clicked(sent, hour=NOW)):
        assert await world.store.record(event, TODAY)
    figures = await world.store.message(OFFER, None, TODAY, None, NOW)
    assert figures is not None
    assert (figures.opened, figures.clicked) == (0, 1)


async def test_neither_order_nor_cursor_nor_filter_tells_of_the_running_hour(world: World) -> None:
    copies = [offer(number, person(number)) for number in range(7)]
    await send(world, *copies[:5])
    await send(world, *copies[5:], watched=True)
    for number, hour in ((0, 20), (1, 10), (2, 15), (6, 12)):
        assert await world.store.record(opened(copies[number], hour=Hour(SENT + hour)), TODAY)
    before = ["0", "2", "6", "1", "5", "4", "3"]
    assert await labels(world, NOW) == before
    first_page = await world.store.messages(replace(FEED, limit=3), TODAY, NOW)
    for number in (1, 3, 4):
        assert await world.store.record(clicked(copies[number], hour=NOW), TODAY)
    for limit in (1, 2, 3, 4, 50):
        assert await labels(world, NOW, limit=limit) == before
        assert await labels(world, NOW, limit=limit, engaged=True) == before[:4]
        assert await labels(world, NOW, limit=limit, engaged=False) == before[4:]
        for owners in (frozenset({JONAS}), None):
            way: dict[str, Any] = {"limit": limit, "order": Order.SENT, "owners": owners}
            assert await labels(world, NOW, **way, engaged=True) == ["6", "2", "1", "0"]
            assert await labels(world, NOW, **way, engaged=False) == ["5", "4", "3"]
            assert await labels(world, NOW, **way) == ["6", "5", "4", "3", "2", "1", "0"]
    assert await world.store.messages(replace(FEED, limit=3), TODAY, NOW) == first_page
    assert await world.store.record(clicked(copies[5], hour=NOW), TODAY)
    for limit in (1, 3, 50):
        assert await labels(world, NOW, limit=limit) == ["5", "0", "2", "6", "1", "4", "3"]
        assert await labels(world, NOW, limit=limit, engaged=False) == ["4", "3"]
    assert await labels(world, Hour(NOW + 1)) == ["5", "4", "3", "1", "0", "2", "6"] == await labels(world, None)


async def test_a_campaign_stands_where_its_last_hour_that_may_be_seen_puts_it(world: World) -> None:
    campaign = [copy(person(number), label="many") for number in range(20, 30)]
    await send(world, offer(1), *campaign)
    assert await world.store.record(opened(offer(1), hour=Hour(SENT + 5)), TODAY)
    for number, sent in enumerate(campaign):
        assert await world.store.record(opened(sent, hour=NOW if number else Hour(SENT + 4)), TODAY)
    (one, many), _ = await world.store.messages(FEED, TODAY, NOW)
    assert (one.label, many.label) == ("1", "many")
    assert (many.opened, many.last_engaged, many.measured) == (1, SENT + 4, 10)
    assert await labels(world, Hour(NOW + 1)) == ["many", "1"]


async def test_what_is_watched_goes_with_a_withdrawal(world: World) -> None:
    sent = copy(ANNA)
    await send(world, sent, watched=True)
    assert await world.store.record(clicked(sent, SHOP, hour=NOW), TODAY)
    await world.withdraw(ANNA)
    figures = await world.store.message(OFFER, None, TODAY, None, NOW)
    assert figures is not None
    assert (figures.clicked, figures.last_engaged, figures.measured) == (0, None, 0)
