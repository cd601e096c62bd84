"""What many requests wait for goes to the store together; a store that is away costs nobody an event at once."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from tests.store.world import ANNA, JONAS, OFFER, TODAY, World, clicked, copy, on, opened, person
from tracker.model import Agent, Event, Hour, MessageKey, Pseudonym, Purpose, Reason, StoreUnavailable, UntouchedCopy
from tracker.store.engine import RowRefused
from tracker.store.group import Group, PatientGroup, StreakGroup, Then
from tracker.store.store import Counters

PEOPLE = [person(number) for number in range(30)]


def untouched(message: MessageKey | None = None, *, campaign: bool = False) -> UntouchedCopy:
    return UntouchedCopy(JONAS, TODAY, Reason.NO_GRANT, message, campaign)


async def events_of_many(world: World, count: int) -> list[Event]:
    """COUNT different events of thirty people who agreed."""
    sent = [await world.send(who) for who in PEOPLE]
    hour = sent[0].sent_hour
    return [opened(sent[number % 30], hour=Hour(hour + number // 30)) for number in range(count)]


async def test_one_refused_event_among_a_thousand_changes_nothing_for_the_others(world: World) -> None:
    events = await events_of_many(world, 999)
    events.insert(500, opened(copy(ANNA)))
    answers = await asyncio.gather(*(world.store.record(event, TODAY) for event in events))
    assert answers == [True] * 500 + [False] + [True] * 499
    assert world.count("events") == 999
    assert world.store.counters == Counters(written=999, dropped=0, waiting=0)


async def test_one_event_that_cannot_be_written_fails_alone(world: World) -> None:
    events = await events_of_many(world, 20)
    events[5] = opened(copy(PEOPLE[0]), hour=Hour(2**70))
    events[6] = opened(copy(PEOPLE[1]), agent=9)
    answers = await asyncio.gather(*(world.store.record(event, TODAY) for event in events), return_exceptions=True)
    assert [isinstance(answer, StoreUnavailable) for answer in answers] == [n in (5, 6) for n in range(20)]
    assert (world.count("events"), world.store.counters.dropped) == (18, 2)


async def test_the_same_event_again_is_accepted_and_changes_nothing(world: World) -> None:
    sent = await world.send()
    assert await asyncio.gather(*(world.store.record(opened(sent), TODAY) for _ in range(9))) == [True] * 9
    assert await world.store.record(opened(sent), TODAY)
    assert world.count("events") == 1
    assert await world.store.record(opened(sent, agent=Agent.MACHINE), TODAY)
    assert await world.store.record(clicked(sent), TODAY)
    assert world.count("events") == 3


async def test_somebody_who_withdraws_in_the_middle_of_a_group_has_no_events(world: World) -> None:
    events = await events_of_many(world, 990)
    quitters = random.Random(3).sample(PEOPLE, 5)

    async def withdraw(who: Pseudonym) -> None:
        for _ in range(PEOPLE.index(who)):
            await asyncio.sleep(0)
        while True:
            with contextlib.suppress(StoreUnavailable):  # this store has no patience with the rows a group just holds
                assert await world.withdraw(who)
                return

    await asyncio.gather(*(world.store.record(event, TODAY) for event in events), *(withdraw(who) for who in quitters))
    left = world.rows("SELECT count(*) FROM events")[0][0]
    assert left == 990 - 5 * 33
    assert world.rows("SELECT count(DISTINCT delivery) FROM events") == [(25,)]


async def test_while_the_database_is_locked_nothing_is_said_to_be_written(world: World) -> None:
    await world.give()
    with world.locked():
        with pytest.raises(StoreUnavailable):
            await world.store.register(copy(), TODAY)
        with pytest.raises(StoreUnavailable):
            await world.withdraw()
        assert await world.store.grants_of(ANNA, TODAY), "reading goes on"
    assert await world.store.register(copy(), TODAY)


async def test_events_wait_for_a_store_that_is_away(world: World) -> None:
    sent = await world.send()
    with world.locked():
        waiting = [asyncio.ensure_future(world.store.record(event, TODAY)) for event in (opened(sent), clicked(sent))]
        done, _ = await asyncio.wait(waiting, timeout=0.1)
        assert not done
        assert world.store.counters == Counters(written=0, dropped=0, waiting=2)
    assert await asyncio.gather(*waiting) == [True, True]
    assert world.store.counters == Counters(written=2, dropped=0, waiting=0)
    assert world.count("events") == 2


async def test_an_event_whose_caller_could_not_wait_is_written_all_the_same(world: World) -> None:
    sent = await world.send()
    with world.locked(), pytest.raises(TimeoutError):
        await asyncio.wait_for(world.store.record(opened(sent), TODAY), 0.01)
    assert await world.store.record(clicked(sent), TODAY)
    assert world.count("events") == 2


async def test_what_finds_no_room_is_dropped_counted_and_told_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    sent = await world.send()
    hits = [opened(sent, hour=Hour(number)) for number in range(1_005)]
    with world.locked():
        waiting = [asyncio.ensure_future(world.store.record(event, TODAY)) for event in hits]
        await asyncio.wait(waiting, timeout=0.1)
        assert world.store.counters == Counters(written=0, dropped=5, waiting=1_000)
        assert world.store.is_losing
        assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
            "1 events were lost, of 1 since the start; 1000 wait for the store"
        ]
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert sum(isinstance(answer, StoreUnavailable) for answer in answers) == 5
    assert world.count("events") == 1_000
    assert not world.store.is_losing


async def test_closing_writes_what_is_waiting(world: World) -> None:
    events = await events_of_many(world, 700)
    waiting = [asyncio.ensure_future(world.store.record(event, TODAY)) for event in events]
    await asyncio.sleep(0)
    world.store.count_untouched(untouched())
    await world.store.close()
    assert world.count("events") == 700
    assert world.rows("SELECT count FROM untouched") == [(1,)]
    assert await asyncio.gather(*waiting) == [True] * 700
    with pytest.raises(StoreUnavailable):
        await world.store.record(events[0], TODAY)


async def test_closing_while_the_store_is_away_ends_and_counts_what_was_lost(world: World) -> None:
    sent = await world.send()
    with world.locked():
        waiting = asyncio.ensure_future(world.store.record(opened(sent), TODAY))
        await asyncio.sleep(0)
        world.store.count_untouched(untouched())
        await world.store.close()
        with pytest.raises(StoreUnavailable):
            await waiting
    assert world.store.counters == Counters(written=0, dropped=2, waiting=0)


async def test_a_fault_of_our_own_leaves_nobody_waiting(world: World, caplog: pytest.LogCaptureFixture) -> None:
    sent = await world.send()
    with pytest.raises(StoreUnavailable):
        await world.store.record(opened(sent, last_day=["anna@example.org"]), TODAY)
    assert "anna" not in caplog.text
    assert world.store.counters.dropped == 1
    assert await world.store.record(opened(sent), TODAY)


async def test_untouched_copies_are_counted_for_a_message_that_is_known(world: World) -> None:
    await world.send()
    for copies in (untouched(OFFER), untouched(OFFER), untouched(MessageKey(b"?" * 16)), untouched()):
        world.store.count_untouched(copies)
    await world.store.close()
    assert world.rows("SELECT message, reason, count FROM message_untouched") == [(OFFER, "no-grant", 2)]
    assert world.rows("SELECT owner, day, reason, count, last_day FROM untouched") == [
        (JONAS, TODAY, "no-grant", 2, on(90))
    ]


async def test_a_campaign_is_counted_before_any_copy_of_it_was_tracked(world: World) -> None:
    world.store.count_untouched(untouched(OFFER, campaign=True))
    await world.store.close()
    rows = world.rows("SELECT id, owner, label, first_hour, last_day FROM messages")
    assert rows == [(OFFER, JONAS, None, None, on(90))]
    assert world.rows("SELECT message, reason, worker, count FROM message_untouched") == [(OFFER, "no-grant", 0, 1)]


async def test_untouched_copies_are_written_within_a_second(world: World) -> None:
    world.store.count_untouched(untouched())
    async with asyncio.timeout(3):
        while not world.count("untouched"):
            await asyncio.sleep(0.05)


async def test_an_event_says_for_which_purpose_and_link_it_is(world: World) -> None:
    sent = await world.send()
    await world.store.record(clicked(sent), TODAY)
    rows = world.rows("SELECT last_day, delivery, purpose, link, hour, agent FROM events")
    assert rows == [(sent.last_day, sent.delivery, "c", sent.links[0].number, sent.sent_hour, 3)]
    assert Purpose.CLICK.value.startswith("c")


async def test_what_comes_in_while_a_group_waits_for_its_turn_joins_it() -> None:
    groups: list[list[int]] = []
    free = asyncio.Event()

    @asynccontextmanager
    async def turn() -> AsyncIterator[None]:
        await free.wait()
        yield

    async def run(items: Sequence[int]) -> list[int]:
        groups.append(list(items))
        return list(items)

    group = Group(run, turn)
    asked = [asyncio.create_task(group.submit(number)) for number in range(3)]
    await asyncio.sleep(0)
    asked += [asyncio.create_task(group.submit(number)) for number in range(3, 6)]
    await asyncio.sleep(0)
    free.set()
    assert await asyncio.gather(*asked) == list(range(6))
    assert groups == [list(range(6))]


async def test_a_group_whose_turn_does_not_come_is_told_so_or_tries_again() -> None:
    turns = 0

    @asynccontextmanager
    async def turn() -> AsyncIterator[None]:
        nonlocal turns
        turns += 1
        if turns < 3:
            raise StoreUnavailable("busy")
        yield

    async def run(items: Sequence[int]) -> list[bool]:
        return [True] * len(items)

    hasty, patient = Group(run, turn), PatientGroup(run, pause=0.001, turn=turn)
    with pytest.raises(StoreUnavailable):
        await hasty.submit(1)
    assert await patient.submit(1)
    assert turns == 3


class Writer:
    """Writes groups in a thread of its own, each when the test lets it, and fails where the test says so."""

    def __init__(self) -> None:
        self.turns = 0
        self.groups: list[list[int]] = []
        self.faults: dict[int, list[Exception]] = {}
        """What groups raise that have this item, one after the other."""
        self.while_writing: Callable[[int], None] = lambda number: None
        """Called in the thread with the number of the group that is being written."""

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        self.turns += 1
        yield

    async def run(self, items: Sequence[int], then: Then[bool, int]) -> Sequence[bool]:
        def write() -> Sequence[bool]:
            answers = self._write(items)
            while more := then(answers):
                answers = self._write(more)
            return answers

        return await asyncio.to_thread(write)

    def _write(self, items: Sequence[int]) -> list[bool]:
        self.groups.append(list(items))
        self.while_writing(len(self.groups))
        for item in items:
            if self.faults.get(item):
                raise self.faults[item].pop()
        return [item % 2 == 0 for item in items]

    def group(self, may_write_on: Callable[[], bool] = lambda: True, longest: float = 30) -> StreakGroup[int]:
        return StreakGroup(self.run, may_write_on, pause=0.001, turn=self.turn, longest=longest)


async def _submit(group: StreakGroup[int], writer: Writer, *later: Sequence[int]) -> list[object]:
    """The answers to item 0 and to those of LATER, of which each comes in while the group before it is written."""
    loop = asyncio.get_running_loop()
    asked = [asyncio.create_task(group.submit(0))]
    ahead = list(later)

    def come_in(items: Sequence[int], there: threading.Event) -> None:
        asked.extend(asyncio.create_task(group.submit(item)) for item in items)
        loop.call_later(0, loop.call_soon, there.set)

    def while_writing(_number: int) -> None:
        if ahead:
            there = threading.Event()
            loop.call_soon_threadsafe(come_in, ahead.pop(0), there)
            assert there.wait(30)

    writer.while_writing = while_writing
    while ahead or not all(one.done() for one in asked):
        await asyncio.wait(asked)
    return await asyncio.gather(*asked, return_exceptions=True)


async def test_what_comes_in_while_a_group_is_written_is_written_in_the_same_turn() -> None:
    writer = Writer()
    group = writer.group()
    assert await _submit(group, writer, [1, 2], [3]) == [True, False, True, False]
    assert (writer.turns, writer.groups) == (1, [[0], [1, 2], [3]])
    assert (group.written, group.dropped, group.waiting) == (2, 0, 0)


async def test_who_else_wants_to_write_comes_between_two_groups() -> None:
    writer = Writer()
    group = writer.group(lambda: False)
    assert await _submit(group, writer, [1, 2], [3]) == [True, False, True, False]
    assert (writer.turns, writer.groups) == (3, [[0], [1, 2], [3]])


async def test_a_turn_that_has_lasted_long_enough_takes_no_further_group() -> None:
    writer = Writer()
    assert await _submit(writer.group(longest=0), writer, [1], [2]) == [True, False, True]
    assert (writer.turns, writer.groups) == (3, [[0], [1], [2]])


async def test_what_was_committed_is_told_also_when_nobody_can_say_whether_to_write_on() -> None:
    writer = Writer()

    def fail() -> bool:
        raise ValueError

    assert await _submit(writer.group(fail), writer, [2]) == [True, True]
    assert (writer.turns, writer.groups) == (2, [[0], [2]])


async def test_who_has_no_time_to_wait_for_the_end_leaves_the_group_to_it() -> None:
    writer = Writer()
    group = writer.group()
    loop, there, go = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def write(_number: int) -> None:
        loop.call_soon_threadsafe(there.set)
        assert go.wait(30)

    writer.while_writing = write
    asked = [asyncio.create_task(group.submit(number)) for number in (0, 1)]
    await there.wait()
    closing = asyncio.create_task(group.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    go.set()
    assert await asyncio.gather(*asked) == [True, False]


async def test_nothing_more_is_taken_in_a_turn_that_was_called_off() -> None:
    writer = Writer()
    loop, there, go, ended = asyncio.get_running_loop(), asyncio.Event(), threading.Event(), asyncio.Event()

    def write(_number: int) -> None:
        loop.call_soon_threadsafe(there.set)
        assert go.wait(30)

    async def run(items: Sequence[int], then: Then[bool, int]) -> Sequence[bool]:
        def noting_the_end(answers: Sequence[bool]) -> Sequence[int]:
            more = then(answers)
            loop.call_soon_threadsafe(ended.set)
            return more

        return await writer.run(items, noting_the_end)

    group = StreakGroup(run, lambda: True, turn=writer.turn, longest=30)
    writer.while_writing = write
    group.enqueue(0, lambda answer: None)
    await there.wait()
    (work,) = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    group.enqueue(2, lambda answer: None)
    work.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await work
    go.set()
    await ended.wait()
    assert writer.groups == [[0]]
    assert group.waiting == 1
    assert await group.submit(4)
    assert writer.groups == [[0], [2, 4]]


async def test_a_store_that_goes_away_in_the_middle_of_a_turn_is_asked_again_for_that_group_alone() -> None:
    writer = Writer()
    writer.faults[1] = [StoreUnavailable("away")]
    group = writer.group()
    assert await _submit(group, writer, [1, 2]) == [True, False, True]
    assert (writer.turns, writer.groups) == (2, [[0], [1, 2], [1, 2]])
    assert (group.written, group.dropped, group.waiting) == (2, 0, 0)


async def test_a_row_that_is_refused_in_a_later_group_fails_alone() -> None:
    writer = Writer()
    group = writer.group()
    refusal = RowRefused("no such hour")
    writer.faults[2] = [refusal, refusal]
    assert await _submit(group, writer, [1, 2, 4]) == [True, False, refusal, True]
    assert writer.groups == [[0], [1, 2, 4], [1], [2], [4]]
    assert (group.written, group.dropped, group.waiting) == (2, 1, 0)


async def test_a_fault_of_our_own_in_a_later_group_leaves_nobody_waiting(caplog: pytest.LogCaptureFixture) -> None:
    writer = Writer()
    writer.faults[1] = [ValueError("anna@example.org")]
    group = writer.group()
    answers = await _submit(group, writer, [1, 2])
    assert [isinstance(answer, StoreUnavailable) for answer in answers] == [False, True, True]
    assert "anna" not in caplog.text
    assert (group.written, group.dropped, group.waiting) == (1, 2, 0)
    assert await group.submit(4)


async def test_who_withdraws_while_events_never_end_need_not_wait_for_their_end(world: World) -> None:
    events = await events_of_many(world, 3_000)
    begun = world.store.counters.written
    running = [asyncio.create_task(_record_all(world, events[number::20])) for number in range(20)]
    while world.store.counters.written == begun:
        await asyncio.sleep(0)
    assert await world.withdraw(PEOPLE[0])
    assert not all(task.done() for task in running)
    await asyncio.gather(*running)
    assert world.count("events") == 3_000 - 100


async def test_no_further_group_is_written_once_the_store_is_on_hold(world: World) -> None:
    events = await events_of_many(world, 3_000)
    running = [asyncio.create_task(_record_all(world, events[number::20])) for number in range(20)]
    while not world.store.counters.written:
        await asyncio.sleep(0)
    world.store.hold()
    await world.withdraw(person(99))  # nobody known: only to stand in line behind the group that is being written
    written = world.count("events")
    await world.withdraw(person(99))
    assert world.count("events") == written < 3_000
    world.store.go_on()
    await asyncio.gather(*running)
    assert world.count("events") == 3_000


async def _record_all(world: World, events: Sequence[Event]) -> None:
    for event in events:
        await world.store.record(event, TODAY)
