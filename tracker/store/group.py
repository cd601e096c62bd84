"""Lets many callers share one statement: while one group is under way, the next collects."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Final, Generic, TypeAlias, TypeVar

from tracker.model import StoreUnavailable
from tracker.store.engine import RowRefused

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Told: TypeAlias = Callable[[Answer | StoreUnavailable], None]
Then: TypeAlias = Callable[[Sequence[Answer]], Sequence[Item]]
"""Takes the answers to a group that was committed, and gives the items of the next one; none: that was the last.

To be called in whichever thread the group was written.
"""
_Waiting: TypeAlias = tuple[Item, Told[Answer]]

log = logging.getLogger(__name__)

SIZE: Final = 500
"""The most that goes into one group."""
MOST_EVENTS: Final = 1_000
"""The most events that go into one: what waited for a store that was away is written soon."""
CAPACITY: Final = 20_000
"""The most that waits for a store that is away: one event of each of 10,000 connections finds room twice."""
LONGEST_STREAK: Final = 0.3
"""Seconds after which a turn takes no further group: so long may wait who asks the writer's thread past the turn."""
PAUSE: Final = 0.5
"""Seconds between two tries."""
ALARM: Final = 60.0
"""Seconds between two lines about what was lost."""


class Group(Generic[Item, Answer]):
    """Runs what is submitted in groups; each caller gets the answer to its own item, or StoreUnavailable."""

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]],
        turn: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
        size: int = SIZE,
    ) -> None:
        """TURN: what RUN has to wait for; what comes in meanwhile joins the group, up to SIZE."""
        self._run = run
        self._turn = turn
        self._size = size
        self._queue: deque[_Waiting[Item, Answer]] = deque()
        self._batch: list[_Waiting[Item, Answer]] = []
        """The group that is under way."""
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    @property
    def waiting(self) -> int:
        """How many items have no answer yet."""
        return len(self._queue) + len(self._batch)

    async def submit(self, item: Item) -> Answer:
        """The answer to ITEM, after the commit. Raises StoreUnavailable."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.enqueue(item, partial(_settle, future))
        return await future

    def enqueue(self, item: Item, told: Told[Answer]) -> None:
        """The same for who has no time to wait: TOLD is called with the answer or the StoreUnavailable."""
        if self._closing:
            told(StoreUnavailable("closing"))
            return
        self._queue.append((item, told))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())

    async def close(self) -> None:
        """Take nothing more and finish what is waiting."""
        self._closing = True
        if self._task is not None:
            await asyncio.shield(self._task)  # who has no time to wait leaves it to its end

    async def _work(self) -> None:
        while self._queue:
            try:
                async with self._turn():
                    self._take_next()
                    answers = await self._answers()
            except StoreUnavailable as error:
                await self._failed(self._batch or self._take_next(), error)
            except Exception as error:
                # A fault of our own: nobody may wait for ever, and the text of the error may hold values.
                log.error("a group of %d could not be run: %s", len(self._batch), type(error).__name__)
                self._lost(self._batch or self._take_next())
            else:
                self._succeeded(answers)
                # After the next group is under way: while callers go on with their answers the store works.
                asyncio.get_running_loop().call_soon(_tell_all, self._batch, answers)
            finally:
                self._batch = []

    def _take_next(self) -> list[_Waiting[Item, Answer]]:
        """Let the next items be the group that is under way; the group."""
        self._batch = [self._queue.popleft() for _ in range(min(self._size, len(self._queue)))]
        return self._batch

    def _items(self) -> list[Item]:
        return [item for item, _ in self._batch]

    async def _answers(self) -> Sequence[Answer | StoreUnavailable]:
        """The answers to the last group of the turn."""
        try:
            return await self._run_batch()
        except RowRefused as error:
            if len(self._batch) == 1:
                return [error]
        # One of them is at fault; the others must not suffer for it.
        return [await self._answer_alone(item) for item in self._items()]

    async def _run_batch(self) -> Sequence[Answer]:
        return await self._run(self._items())

    async def _answer_alone(self, item: Item) -> Answer | StoreUnavailable:
        try:
            (answer,) = await self._run([item])
        except RowRefused as error:
            return error
        return answer

    async def _failed(self, batch: list[_Waiting[Item, Answer]], error: StoreUnavailable) -> None:
        _refuse(batch, error)

    def _lost(self, batch: list[_Waiting[Item, Answer]]) -> None:
        _refuse(batch, StoreUnavailable("internal"))

    def _succeeded(self, answers: Sequence[Answer | StoreUnavailable]) -> None:
        """One group was committed."""


class PatientGroup(Group[Item, bool]):
    """A group that tries again while the store is away; what finds no room in its queue is dropped and counted."""

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Awaitable[Sequence[bool]]],
        capacity: int = CAPACITY,
        pause: float = PAUSE,
        turn: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
    ) -> None:
        super().__init__(run, turn, MOST_EVENTS)
        self._capacity = capacity
        self._pause = pause
        self._hurry = asyncio.Event()
        self._told_of = 0
        self._told_at: float | None = None
        self.written = 0
        """Items that the store accepted."""
        self.dropped = 0
        """Items that found no room, that the store could not hold, or that a store that was away left at the close."""
        self.failing = False
        """Whether the last try failed: what waits is tried again soon."""

    @property
    def full(self) -> bool:
        """Whether there is no room: what comes now is lost."""
        return self.waiting >= self._capacity

    def enqueue(self, item: Item, told: Told[bool]) -> None:
        """Tell whether the store accepted ITEM, after the commit; StoreUnavailable when ITEM was dropped."""
        if self._closing or self.full:
            self._drop(1)
            told(StoreUnavailable("no room"))
        else:
            super().enqueue(item, told)

    async def close(self) -> None:
        """Take nothing more, try what is waiting once more, drop what does not go through."""
        self._hurry.set()
        await super().close()

    async def _failed(self, batch: list[_Waiting[Item, bool]], error: StoreUnavailable) -> None:
        self.failing = True
        self._queue.extendleft(reversed(batch))
        self._batch = []
        if self._closing:
            self._drop(len(self._queue))
            _refuse(list(self._queue), error)
            self._queue.clear()
            return
        try:
            await asyncio.wait_for(self._hurry.wait(), self._pause)
        except TimeoutError:
            return

    def _lost(self, batch: list[_Waiting[Item, bool]]) -> None:
        self.failing = False
        self._drop(len(batch))
        super()._lost(batch)

    def _succeeded(self, answers: Sequence[bool | StoreUnavailable]) -> None:
        self.failing = False
        self.written += answers.count(True)
        self._drop(sum(isinstance(answer, StoreUnavailable) for answer in answers))

    def _drop(self, count: int) -> None:
        """Count what is lost, and say so at once, then once in ALARM seconds at most."""
        self.dropped += count
        now = asyncio.get_running_loop().time()
        if self.dropped > self._told_of and (self._closing or self._told_at is None or now - self._told_at >= ALARM):
            lost, self._told_of, self._told_at = self.dropped - self._told_of, self.dropped, now
            log.error(
                "%d events were lost, of %d since the start; %d wait for the store", lost, self.dropped, self.waiting
            )


class StreakGroup(PatientGroup[Item]):
    """A patient group that, once it has the turn, writes one group after the other for as long as there is something.

    The step from one to the next is made in the thread that writes: there the store need not wait until the loop, which
    is busy with callers, comes to it.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item], Then[bool, Item]], Awaitable[Sequence[bool]]],
        may_write_on: Callable[[], bool],
        capacity: int = CAPACITY,
        pause: float = PAUSE,
        turn: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
        longest: float = LONGEST_STREAK,
    ) -> None:
        """RUN writes the items it is given, and then what the other argument gives it; it returns the last answers.

        MAY_WRITE_ON: whether what was written is there, and another group may be written in the same turn; it is asked
        in the thread that writes. LONGEST: seconds after which no other is.
        """
        super().__init__(lambda items: run(items, _nothing_more), capacity, pause, turn)
        self._run_on = run
        self._may_write_on = may_write_on
        self._longest = longest

    async def _run_batch(self) -> Sequence[bool]:
        streak = _Streak(asyncio.get_running_loop(), monotonic() + self._longest)
        try:
            return await self._run_on(self._items(), partial(self._then, streak))
        finally:
            with streak.lock:
                streak.is_over = True

    def _then(self, streak: _Streak, answers: Sequence[bool]) -> Sequence[Item]:
        """Have the loop tell ANSWERS, and take the next group; in the thread that writes.

        In this order: only what is certainly there is told.
        """
        with streak.lock:
            if streak.is_over or not self._queue or monotonic() >= streak.end or not self._is_let():
                return ()
            done = self._batch
            self._take_next()
            streak.loop.call_soon_threadsafe(self._tell, done, answers)
            return self._items()

    def _is_let(self) -> bool:
        try:
            return self._may_write_on()
        except Exception as error:  # the group before was committed, and is to be told so
            log.error("whether to write on could not be told: %s", type(error).__name__)
            return False

    def _tell(self, done: Sequence[_Waiting[Item, bool]], answers: Sequence[bool]) -> None:
        self._succeeded(answers)
        _tell_all(done, answers)


@dataclass(slots=True)
class _Streak:
    """The groups of one turn; whoever called the turn off may go before the thread that writes comes to its end."""

    loop: asyncio.AbstractEventLoop
    end: float
    """When no further group is begun."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Around whatever the thread takes, and the end."""
    is_over: bool = False
    """Whether nothing more may be taken: the turn was given back."""


def _nothing_more(_: object) -> tuple[()]:
    return ()


def _refuse(batch: Sequence[_Waiting[Item, Answer]], error: StoreUnavailable) -> None:
    _tell_all(batch, [error] * len(batch))


def _tell_all(batch: Sequence[_Waiting[Item, Answer]], answers: Sequence[Answer | StoreUnavailable]) -> None:
    for (_, told), answer in zip(batch, answers, strict=True):
        try:
            told(answer)
        except Exception as error:  # the others are to hear, too
            log.error("who waited for the store could not be told: %s", type(error).__name__)


def _settle(future: asyncio.Future[Answer], answer: Answer | StoreUnavailable) -> None:
    if future.done():
        return  # the caller has gone
    if isinstance(answer, StoreUnavailable):
        future.set_exception(answer)
    else:
        future.set_result(answer)
