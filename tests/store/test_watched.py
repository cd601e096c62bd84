"""Who watches sees what people do just now who agreed to be watched: of own messages, whichever process wrote it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from tests.store.conftest import Worlds
from tests.store.conftest import opened as opened_store
from tests.store.test_running_hour import LIVE, NOW, offer
from tests.store.world import ANNA, BERT, BLOG, JONAS, MARIA, SHOP, TODAY, World, at, clicked, on, opened, person
from tracker.core.calendar import day_of
from tracker.model import (
    Account,
    Agent,
    Event,
    Feature,
    Hour,
    Language,
    Notice,
    Purpose,
    Registration,
    Role,
    StaffSession,
)
from tracker.store.watched import Touch

MINE = frozenset({JONAS})


@pytest.fixture
async def world(worlds: Worlds) -> AsyncIterator[World]:
    async with worlds() as one:
        assert await one.store.add_notice(Notice(LIVE, Language.DE, "Auch?", features=frozenset({Feature.LIVE})))
        yield one


async def send(world: World, *copies: Registration, version: str = LIVE) -> None:
    for each in copies:
        await world.give(each.recipient, notice_version=version)
        assert await world.store.register(each, TODAY)


async def touch(world: World, *events: Event) -> None:
    for event in events:
        assert await world.store.record(event, TODAY)


async def seen(world: World, since: Hour = NOW) -> frozenset[Touch]:
    return (await world.store.watch((), MINE, at(0), since))[1]


def of(event: Event, sent: Registration) -> Touch:
    return Touch(sent.owner, sent.message, event.delivery, event.purpose, event.link, event.hour)


async def test_only_of_own_messages_and_of_who_agreed_to_be_watched(world: World) -> None:
    anna, bert = offer(1), offer(2, BERT)
    other = replace(offer(3, person(3)), owner=MARIA)
    await send(world, anna, other)
    await send(world, bert, version="2026-1")
    events = [clicked(sent, hour=NOW) for sent in (anna, bert, other)]
    await touch(world, *events, opened(anna, hour=NOW))
    assert await seen(world) == {of(events[0], anna), of(opened(anna, hour=NOW), anna)}
    assert await world.store.watch((), {MARIA}, at(0), NOW) == (frozenset(), frozenset({of(events[2], other)}))
    assert await world.store.watch((), (), at(0), NOW) == (frozenset(), frozenset())


async def test_what_machines_do_and_what_is_past_is_nothing_new(world: World) -> None:
    sent = offer(1)
    await send(world, sent)
    await touch(world, opened(sent, hour=Hour(NOW - 1)), clicked(sent, hour=NOW, agent=Agent.MACHINE))
    assert await seen(world) == frozenset()
    assert await seen(world, Hour(NOW - 1)) == {of(opened(sent, hour=Hour(NOW - 1)), sent)}
    await touch(world, clicked(sent, BLOG, hour=NOW, agent=Agent.PROXY), clicked(sent, BLOG, hour=NOW))
    assert await seen(world) == {of(clicked(sent, BLOG, hour=NOW), sent)}, "an upgrade is the same touch"


async def test_it_ends_with_the_grant_the_purpose_and_the_notice(world: World) -> None:
    anna, bert = offer(1), offer(2, BERT)
    await send(world, anna, bert)
    await touch(world, *(make(sent, hour=NOW) for sent in (anna, bert) for make in (opened, clicked)))
    assert len(await seen(world)) == 4
    await world.withdraw(ANNA, frozenset({Purpose.CLICK}))
    await world.store.look_for_last_engagement(TODAY)
    assert {(one.message, one.purpose) for one in await seen(world)} == {
        (anna.message, Purpose.OPEN), (bert.message, Purpose.OPEN), (bert.message, Purpose.CLICK),
    }  # fmt: skip
    await world.withdraw(BERT)
    assert {one.message for one in await seen(world)} == {anna.message}
    await world.store.supersede(LIVE, at(0), 1_095)
    assert await seen(world) == frozenset()


async def test_another_process_sees_what_this_one_wrote(world: World) -> None:
    sent = offer(1)
    await send(world, sent)
    other = await opened_store(world.url, busy_seconds=1.0)
    try:
        assert (await other.watch((), MINE, at(0), NOW))[1] == frozenset()
        await touch(world, clicked(sent, hour=NOW))
        assert (await other.watch((), MINE, at(0), NOW))[1] == {of(clicked(sent, hour=NOW), sent)}
    finally:
        await other.close()


async def test_it_is_told_with_the_label_and_where_the_link_leads(world: World) -> None:
    sent = offer(1)
    await send(world, sent)
    await touch(world, opened(sent, hour=NOW), clicked(sent, SHOP, hour=NOW), clicked(sent, BLOG, hour=NOW))
    told = await world.store.told(await seen(world))
    assert {(one.label, one.touch.purpose.value, one.target) for one in told} == {
        ("1", "open", ""), ("1", "click", "shop.example.com/a"), ("1", "click", "blog.example.com/b"),
    }  # fmt: skip
    gone = replace(offer(9)).message
    assert await world.store.told([next(iter(await seen(world)))._replace(message=gone)]) == ()


async def test_of_many_messages_all_are_looked_at(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracker.store.watched.CHUNK", 2)
    copies = [offer(number, person(number)) for number in range(5)]
    await send(world, *copies)
    await touch(world, *(clicked(sent, hour=NOW) for sent in copies))
    assert await seen(world) == {of(clicked(sent, hour=NOW), sent) for sent in copies}


async def test_sessions_that_are_over_are_not_open(world: World) -> None:
    account = Account(7, "rita@example.com", Role.REP, day_of(at(0)))
    sessions = [
        StaffSession(bytes([number]) * 32, account, at(0), at(0), at(ends), complete=True)
        for number, ends in enumerate((1, 2, 2))
    ]
    async with world.store.staff() as book:
        assert await book.add(account, "hash")
        for session in sessions:
            await book.begin(session)
            await book.use_session(session.digest, at(1))
    digests = [session.digest for session in sessions] + [b"x" * 32]
    assert (await world.store.watch(digests, MINE, at(1), NOW))[0] == {sessions[1].digest, sessions[2].digest}
    async with world.store.staff() as book:
        assert await book.end_session(7, sessions[1].digest)
    assert (await world.store.watch(digests, MINE, at(1), NOW))[0] == {sessions[2].digest}
    async with world.store.staff() as book:
        await book.disable(7, TODAY, on(9))
    assert (await world.store.watch(digests, MINE, at(1), NOW))[0] == frozenset()
