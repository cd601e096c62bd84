"""Registering a copy lets events hang on it, for the purposes that still have a live grant, and only once."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

from tests.store.world import (
    ANNA,
    BERT,
    BLOG,
    GRANTED,
    JONAS,
    NOW,
    OFFER,
    SHOP,
    TODAY,
    World,
    copy,
    on,
    opened,
    person,
)
from tracker.core.calendar import hour_of
from tracker.model import MAIL_PURPOSES, DeliveryId, Hour, Link, LinkNumber, MessageKey, Purpose, StoreUnavailable

OPEN = frozenset({Purpose.OPEN})
HOT = ("messages", "links", "deliveries", "tracked", "external_ids", "recipients")


async def test_without_a_live_grant_nothing_is_written(world: World) -> None:
    assert await world.store.register(copy(reference="1"), TODAY) == frozenset()
    assert [world.count(table) for table in HOT] == [0] * len(HOT)


async def test_only_what_has_a_live_grant_is_tracked(world: World) -> None:
    await world.give(purposes=OPEN)
    assert await world.store.register(copy(), TODAY) == OPEN
    assert world.rows("SELECT purpose FROM tracked") == [("o",)]


async def test_only_what_the_copy_would_track_is_tracked(world: World) -> None:
    await world.give()
    assert await world.store.register(copy(purposes=OPEN), TODAY) == OPEN
    assert world.rows("SELECT purpose FROM tracked") == [("o",)]


async def test_an_expired_grant_tracks_nothing(world: World) -> None:
    await world.give()
    assert await world.store.register(copy(last_day=on(GRANTED + 91)), on(GRANTED + 1)) == frozenset()
    assert world.count("deliveries") == 0


async def test_the_same_delivery_again_counts_once(world: World) -> None:
    sent = await world.send(reference="1")
    before = {table: world.rows(f"SELECT * FROM {table}") for table in HOT}
    assert await world.store.register(sent, TODAY) == MAIL_PURPOSES
    assert {table: world.rows(f"SELECT * FROM {table}") for table in HOT} == before


async def test_the_same_delivery_twice_in_one_group_counts_once(world: World) -> None:
    await world.give()
    assert await asyncio.gather(*(world.store.register(copy(), TODAY) for _ in range(5))) == [MAIL_PURPOSES] * 5
    assert world.count("deliveries") == 1


async def test_a_delivery_of_somebody_else_is_not_taken_over(world: World) -> None:
    sent = await world.send(ANNA)
    await world.give(BERT)
    assert await world.store.register(replace(sent, recipient=BERT), TODAY) == frozenset()
    assert world.count("tracked") == 2


async def test_a_grant_that_came_back_tracks_the_same_delivery_again(world: World) -> None:
    sent = await world.send()
    await world.withdraw()
    assert await world.store.register(sent, TODAY) == frozenset()
    await world.give()
    assert await world.store.register(sent, TODAY) == MAIL_PURPOSES


async def test_copies_of_a_message_share_its_row_and_links(world: World) -> None:
    hour = copy().sent_hour
    await world.send(ANNA, label=None, sent_hour=Hour(hour + 2), last_day=on(90))
    await world.send(BERT, label="Offer", sent_hour=hour, last_day=on(91), links=(SHOP,))
    rows = world.rows("SELECT id, owner, label, first_hour, last_hour, last_day FROM messages")
    assert rows == [(OFFER, JONAS, "Offer", hour, hour + 2, on(91))]
    assert world.rows("SELECT number, host, path FROM links ORDER BY number") == [
        (SHOP.number, "shop.example.com", "/a"),
        (BLOG.number, "blog.example.com", "/b"),
    ]


async def test_a_reference_is_kept_as_long_as_the_grant(world: World) -> None:
    await world.send(reference="4711")
    assert world.rows("SELECT source, reference, last_day FROM external_ids") == [("crm", "4711", on(GRANTED))]


async def test_one_refused_copy_does_not_fail_its_group(world: World) -> None:
    people = [person(number) for number in range(40)]
    for who in people:
        await world.give(who)
    copies = [copy(who) for who in people]
    copies[7] = replace(copies[7], links=(Link(SHOP.number, "half a pair: \ud800", "/"),))
    copies[9] = replace(copies[9], sent_hour=Hour(2**70))
    answers = await asyncio.gather(*(world.store.register(sent, TODAY) for sent in copies), return_exceptions=True)
    assert [number for number, answer in enumerate(answers) if isinstance(answer, Exception)] == [7, 9]
    assert [answer for answer in answers if not isinstance(answer, BaseException)] == [MAIL_PURPOSES] * 38
    assert world.count("deliveries") == 38


async def test_grants_of_many_people_are_read_together(world: World) -> None:
    await world.give(ANNA)
    await world.give(BERT, OPEN)
    people = [ANNA, BERT, person(1), ANNA] * 300
    answers = await asyncio.gather(*(world.store.grants_of(who, TODAY) for who in people))
    assert answers == [MAIL_PURPOSES, OPEN, frozenset(), MAIL_PURPOSES] * 300


async def test_deliveries_are_kept_apart_by_their_id(world: World) -> None:
    first = await world.send()
    second = replace(first, delivery=DeliveryId(b"2" * 16), sent_hour=Hour(first.sent_hour + 1))
    assert await world.store.register(second, TODAY) == MAIL_PURPOSES
    assert world.count("deliveries") == 2


async def test_hits_wait_for_a_few_links_at_most_and_not_for_all_of_a_message(world: World) -> None:
    """A message with five thousand links is registered while others' mail is being opened."""
    sent = await world.send(BERT)
    await world.give(ANNA)
    links = tuple(Link(LinkNumber(number), "shop.example.com", f"/{number}") for number in range(1, 5_001))
    catalogue = replace(copy(ANNA), message=MessageKey(b"C" * 16), links=links)
    registering = asyncio.ensure_future(world.store.register(catalogue, TODAY))
    hours = iter(range(hour_of(NOW), hour_of(NOW) + 1_000))
    meanwhile = 0
    while not registering.done():
        assert await world.store.record(opened(sent, hour=Hour(next(hours))), TODAY)
        meanwhile += 1
    assert meanwhile >= 5, "in one transaction there would be two at the most"
    assert await registering == MAIL_PURPOSES
    assert world.rows("SELECT count(*) FROM links WHERE message = ?", catalogue.message) == [(5_000,)]
    assert world.count("events") == meanwhile


async def test_of_many_links_too_nothing_is_written_for_nobody_and_nothing_twice(world: World) -> None:
    links = tuple(Link(LinkNumber(number), "shop.example.com", f"/{number}") for number in range(1, 502))
    assert await world.store.register(copy(links=links), TODAY) == frozenset()
    assert [world.count(table) for table in HOT] == [0] * len(HOT)
    await world.give()
    for _ in range(2):
        assert await world.store.register(copy(links=links), TODAY) == MAIL_PURPOSES
    assert [world.count(table) for table in ("messages", "links", "deliveries")] == [1, 501, 1]


async def test_one_withdrawal_in_the_middle_of_a_thousand_events_takes_its_own_alone(world: World) -> None:
    """No other row is lost, and none of who withdrew is left."""
    people = [person(number) for number in range(20)]
    copies = [await world.send(who) for who in people]
    hits = [opened(sent, hour=Hour(hour_of(NOW) + hour)) for hour in range(50) for sent in copies]
    waiting = [asyncio.ensure_future(world.store.record(hit, TODAY)) for hit in hits]
    await asyncio.sleep(0)
    while True:
        with suppress(StoreUnavailable):  # this store has no patience with the rows a group just holds
            assert await world.withdraw(people[7])
            break
    answers = await asyncio.gather(*waiting)
    assert sum(answers) >= 950
    assert world.rows("SELECT delivery, count(*) FROM events GROUP BY delivery ORDER BY delivery") == sorted(
        (sent.delivery, 50) for number, sent in enumerate(copies) if number != 7
    )
