"""On PostgreSQL writers take no turns: a burst that is seen before a part of it is committed moves that part too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from itertools import permutations
from typing import Any

import asyncpg
import pytest
from hypothesis import given, settings
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.store.test_bursts import (
    EVENTS,
    HOUR,
    LATER,
    NOT_ANEW,
    WORKERS,
    Row,
    follow,
    heeded_by,
    opened_store,
    rows,
    sent_to_somebody,
    spread,
)  # fmt: skip
from tests.store.world import TODAY, World, clicked
from tracker.core.bursts import Bursts
from tracker.model import Agent, Event, Link, LinkNumber, Registration
from tracker.store import events_postgres
from tracker.store.bursts import BurstKey, mark_bursts
from tracker.store.store import Store

pytestmark = pytest.mark.postgres

AT_ONCE = 30
"""Seconds; what has not come by then waits for something that does not come."""
LINKS = (Link(LinkNumber(1), "", ""), Link(LinkNumber(2), "", ""))
WAITING = "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted"


@pytest.fixture
def world(postgres_world: World) -> World:
    return postgres_world


class Writer:
    """The store of a worker, each of whose transactions stays open until it is told to commit."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store = store
        self.bursts = Bursts.alone()
        self._tasks: list[asyncio.Task[bool]] = []
        self._may_commit: asyncio.Event | None = None
        self.is_held = True
        self._write = store._database.write
        monkeypatch.setattr(store._database, "write", self._held)

    @asynccontextmanager
    async def _held(self, *words: Any, **more: Any) -> AsyncIterator[AsyncConnection]:
        async with self._write(*words, **more) as connection:
            yield connection
            if self.is_held:
                self._may_commit = asyncio.Event()
                await self._may_commit.wait()

    def begin(self, event: Event) -> None:
        """Begin to write EVENT."""
        self._tasks.append(asyncio.create_task(self.store.record(event, TODAY)))

    def commit(self) -> None:
        """Commit what is held, if anything is."""
        if self._may_commit is not None:
            self._may_commit.set()
            self._may_commit = None

    @property
    def is_done(self) -> bool:
        """Whether all is written."""
        return all(task.done() for task in self._tasks)

    @property
    def goes_on(self) -> bool:
        """Whether it is at work, and not before a commit."""
        return not self.is_done and self._may_commit is None

    def answers(self) -> list[bool]:
        """What became of the events; they are forgotten."""
        tasks, self._tasks = self._tasks, []
        return [task.result() for task in tasks]


class Stage:
    """Four workers on one database who do one step at a time."""

    def __init__(self, writers: list[Writer], onlooker: asyncpg.Connection) -> None:
        self.writers = writers
        self._onlooker = onlooker

    def begin_anew(self) -> None:
        """Let nobody know of a burst."""
        stores = [writer.store for writer in self.writers]
        for writer, bursts in zip(self.writers, heeded_by(stores), strict=True):
            writer.bursts = bursts

    async def settle(self) -> None:
        """Wait until everybody is done, or before a commit, or waits for somebody else's."""
        async with asyncio.timeout(AT_ONCE):
            while (busy := sum(writer.goes_on for writer in self.writers)) and busy != await self._waiting():
                pass

    async def _waiting(self) -> int:
        return int(await self._onlooker.fetchval(WAITING))

    async def until_before_commit(self, number: int) -> None:
        """Wait until a worker has given up what it waits for."""
        async with asyncio.timeout(AT_ONCE):
            while self.writers[number].goes_on:
                await self._waiting()

    async def end(self) -> None:
        """Commit whatever is left; everything was accepted."""
        async with asyncio.timeout(AT_ONCE):
            while not all(writer.is_done for writer in self.writers):
                for writer in self.writers:
                    writer.commit()
                await self.settle()
        assert all(all(writer.answers()) for writer in self.writers)


@pytest.fixture
async def stage(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    stores = [await opened_store(world.url) for _ in range(WORKERS)]
    onlooker = await asyncpg.connect(world.url.replace("+asyncpg", ""))
    stage = Stage([Writer(store, monkeypatch) for store in stores], onlooker)
    stage.begin_anew()
    yield stage
    for writer in stage.writers:  # also after a failure
        writer.is_held = False
        writer.commit()
    await onlooker.close()
    for store in stores:
        await store.close()


async def begun(stage: Stage, number: int, sent: Registration, link: int, second: float) -> None:
    """A worker sees that a link is followed, writes that, and is about to commit."""
    writer = stage.writers[number]
    writer.begin(follow(writer.bursts, sent, link, second))
    await stage.settle()


async def committed(stage: Stage, number: int) -> None:
    """A worker commits, and does what it does next up to the next commit."""
    stage.writers[number].commit()
    await stage.settle()


async def test_a_burst_that_is_seen_between_the_mark_and_the_commit_moves_what_is_committed_then(
    world: World, stage: Stage
) -> None:
    """R36: who saw it cannot move what it does not see yet."""
    sent = await sent_to_somebody(world)
    await begun(stage, 0, sent, 0, 0.0)  # a person's, as it seems, and no burst is known to mark
    await begun(stage, 1, sent, 1, 0.1)
    await committed(stage, 1)
    assert stage.writers[1].is_done
    assert rows(world.rows(EVENTS), sent) == {("c", 2, HOUR, Agent.MACHINE)}
    await committed(stage, 0)
    assert rows(world.rows(EVENTS), sent) == {("c", 1, HOUR, Agent.HUMAN), ("c", 2, HOUR, Agent.MACHINE)}
    assert not stage.writers[0].is_done, "it answers before it has looked again"
    await stage.end()
    assert rows(world.rows(EVENTS), sent) == {("c", 1, HOUR, Agent.MACHINE), ("c", 2, HOUR, Agent.MACHINE)}


async def test_the_write_that_brings_the_hit_which_gives_a_sweep_away_moves_what_was_there(
    world: World, stage: Stage
) -> None:
    """R36: in one transaction, the only one; until its commit others see what they saw."""
    sent = await sent_to_somebody(world)
    await begun(stage, 0, sent, 0, 0.0)
    await stage.end()
    await begun(stage, 1, sent, 1, 0.1)
    assert rows(world.rows(EVENTS), sent) == {("c", 1, HOUR, Agent.HUMAN)}
    await committed(stage, 1)
    assert stage.writers[1].is_done
    assert rows(world.rows(EVENTS), sent) == {("c", 1, HOUR, Agent.MACHINE), ("c", 2, HOUR, Agent.MACHINE)}


async def test_so_does_one_over_the_end_of_an_hour(world: World, stage: Stage) -> None:
    sent = await sent_to_somebody(world)
    await begun(stage, 0, sent, 0, 3_599.95)
    await begun(stage, 1, sent, 1, 3_600.05)
    await stage.end()
    assert rows(world.rows(EVENTS), sent) == {("c", 1, HOUR, Agent.MACHINE), ("c", 2, LATER, Agent.MACHINE)}


async def test_who_would_mark_what_another_worker_is_marking_commits_without_and_looks_again(
    world: World, stage: Stage
) -> None:
    """What comes after its commit may wait for the other's: nobody's hit waits for it."""
    sent = await sent_to_somebody(world)
    await begun(stage, 0, sent, 0, 0.0)
    await stage.end()
    await begun(stage, 1, sent, 1, 0.1)
    await begun(stage, 2, sent, 2, 0.15)
    await stage.until_before_commit(2)
    await committed(stage, 2)
    assert rows(world.rows(EVENTS), sent) == {("c", 1, HOUR, Agent.HUMAN), ("c", 3, HOUR, Agent.MACHINE)}
    assert not stage.writers[2].is_done
    await stage.end()
    assert rows(world.rows(EVENTS), sent) == {("c", link, HOUR, Agent.MACHINE) for link in (1, 2, 3)}


async def test_two_groups_with_an_event_that_the_other_one_would_move_to_do_not_wait_for_each_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scanners that try each link twice: PostgreSQL would end one of the two after a second, while hits queue up."""
    one, other = [await sent_to_somebody(world) for _ in range(2)]
    for sent in (one, other):
        assert await world.store.record(clicked(sent, LINKS[0]), TODAY)
    both_wrote = asyncio.Barrier(2)

    async def mark_when_both_wrote(connection: AsyncConnection, bursts: Iterable[BurstKey]) -> None:
        if both_wrote.n_waiting or not arrived:
            arrived.append(connection)
            await both_wrote.wait()
        await mark_bursts(connection, bursts)

    arrived: list[AsyncConnection] = []
    monkeypatch.setattr(events_postgres, "mark_bursts", mark_when_both_wrote)
    groups = [
        [clicked(sent, link, agent=Agent.MACHINE) for sent, link in zip((one, other), links, strict=True)]
        for links in (LINKS, LINKS[::-1])
    ]
    database = world.store._database
    async with asyncio.timeout(AT_ONCE):
        answers = await asyncio.gather(
            *(
                events_postgres.record_events(database, [(event, TODAY) for event in group], lambda *_: True)
                for group in groups
            )
        )
    assert answers == [[True, True], [True, True]]
    for sent in (one, other):
        assert rows(world.rows(EVENTS), sent) == {("c", link.number, HOUR, Agent.MACHINE) for link in LINKS}


async def test_a_person_is_no_burst_however_late_their_hits_are_committed(world: World, stage: Stage) -> None:
    sent = await sent_to_somebody(world)
    for number, second in enumerate((0.0, 1.1, 2.5, 60.0)):
        await begun(stage, number, sent, number, second)
    await stage.end()
    assert rows(world.rows(EVENTS), sent) == {("c", link, HOUR, Agent.HUMAN) for link in (1, 2, 3, 4)}


async def play(world: World, stage: Stage, hits: list[tuple[int, int, float]], order: Iterable[int]) -> set[Row]:
    """What is stored of a copy of which a sweep's HITS are (worker, link, second).

    Each number in ORDER first hits, then is written up to the commit, then commits: itself, and what comes of a look.
    """
    sent = await sent_to_somebody(world)
    stage.begin_anew()
    seen: dict[int, Event] = {}
    writing: set[int] = set()
    for number in order:
        worker, link, second = hits[number]
        writer = stage.writers[worker]
        if number not in seen:
            seen[number] = follow(writer.bursts, sent, link, second)
        elif number not in writing:
            writing.add(number)
            writer.begin(seen[number])
        else:
            writer.commit()
        await stage.settle()
    await stage.end()
    return rows(world.rows(EVENTS), sent)


async def test_two_hits_of_a_sweep_end_as_a_programs_in_every_order_of_what_two_workers_do(
    world: World, stage: Stage
) -> None:
    """R36: all the orders there are, but for those with the names changed."""
    for order in sorted(set(permutations(4 * (0, 1)))):
        if order[0] == 0:
            found = await play(world, stage, [(0, 0, 0.0), (1, 1, 0.1)], order)
            assert found == {("c", 1, HOUR, Agent.MACHINE), ("c", 2, HOUR, Agent.MACHINE)}, order


@settings(max_examples=25, deadline=None, suppress_health_check=NOT_ANEW)
@given(spread(steps=3, most=4))
async def test_a_sweep_over_four_workers_ends_as_a_programs_whatever_falls_between_whose_commits(
    world: World, stage: Stage, case: tuple[list[tuple[int, int, float]], list[int]]
) -> None:
    """R36: a worker may have several of its hits, too."""
    assert await play(world, stage, *case) == {("c", link + 1, HOUR, Agent.MACHINE) for _, link, _ in case[0]}
