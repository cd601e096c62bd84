"""Figures count distinct deliveries, people and machines apart, and only what can still be measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.store.world import ANNA, BERT, BLOG, JONAS, MARIA, OFFER, SHOP, TODAY, World, at, clicked, copy, on, opened
from tracker.model import (
    MAIL_PURPOSES,
    Agent,
    DeliveryId,
    Hour,
    InvalidField,
    LinkFigures,
    MessageFigures,
    MessageKey,
    MessageQuery,
    Owner,
    PersonFigures,
    Pseudonym,
    Purpose,
    Reason,
    Registration,
    UntouchedCopy,
)

OPEN = frozenset({Purpose.OPEN})
CARL = Pseudonym(b"c" * 32)


async def figures_of(world: World, key: MessageKey = OFFER, day: int = 0) -> MessageFigures:
    found = await world.store.message(key, None, on(day))
    assert found is not None
    return found


async def test_a_message_is_counted_by_distinct_deliveries(world: World) -> None:
    """R41: rates have those who could be measured as their base."""
    anna, bert, carl = [await world.send(who) for who in (ANNA, BERT, CARL)]
    for event in (
        opened(anna),
        opened(anna, hour=Hour(anna.sent_hour + 1)),
        opened(anna, agent=Agent.MACHINE),
        opened(bert, agent=Agent.PROXY),
        opened(carl, agent=Agent.MACHINE),
        clicked(anna, SHOP),
        clicked(anna, BLOG),
        clicked(bert, SHOP, agent=Agent.MACHINE),
        clicked(carl, BLOG),
    ):
        assert await world.store.record(event, TODAY)
    assert await figures_of(world) == MessageFigures(
        message=OFFER,
        label="Offer",
        first_sent=anna.sent_hour,
        last_sent=anna.sent_hour,
        measurable={Purpose.OPEN: 3, Purpose.CLICK: 3},
        opened=2,
        opened_by_machines_only=1,
        clicked=2,
        clicked_by_machines_only=1,
        tracked=3,
        untouched={},
        links=(LinkFigures("blog.example.com", "/b", 2, 0), LinkFigures("shop.example.com", "/a", 1, 1)),
        measured=3,
        engaged=3,
        machines_only=0,
        last_engaged=Hour(anna.sent_hour + 1),
    )


async def test_links_that_nobody_followed_are_named_too(world: World) -> None:
    await world.send()
    figures = await figures_of(world)
    assert figures.links == (LinkFigures("blog.example.com", "/b", 0, 0), LinkFigures("shop.example.com", "/a", 0, 0))


async def test_untouched_copies_are_named_by_reason(world: World) -> None:
    """R41: what could not be measured is shown with its reason."""
    await world.send()
    for reason in (Reason.NO_GRANT, Reason.NO_GRANT, Reason.SIGNED):
        world.store.count_untouched(UntouchedCopy(JONAS, TODAY, reason, OFFER, False))
    await world.store.close()
    figures = await figures_of(world)
    assert figures.untouched == {Reason.NO_GRANT: 2, Reason.SIGNED: 1}
    assert figures.sent == 4


async def test_a_withdrawal_takes_the_person_out_of_both_sides(world: World) -> None:
    for who in (ANNA, BERT):
        assert await world.store.record(opened(await world.send(who)), TODAY)
    await world.withdraw(ANNA, OPEN)
    figures = await figures_of(world)
    assert (figures.opened, figures.measurable, figures.tracked) == (1, {Purpose.OPEN: 1, Purpose.CLICK: 2}, 2)


async def test_a_later_yes_changes_no_rate(world: World) -> None:
    """R41: the base is who could be measured when the mail was sent, not who agreed since."""
    sent = copy(purposes=OPEN)
    await world.give(purposes=OPEN)
    assert await world.store.register(sent, TODAY) == OPEN
    before = await figures_of(world)
    await world.give()
    assert await figures_of(world) == before
    assert before.measurable == {Purpose.OPEN: 1}


async def test_an_expired_grant_is_out_before_the_sweep_comes(world: World) -> None:
    await world.give(days=5)
    assert await world.store.register(copy(), TODAY)
    assert await world.store.record(opened(copy()), TODAY)
    before, after = await figures_of(world, day=5), await figures_of(world, day=6)
    assert (before.opened, before.measurable[Purpose.OPEN]) == (1, 1)
    assert (after.opened, after.measurable, after.tracked) == (0, {}, 1)


async def test_a_message_is_gone_with_its_last_delivery(world: World) -> None:
    await world.send(ANNA)
    await world.send(BERT, last_day=on(91))
    assert (await figures_of(world, day=91)).tracked == 1
    assert await world.store.message(OFFER, None, on(92)) is None
    assert await world.store.messages(MessageQuery(None), on(92)) == ((), None)


async def test_another_owners_message_is_not_found(world: World) -> None:
    await world.send()
    assert await world.store.message(OFFER, frozenset({JONAS}), TODAY) is not None
    assert await world.store.message(OFFER, frozenset({MARIA}), TODAY) is None
    assert await world.store.messages(MessageQuery(frozenset({MARIA})), TODAY) == ((), None)
    assert (await world.store.person(ANNA, frozenset({MARIA}), TODAY)).messages == ()


async def sent_one_after_the_other(world: World, count: int) -> list[Registration]:
    """COUNT messages to Anna; two in each hour, of Jonas and Maria in turn."""
    await world.give()
    copies = [
        copy(
            delivery=DeliveryId(bytes([number]) * 16),
            message=MessageKey(bytes([number]) * 16),
            owner=Owner((JONAS, MARIA)[number % 2]),
            sent_hour=Hour(copy().sent_hour + number // 2),
            label=str(number),
        )
        for number in range(count)
    ]
    for sent in copies:
        assert await world.store.register(sent, TODAY) == MAIL_PURPOSES
    return copies


async def test_pages_follow_each_other_newest_first(world: World) -> None:
    copies = await sent_one_after_the_other(world, 7)
    seen: list[MessageKey] = []
    after = None
    for size in (3, 3, 1):
        page, after = await world.store.messages(MessageQuery(None, limit=3, after=after), TODAY)
        assert len(page) == size
        seen += [figures.message for figures in page]
    assert after is None
    assert seen == [sent.message for sent in reversed(copies)]


async def test_pages_of_one_owner_hold_that_owners_messages(world: World) -> None:
    copies = await sent_one_after_the_other(world, 6)
    jonas = MessageQuery(frozenset({JONAS}), limit=2)
    first, after = await world.store.messages(jonas, TODAY)
    second, end = await world.store.messages(replace(jonas, after=after), TODAY)
    expected = [sent.message for sent in reversed(copies) if sent.owner == JONAS]
    assert [figures.message for figures in first + second] == expected
    assert end is None


@pytest.mark.parametrize(
    "cursor", ["", "x", "1-00", "s1", "s0-1", "s0-1-zz", "s0--1-00", "e0-1-00", "s0-" + "1" * 40 + "-00", "s0-٣-00"]
)
async def test_a_cursor_that_no_page_gave_is_refused_or_finds_nothing(world: World, cursor: str) -> None:
    await world.send()
    try:
        page, _ = await world.store.messages(MessageQuery(None, after=cursor), TODAY)
    except InvalidField:
        return
    assert page == ()


async def test_a_person_is_shown_by_message_most_recent_first(world: World) -> None:
    copies = await sent_one_after_the_other(world, 4)
    later = Hour(copies[0].sent_hour + 5)
    for event in (
        opened(copies[0], hour=later),
        opened(copies[0], agent=Agent.MACHINE),
        opened(copies[0], hour=Hour(later + 1)),
        clicked(copies[1], SHOP, hour=later, agent=Agent.PROXY),
        clicked(copies[2], BLOG, agent=Agent.MACHINE),
    ):
        assert await world.store.record(event, TODAY)
    figures = await world.store.person(ANNA, None, TODAY)
    assert figures.purposes == MAIL_PURPOSES
    assert [engagement.label for engagement in figures.messages] == ["3", "2", "1", "0"]
    third, second, first, zeroth = figures.messages
    assert (third.opened, third.clicked, third.machines, third.links) == (None, None, False, ())
    assert (second.clicked, second.machines) == (None, True)
    assert second.links == (LinkFigures("blog.example.com", "/b", 0, 1),)
    assert (first.clicked, first.links) == (later, (LinkFigures("shop.example.com", "/a", 1, 0),))
    assert (zeroth.opened, zeroth.clicked, zeroth.machines, zeroth.sent) == (later, None, True, copies[0].sent_hour)
    assert zeroth.measurable == MAIL_PURPOSES


async def test_a_person_who_got_a_message_twice_is_shown_once(world: World) -> None:
    sent = await world.send()
    again = replace(sent, delivery=DeliveryId(b"2" * 16), sent_hour=Hour(sent.sent_hour + 24))
    assert await world.store.register(again, TODAY)
    assert await world.store.record(clicked(sent), TODAY)
    assert await world.store.record(clicked(again), TODAY)
    (engagement,) = (await world.store.person(ANNA, frozenset({JONAS}), TODAY)).messages
    assert (engagement.sent, engagement.links[0].people) == (again.sent_hour, 2)


async def test_who_withdrew_and_who_was_never_there_look_alike(world: World) -> None:
    sent = await world.send()
    assert await world.store.record(opened(sent), TODAY)
    await world.withdraw()
    nobody = PersonFigures(frozenset(), ())
    assert await world.store.person(ANNA, None, TODAY) == nobody
    assert await world.store.person(BERT, None, TODAY) == nobody


async def test_a_person_is_found_by_the_senders_own_reference(world: World) -> None:
    sent = await world.send(reference="4711")
    assert await world.store.record(opened(sent), TODAY)
    found = await world.store.person_by_reference("crm", "4711", frozenset({JONAS}), TODAY)
    assert found == await world.store.person(ANNA, frozenset({JONAS}), TODAY)
    assert await world.store.person_by_reference("crm", "4712", frozenset({JONAS}), TODAY) is None


async def test_nothing_of_a_person_is_shown_past_the_deliverys_day(world: World) -> None:
    await world.send()
    await world.give(now=at(89))
    assert len((await world.store.person(ANNA, None, on(90))).messages) == 1
    assert (await world.store.person(ANNA, None, on(91))).messages == ()
