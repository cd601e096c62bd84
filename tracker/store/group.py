"""Lets many callers share one statement: while one group is under way, the next collects."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Final, Generic, TypeVar

from tracker.model import StoreUnavailable
from tracker.store.engine import RowRefused

Item = TypeVar("Item")
Answer = TypeVar("Answer")

log = logging.getLogger(__name__)

SIZE: Final = 500
"""The most that goes into one group."""
CAPACITY: Final = 10_000
"""The most that waits for a store that is away."""
PAUSE: Final = 0.5
"""Seconds between two tries."""


class Group(Generic[Item, Answer]):
    """Runs what is submitted in groups; each caller gets the answer to its own item, or StoreUnavailable."""

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]],
        turn: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
    ) -> None:
        """TURN: what RUN has to wait for; what comes in meanwhile joins the group."""
        self._run = run
        self._turn = turn
        self._queue: deque[tuple[Item, asyncio.Future[Answer]]] = deque()
        self._under_way = 0
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    @property
    def waiting(self) -> int:
        """How many items have no answer yet."""
        return len(self._queue) + self._under_way

    async def submit(self, item: Item) -> Answer:
        """The answer to ITEM, after the commit. Raises StoreUnavailable."""
        if self._closing:
            raise StoreUnavailable("closing")
        future = asyncio.get_running_loop().create_future()
        self._queue.append((item, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())
        return await future  # type: ignore[no-any-return]

    async def close(self) -> None:
        """Take nothing more and finish what is waiting."""
        self._closing = True
        if self._task is not None:
            await self._task

    async def _work(self) -> None:
        while self._queue:
            batch = []
            try:
                async with self._turn():
                    batch = self._next()
                    answers = await self._answers([item for item, _ in batch])
            except StoreUnavailable as error:
                await self._failed(batch or self._next(), error)
            except Exception as error:
                # A fault of our own: nobody may wait for ever, and the text of the error may hold values.
                log.error("a group of %d could not be run: %s", len(batch), type(error).__name__)
                self._lost(batch or self._next())
            else:
                self._succeeded(answers)
                for (_, future), answer in zip(batch, answers, strict=True):
                    _settle(future, answer)
            finally:
                self._under_way = 0

    def _next(self) -> list[tuple[Item, asyncio.Future[Answer]]]:
        """The items of the next group."""
        batch = [self._queue.popleft() for _ in range(min(SIZE, len(self._queue)))]
        self._under_way = len(batch)
        return batch

    async def _answers(self, items: Sequence[Item]) -> Sequence[Answer | StoreUnavailable]:
        try:
            return await self._run(items)
        except RowRefused as error:
            if len(items) == 1:
                return [error]
            # One of them is at fault; the others must not suffer for it.
            return [answer for item in items for answer in await self._answers([item])]

    async def _failed(self, batch: list[tuple[Item, asyncio.Future[Answer]]], error: StoreUnavailable) -> None:
        _refuse(batch, error)

    def _lost(self, batch: list[tuple[Item, asyncio.Future[Answer]]]) -> None:
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
        super().__init__(run, turn)
        self._capacity = capacity
        self._pause = pause
        self._hurry = asyncio.Event()
        self.written = 0
        """Items that the store accepted."""
        self.dropped = 0
        """Items that found no room, that the store could not hold, or that a store that was away left at the close."""

    async def submit(self, item: Item) -> bool:
        """Whether the store accepted ITEM, after the commit. Raises StoreUnavailable when ITEM was dropped."""
        if self._closing or self.waiting >= self._capacity:
            self.dropped += 1
            raise StoreUnavailable("no room")
        return await super().submit(item)

    async def close(self) -> None:
        """Take nothing more, try what is waiting once more, drop what does not go through."""
        self._hurry.set()
        await super().close()

    async def _failed(self, batch: list[tuple[Item, asyncio.Future[bool]]], error: StoreUnavailable) -> None:
        self._queue.extendleft(reversed(batch))
        self._under_way = 0
        if self._closing:
            self.dropped += len(self._queue)
            _refuse(list(self._queue), error)
            self._queue.clear()
            return
        try:
            await asyncio.wait_for(self._hurry.wait(), self._pause)
        except TimeoutError:
            return

    def _lost(self, batch: list[tuple[Item, asyncio.Future[bool]]]) -> None:
        self.dropped += len(batch)
        super()._lost(batch)

    def _succeeded(self, answers: Sequence[bool | StoreUnavailable]) -> None:
        self.written += sum(answer is True for answer in answers)
        self.dropped += sum(isinstance(answer, StoreUnavailable) for answer in answers)


def _refuse(batch: Sequence[tuple[Item, asyncio.Future[Answer]]], error: StoreUnavailable) -> None:
    for _, future in batch:
        _settle(future, error)


def _settle(future: asyncio.Future[Answer], answer: Answer | StoreUnavailable) -> None:
    if future.done():
        return  # the caller has gone
    if isinstance(answer, StoreUnavailable):
        future.set_exception(answer)
    else:
        future.set_result(answer)
