"""Lists of messages: what people touched last comes first, and leaves its place when they withdraw."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.store.world import (
    ANNA,
    BERT,
    JONAS,
    MARIA,
    TODAY,
    World,
    at,
    clicked,
    copy,
    on,
    opened,
    person,
)
from tracker.model import (
    MAIL_PURPOSES,
    Agent,
    DeliveryId,
    DeliveryRef,
    Event,
    Hour,
    InvalidField,
    Left,
    MessageKey,
    MessageQuery,
    Order,
    Owner,
    Purpose,
    Registration,
)
from tracker.store import engaged
from tracker.store.feed import position

FEED = MessageQuery(frozenset({JONAS}), Order.ENGAGED)
SENT = copy().sent_hour


def offer(number: int, **changes: Any) -> Registration:
    """One of Anna's messages."""
    key = bytes([number]) * 16
    return copy(delivery=DeliveryId(key), message=MessageKey(key), label=str(number), **changes)


async def send(world: World, *copies: Registration) -> None:
    for each in copies:
        await world.give(each.recipient)
        assert await world.store.register(each, TODAY)


async def touch(world: World, *events: Event) -> None:
    for event in events:
        assert await world.store.record(event, TODAY)


async def labels(world: World, query: MessageQuery = FEED, day: int = 0) -> list[str | None]:
    """Of all pages."""
    found: list[str | None] = []
    while True:
        page, after = await world.store.messages(query, on(day))
        found += [message.label for message in page]
        assert len(page) == query.limit or after is None
        if after is None:
            return found
        query = replace(query, after=after)


async def test_the_latest_engagement_comes_first_and_then_what_nobody_touched(world: World) -> None:
    copies = [offer(number, sent_hour=Hour(SENT + number)) for number in range(6)]
    await send(world, *copies)
    await touch(
        world,
        opened(copies[0], hour=Hour(SENT + 30)),
        clicked(copies[1], hour=Hour(SENT + 20)),
        opened(copies[2], hour=Hour(SENT + 10)),
        opened(copies[2], hour=Hour(SENT + 40)),
        opened(copies[3], hour=Hour(SENT + 50), agent=Agent.MACHINE),
        opened(copies[4], hour=Hour(SENT + 15), agent=Agent.PROXY),
    )
    expected = ["2", "0", "1", "4", "5", "3"]
    for limit in (1, 2, 3, 4, 6, 50):
        assert await labels(world, replace(FEED, limit=limit)) == expected
    assert await labels(world, replace(FEED, engaged=True, limit=3)) == expected[:4]
    assert await labels(world, replace(FEED, engaged=False)) == expected[4:]
    assert await labels(world, replace(FEED, order=Order.SENT)) == ["5", "4", "3", "2", "1", "0"]
    assert await labels(world, replace(FEED, order=Order.SENT, engaged=True, limit=2)) == ["4", "2", "1", "0"]
    page, _ = await world.store.messages(FEED, TODAY)
    assert [message.last_engaged and message.last_engaged - SENT for message in page] == [40, 30, 20, 15, None, None]


async def test_a_campaign_of_many_stands_once_and_at_its_last_hour(world: World) -> None:
    campaign = [copy(person(number), label="many") for number in range(30)]
    await send(world, offer(1), offer(2), *campaign)
    await touch(world, *(opened(sent, hour=Hour(SENT + 5 + number // 10)) for number, sent in enumerate(campaign)))
    await touch(world, opened(offer(1), hour=Hour(SENT + 6)), opened(offer(2), hour=Hour(SENT + 8)))
    for limit in (1, 2, 3):
        assert await labels(world, replace(FEED, limit=limit)) == ["2", "many", "1"]


async def test_a_withdrawal_takes_its_hour_out_of_the_order_with_the_grant(world: World) -> None:
    """R44: the order of a list is event data, and goes in the same DELETE."""
    both = MessageKey(b"b" * 16)
    copies = [offer(1), copy(ANNA, message=both, label="both"), copy(BERT, message=both, label="both")]
    await send(world, *copies)
    await touch(
        world,
        opened(copies[1], hour=Hour(SENT + 9)),
        opened(copies[2], hour=Hour(SENT + 2)),
        opened(offer(1), hour=Hour(SENT + 5)),
    )
    assert await labels(world) == ["both", "1"]
    with world.plain() as sql:
        sql.execute("DELETE FROM grants")
        assert sql.execute("SELECT max(engaged_hour) FROM messages").fetchone() == (0,)
    await world.withdraw(ANNA)
    assert world.rows("SELECT max(engaged_hour) FROM messages") == [(0,)]
    assert await world.store.look_for_last_engagement(TODAY) == 2
    page, _ = await world.store.messages(FEED, TODAY)
    assert [(message.label, message.last_engaged) for message in page] == [("both", SENT + 2), ("1", None)]
    assert world.rows("SELECT engaged_hour FROM messages ORDER BY engaged_hour") == [(0,), (SENT + 2,)]
    assert world.count("engaged_unsure") == 0


async def test_copies_that_go_take_their_hour_along_whichever_way_they_go(world: World) -> None:
    """R44: also where the grant stays, as after an erasure and a later yes, or when a copy is taken back."""
    for erased in (True, False):
        sent = offer(1 if erased else 2)
        both = copy(BERT, message=sent.message, label="both")
        await send(world, sent, both)
        await touch(world, opened(sent, hour=Hour(SENT + 9)))
        if erased:
            async with world.store.subjects() as book:
                await book.erase(
                    ANNA, now=at(0), actor="jonas", language=None, content_last_day=on(90), suppression_last_day=on(90),
                    tell_until=on(9), spared=MAIL_PURPOSES,
                )  # fmt: skip
        else:
            await world.store.take_back(DeliveryRef(sent.last_day, sent.delivery))
        assert world.rows("SELECT max(engaged_hour) FROM messages") == [(0,)]
        assert world.count("events") == 0


async def test_an_event_that_turns_out_to_be_a_machines_takes_its_hour_along(world: World) -> None:
    sent = offer(1)
    await send(world, sent)
    await touch(world, *(opened(sent, hour=Hour(SENT + hour)) for hour in (2, 5, 9)))
    for gone, at_once, after in ((5, SENT + 9, SENT + 9), (9, 0, SENT + 2), (2, 0, 0)):
        with world.connected() as sql:
            sql.execute(f"DELETE FROM events WHERE hour = {SENT + gone}")
        assert world.rows("SELECT engaged_hour FROM messages") == [(at_once,)]
        await world.store.look_for_last_engagement(TODAY)
        assert world.rows("SELECT engaged_hour FROM messages") == [(after,)]
    assert await labels(world, replace(FEED, engaged=False)) == ["1"]


async def test_what_goes_while_an_hour_is_looked_for_is_not_put_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = offer(1)
    await send(world, sent)
    await touch(world, *(opened(sent, hour=Hour(SENT + hour)) for hour in (2, 5, 9)))
    with world.connected() as sql:
        sql.execute(f"DELETE FROM events WHERE hour = {SENT + 9}")
    looked = engaged._last_hours

    async def slow(*words: Any) -> dict[bytes, int]:
        found = await looked(*words)
        if found.get(sent.message) == SENT + 5:
            with world.connected() as sql:
                sql.execute(f"DELETE FROM events WHERE hour = {SENT + 5}")
        return found

    monkeypatch.setattr(engaged, "_last_hours", slow)
    await world.store.look_for_last_engagement(TODAY)
    assert world.rows("SELECT engaged_hour FROM messages") == [(SENT + 2,)]


async def test_what_has_passed_its_day_has_no_place(world: World) -> None:
    begun = Hour(TODAY * 24 - 24 * 88)
    long = offer(2, sent_hour=begun, last_day=on(2))
    again = replace(long, delivery=DeliveryId(b"x" * 16), sent_hour=SENT, last_day=on(90))
    await send(world, long, again)
    await touch(world, opened(long, hour=Hour(SENT + 9)), opened(again, hour=Hour(SENT + 1)))
    assert (await world.store.messages(FEED, on(2)))[0][0].last_engaged == SENT + 9
    assert (await world.store.messages(FEED, on(3)))[0][0].last_engaged == SENT + 1
    await world.store.look_for_last_engagement(on(3))  # also where no trigger sees what the sweep drops
    assert world.rows("SELECT engaged_hour FROM messages") == [(SENT + 1,)]
    await world.store.sweep(on(3), at(3), 1_095)
    await world.store.look_for_last_engagement(on(3))
    assert world.rows("SELECT engaged_hour FROM messages") == [(SENT + 1,)]


async def test_the_logins_of_one_rep_share_a_list(world: World) -> None:
    other = Owner(b"o" * 16)
    copies = [offer(number, owner=(JONAS, other, MARIA)[number % 3]) for number in range(9)]
    await send(world, *copies)
    await touch(world, *(opened(sent, hour=Hour(SENT + number)) for number, sent in enumerate(copies)))
    query = MessageQuery(frozenset({JONAS, other}), Order.ENGAGED, limit=4)
    assert await labels(world, query) == ["7", "6", "4", "3", "1", "0"]
    assert await labels(world, replace(query, order=Order.SENT)) == ["7", "6", "4", "3", "1", "0"]


async def test_a_list_is_narrowed_by_label_day_and_message(world: World) -> None:
    copies = [offer(number, sent_hour=Hour(SENT + 24 * number), last_day=on(90 + number)) for number in range(8)]
    await send(world, *copies, replace(offer(20), label="3"))
    await touch(world, *(opened(sent, hour=Hour(SENT + 300)) for sent in copies[::2]))
    for order in Order:
        query = MessageQuery(frozenset({JONAS}), order, limit=2)
        assert await labels(world, replace(query, label="3")) == ["3", "3"]
        assert set(await labels(world, replace(query, first_day=on(2), last_day=on(5)))) == {"2", "3", "4", "5"}
        assert await labels(world, replace(query, messages=frozenset({copies[6].message}))) == ["6"]
        assert await labels(world, replace(query, label="none")) == []


async def test_everybodys_list_has_no_order_by_engagement(world: World) -> None:
    with pytest.raises(InvalidField):
        await world.store.messages(MessageQuery(None, Order.ENGAGED), TODAY)


async def test_links_left_alone_are_told_with_their_reasons(world: World) -> None:
    left = {Left.VISIBLE_URL: 2, Left.EXCLUDED: 1, Left.NO_GRANT: 4}
    await send(world, copy(left=left), copy(BERT, left={Left.VISIBLE_URL: 5}))
    figures = await world.store.message(copy().message, None, TODAY)
    assert figures is not None
    assert figures.left == {Left.VISIBLE_URL: 2, Left.EXCLUDED: 1}


async def test_few_recipients_are_named_by_references_and_who_withdrew_is_not(world: World) -> None:
    await send(world, copy(ANNA, reference="4711"), copy(BERT, reference="4712"), offer(1))
    figures = await world.store.message(copy().message, None, TODAY, "crm")
    assert figures is not None
    assert figures.references == ("4711", "4712")
    other = await world.store.message(copy().message, None, TODAY, "newsletter")
    assert other is not None
    assert other.references == ()
    await world.withdraw(BERT)
    after = await world.store.message(copy().message, None, TODAY)
    assert after is not None
    assert after.references == ("4711",)


async def test_many_recipients_are_not_named(world: World) -> None:
    await send(world, *(copy(person(number), reference=str(number)) for number in range(4)))
    figures = await world.store.message(copy().message, None, TODAY)
    assert figures is not None
    assert figures.references == ()


async def test_a_timeline_tells_hours_and_over_days_days(world: World) -> None:
    anna, bert = copy(ANNA), copy(BERT)
    await send(world, anna, bert)
    await touch(
        world,
        opened(anna),
        opened(bert),
        clicked(anna),
        opened(anna, agent=Agent.MACHINE),
        opened(anna, hour=Hour(SENT + 3)),
    )
    told = [(moment.hour - SENT, moment.opened, moment.clicked, moment.machines) for moment in await timeline(world)]
    assert told == [(0, 2, 1, 1), (3, 1, 0, 0)]
    await touch(world, opened(anna, hour=Hour(SENT + 100)), opened(anna, hour=Hour(SENT + 101)))
    told = [(moment.hour, moment.opened, moment.clicked, moment.machines) for moment in await timeline(world)]
    assert told == [(TODAY * 24, 2, 1, 1), ((TODAY + 4) * 24, 1, 0, 0)]
    await world.withdraw(ANNA)
    told = [(moment.hour, moment.opened, moment.clicked, moment.machines) for moment in await timeline(world)]
    assert told == [(SENT, 1, 0, 0)]


async def timeline(world: World) -> Any:
    return await world.store.timeline(copy().message, TODAY)


@given(st.one_of(st.text(max_size=40), st.from_regex(r"[es][0-9]{1,9}-[0-9]{1,9}-[0-9a-f]*", fullmatch=True)))
def test_a_cursor_is_a_place_or_is_refused(cursor: str) -> None:
    for order in Order:
        try:
            place = position(order, cursor)
        except InvalidField:
            continue
        touched, sent, key = place
        assert position(order, f"{cursor[0]}{touched}-{sent}-{key.hex()}") == place


async def test_a_purpose_that_ended_leaves_the_other_in_place(world: World) -> None:
    sent = offer(1)
    await send(world, sent)
    await touch(world, opened(sent, hour=Hour(SENT + 7)), clicked(sent, hour=Hour(SENT + 3)))
    await world.withdraw(ANNA, frozenset({Purpose.OPEN}))
    (figures,), _ = await world.store.messages(FEED, TODAY)
    assert (figures.last_engaged, figures.engaged, figures.measured) == (SENT + 3, 1, 1)
