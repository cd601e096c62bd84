"""A burst makes an hour of a delivery a program's, in the write that brings its last hit, and keeps it so."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.store.world import (
    ANNA,
    BERT,
    BLOG,
    FINGERPRINT,
    LEDGER_KEY,
    NOW,
    OFFER,
    RETENTION,
    SHOP,
    TODAY,
    World,
    person,
)
from tests.store.world import clicked as click
from tests.store.world import copy as copy_of
from tests.store.world import opened as open_
from tracker.core.bursts import HASTE, Bursts
from tracker.core.calendar import hour_of
from tracker.model import Agent, Event, Hour, Link, LinkNumber, Registration
from tracker.store.bursts import Struck, mark_bursts_at_once, nothing_struck, struck_of
from tracker.store.store import Store

HOUR = hour_of(NOW)
LATER = Hour(HOUR + 1)
WORKERS = 4
EVENTS = "SELECT delivery, purpose, link, hour, agent FROM events"
Row = tuple[str, int, int, int]


def rows(found: list[tuple[bytes, str, int, int, int]], sent: Registration | None = None) -> set[Row]:
    """Purpose, link, hour and agent of the EVENTS found, of one delivery or of all."""
    return {tuple(rest) for delivery, *rest in found if sent is None or delivery == sent.delivery}  # type: ignore[misc]


async def opened_store(url: str, struck: Struck = nothing_struck) -> Store:
    store = await Store.open(url, ledger_key=LEDGER_KEY, fingerprint=FINGERPRINT, retention_days=RETENTION)
    store.heed_bursts(struck)
    return store


@pytest.fixture
def bursts(world: World) -> Bursts:
    """What the store of the world heeds."""
    bursts = Bursts.alone()
    world.store.heed_bursts(bursts.struck)
    return bursts


def sweep(bursts: Bursts, sent: Registration) -> None:
    """Both links at once."""
    for link in (SHOP, BLOG):
        bursts.followed(sent.delivery, link.number, NOW.timestamp())


async def before(world: World) -> tuple[Registration, Registration]:
    """What Anna's scanner and she did, but for one link, and what Bert did."""
    sent, other = await world.send(ANNA), await world.send(BERT)
    for event in (
        open_(sent),
        open_(sent, agent=Agent.PROXY),
        click(sent, BLOG),
        click(sent, BLOG, agent=Agent.MACHINE),
        click(sent, SHOP, hour=LATER),
        open_(other),
        click(other, SHOP),
    ):
        assert await world.store.record(event, TODAY)
    return sent, other


SWEPT = {
    ("o", 0, HOUR, Agent.MACHINE),
    ("o", 0, HOUR, Agent.PROXY),
    ("c", BLOG.number, HOUR, Agent.MACHINE),
    ("c", SHOP.number, HOUR, Agent.MACHINE),
    ("c", SHOP.number, LATER, Agent.HUMAN),
}
"""What becomes of Anna's."""


async def test_all_of_that_hour_becomes_a_programs_and_nothing_else(world: World, bursts: Bursts) -> None:
    """R36: also the image, which the scanner loads as well; another hour, another person and Gmail's proxy stay."""
    sent, other = await before(world)
    sweep(bursts, sent)
    assert await world.store.record(click(sent, SHOP), TODAY)
    assert rows(world.rows(EVENTS), sent) == SWEPT
    assert rows(world.rows(EVENTS), other) == {("o", 0, HOUR, Agent.HUMAN), ("c", SHOP.number, HOUR, Agent.HUMAN)}


async def test_the_same_happens_in_a_thread_of_sqlites_own(sqlite_world: World) -> None:
    sent, _ = await before(sqlite_world)
    assert await sqlite_world.store.record(click(sent, SHOP), TODAY)
    with closing(sqlite3.connect(sqlite_world.path)) as plain, plain:
        plain.execute("PRAGMA foreign_keys = ON")
        mark_bursts_at_once(plain, {(sent.last_day, sent.delivery, HOUR)})
    assert rows(sqlite_world.rows(EVENTS), sent) == SWEPT


async def test_it_sticks_for_the_hour_and_a_later_hit_of_a_person_counts_again(world: World, bursts: Bursts) -> None:
    """PAINS 17: a later human open upgrades the label."""
    sent = await world.send()
    sweep(bursts, sent)
    for event in (click(sent, SHOP), click(sent, BLOG), open_(sent)):
        assert await world.store.record(event, TODAY)
    swept = await world.store.message(OFFER, None, TODAY)
    assert swept is not None
    assert (swept.opened, swept.clicked) == (0, 0)
    assert (swept.opened_by_machines_only, swept.clicked_by_machines_only) == (1, 1)
    assert [(link.people, link.machines) for link in swept.links] == [(0, 1), (0, 1)]
    assert await world.store.record(open_(sent, hour=LATER), TODAY)
    assert await world.store.record(click(sent, SHOP, hour=LATER), TODAY)
    read = await world.store.message(OFFER, None, TODAY)
    assert read is not None
    assert (read.opened, read.clicked) == (1, 1)
    assert (read.opened_by_machines_only, read.clicked_by_machines_only) == (0, 0)
    assert {(link.host, link.people, link.machines) for link in read.links} == {
        ("shop.example.com", 1, 0),
        ("blog.example.com", 0, 1),
    }
    person = (await world.store.person(ANNA, None, TODAY)).messages[0]
    assert (person.opened, person.clicked, person.machines) == (LATER, LATER, True)


async def test_a_person_outranks_a_proxy_and_that_a_machine_in_every_order(world: World) -> None:
    """PAINS 17: figures take the most human of what is on record."""
    sent = await world.send()
    expected = {Agent.MACHINE: (0, 1), Agent.PROXY: (1, 0), Agent.HUMAN: (1, 0)}
    for agent in (Agent.MACHINE, Agent.PROXY, Agent.HUMAN, Agent.MACHINE, Agent.PROXY):
        assert await world.store.record(open_(sent, agent=agent), TODAY)
        figures = await world.store.message(OFFER, None, TODAY)
        assert figures is not None
        best = max(agent for _, _, _, agent in rows(world.rows(EVENTS)))
        assert (figures.opened, figures.opened_by_machines_only) == expected[Agent(best)]


async def test_a_withdrawal_leaves_nothing_to_move(world: World, bursts: Bursts) -> None:
    sent = await world.send()
    assert await world.store.record(click(sent, SHOP), TODAY)
    await world.withdraw()
    sweep(bursts, sent)
    assert not await world.store.record(click(sent, BLOG), TODAY)
    assert rows(world.rows(EVENTS)) == set()


def test_an_ordinary_group_has_nothing_to_move() -> None:
    one, other = click(copy_of(), SHOP), click(copy_of(), SHOP, hour=LATER)
    assert struck_of([one], nothing_struck) == set()
    assert struck_of([one, other, one], lambda _, hour: hour == HOUR) == {(one.last_day, one.delivery, HOUR)}


# --- four workers ----------------------------------------------------------------------------------


@pytest.fixture
async def stores(world: World) -> AsyncIterator[list[Store]]:
    """One for each worker, on one database."""
    stores = [await opened_store(world.url) for _ in range(WORKERS)]
    yield stores
    for store in stores:
        await store.close()


def heeded_by(stores: list[Store]) -> list[Bursts]:
    """What each worker knows of bursts, and its store heeds: nothing yet."""
    found = Bursts.of_workers(len(stores))
    for store, bursts in zip(stores, found, strict=True):
        store.heed_bursts(bursts.struck)
    return found


async def sent_to_somebody(world: World) -> Registration:
    """A copy with eight links for somebody who got nothing yet."""
    links = tuple(Link(LinkNumber(number + 1), "shop.example.com", f"/{number}") for number in range(8))
    return await world.send(person(world.count("deliveries")), links=links)


@st.composite
def spread(draw: st.DrawFn, steps: int = 2, most: int = 7) -> tuple[list[tuple[int, int, float]], list[int]]:
    """A sweep as (worker, link, second), and an order of its hits and writes: each number first hits, then is written.

    Between a hit and its write other hits and writes may come: groups collect, wait and are tried again.
    """
    workers = draw(st.lists(st.integers(0, WORKERS - 1), min_size=2, max_size=most))
    seconds = [draw(st.floats(0, HASTE[0][1] - 0.01)) for _ in workers]
    hits = [(worker, link, second) for link, (worker, second) in enumerate(zip(workers, seconds, strict=True))]
    order = draw(st.permutations([number for number in range(len(hits)) for _ in range(steps)]))
    return hits, list(order)


def follow(bursts: Bursts, sent: Registration, link: int, second: float) -> Event:
    """A worker sees that a link is followed, and judges as `flows/hit` does; what it is to write."""
    at = NOW + timedelta(seconds=second)
    bursts.followed(sent.delivery, LinkNumber(link + 1), at.timestamp())
    agent = Agent.MACHINE if bursts.struck(sent.delivery, hour_of(at)) else Agent.HUMAN
    return click(sent, Link(LinkNumber(link + 1), "", ""), hour=hour_of(at), agent=agent)


NOT_ANEW = [HealthCheck.function_scoped_fixture]
"""Each example has a copy of its own."""


@settings(max_examples=40, deadline=None, suppress_health_check=NOT_ANEW)
@given(spread())
async def test_a_sweep_over_four_workers_ends_as_a_programs_whatever_commits_first(
    world: World, stores: list[Store], case: tuple[list[tuple[int, int, float]], list[int]]
) -> None:
    """R36: bursts over all links of a delivery, spread over workers that each see a few hits of it or one."""
    hits, order = case
    workers, sent = heeded_by(stores), await sent_to_somebody(world)
    begun: dict[int, Event] = {}
    for number in order:
        worker, link, second = hits[number]
        if number not in begun:
            begun[number] = follow(workers[worker], sent, link, second)
        else:
            assert await stores[worker].record(begun[number], TODAY)
    assert rows(world.rows(EVENTS), sent) == {("c", link + 1, HOUR, Agent.MACHINE) for _, link, _ in hits}


async def test_a_person_who_reads_for_an_hour_over_four_workers_is_left_alone(
    world: World, stores: list[Store]
) -> None:
    workers, sent = heeded_by(stores), await sent_to_somebody(world)
    seconds = (0.0, 1.1, 2.5, 60.0, 900.0, 901.0, 3_000.0)
    events = [follow(workers[link % WORKERS], sent, link, second) for link, second in enumerate(seconds)]
    writes = (stores[link % WORKERS].record(event, TODAY) for link, event in enumerate(events))
    assert all(await asyncio.gather(*writes))
    assert rows(world.rows(EVENTS), sent) == {("c", link + 1, HOUR, Agent.HUMAN) for link in range(len(seconds))}


async def test_sweeps_and_people_whose_hits_four_workers_write_at_once_are_told_apart(
    world: World, stores: list[Store]
) -> None:
    """Each worker writes as fast as it can, one hit after the other: their commits fall between each other's."""
    workers = heeded_by(stores)
    swept = [await sent_to_somebody(world) for _ in range(25)]
    read = [await sent_to_somebody(world) for _ in range(25)]

    async def work(number: int) -> list[bool]:
        answers = []
        for turn, (sweep, other) in enumerate(zip(swept, read, strict=True)):
            answers.append(await stores[number].record(follow(workers[number], sweep, number, number / 100), TODAY))
            if turn % WORKERS == number:
                answers.append(await stores[number].record(follow(workers[number], other, 0, number), TODAY))
        return answers

    answers = await asyncio.gather(*(work(number) for number in range(WORKERS)))
    assert all(all(each) for each in answers)
    found = world.rows(EVENTS)
    for sent in swept:
        assert rows(found, sent) == {("c", number + 1, HOUR, Agent.MACHINE) for number in range(WORKERS)}
    for sent in read:
        assert rows(found, sent) == {("c", 1, HOUR, Agent.HUMAN)}


async def test_a_sweep_over_the_end_of_an_hour_is_a_programs_in_both(world: World, stores: list[Store]) -> None:
    """Whichever part was written first, when nobody knew yet."""
    workers = heeded_by(stores)
    for seconds in ((3_599.95, 3_600.05), (3_600.05, 3_599.95)):
        sent = await sent_to_somebody(world)
        for number, second in enumerate(seconds):
            assert await stores[number].record(follow(workers[number], sent, number, second), TODAY)
        assert {(hour, agent) for _, _, hour, agent in rows(world.rows(EVENTS), sent)} == {
            (HOUR, Agent.MACHINE), (LATER, Agent.MACHINE),
        }  # fmt: skip
