"""Lets the processes that write to one SQLite file queue for their turn, instead of asking for it again and again.

SQLite itself only polls, with pauses that grow: under load somebody waits for ever. Here a process waits in the kernel
(flock), for two locks one after the other: whoever has the first is next, and keeps it until the second, the turn
itself, is theirs. So nobody who just wrote comes before who waits. It only orders writers; what keeps the database
whole is still SQLite's own lock.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any, Final

from tracker.model import StoreUnavailable
from tracker.store.lock_file import let_go, open_lock_file, taken

LEAST: Final = 0.004
"""Seconds that a turn may last although another process waits: to hand it over takes as long as to write a group."""


class WriterLock:
    """This process's place in the queue for the SQLite file at DATABASE; its tasks take turns among themselves."""

    def __init__(self, database: Path, seconds: float, least: float = LEAST) -> None:
        """SECONDS: how long one may wait for a turn; LEAST: how long a turn is not given up for another process."""
        self._database = database
        self._seconds = seconds
        self._least = least
        self._since = 0.0
        """When the turn was taken."""
        self._own = asyncio.Lock()
        self._in_line = 0
        """Tasks of this process that wait for it."""
        self._holder: asyncio.Task[Any] | None = None
        self._files: tuple[int, int] | None = None
        self._waiting: asyncio.Future[None] | None = None
        """A wait in the kernel, which cannot be called off: who comes next takes it over."""
        self._wanted = False
        """Whether somebody waits for `_waiting`; else the turn is given back as soon as it comes."""

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Hold the turn while the block runs; a task that holds it has it already.

        Raises StoreUnavailable when it does not come in time, OSError.
        """
        if self._holder is asyncio.current_task():
            yield
            return
        async with AsyncExitStack() as stack:
            self._in_line += 1
            try:
                async with asyncio.timeout(self._seconds):
                    await stack.enter_async_context(self._own)
                    await self._take()
            except TimeoutError:
                raise StoreUnavailable("other writes take too long") from None
            finally:
                self._in_line -= 1
            stack.callback(self._give_back)
            self._holder = asyncio.current_task()
            self._since = monotonic()
            try:
                yield
            finally:
                self._holder = None

    def is_wanted(self) -> bool:
        """Whether a task waits for the turn, which is held, or, once it has lasted LEAST, another process does.

        From any thread.
        """
        if self._in_line:
            return True
        if monotonic() - self._since < self._least:
            return False
        next_one, _ = self._opened()
        if not taken(next_one):
            return True
        let_go(next_one)
        return False

    def close(self) -> None:
        """Leave the queue; nobody may hold the turn."""
        if self._waiting is None:  # else the files are in use until the process ends
            for descriptor in self._files or ():
                os.close(descriptor)
            self._files = None

    def _opened(self) -> tuple[int, int]:
        """The files: who is next, and whose turn it is."""
        if self._files is None:
            first = open_lock_file(self._database, "next")
            try:
                self._files = first, open_lock_file(self._database, "turn")
            except BaseException:
                os.close(first)
                raise
        return self._files

    async def _take(self) -> None:
        next_one, turn = self._opened()
        if self._waiting is None:
            if taken(next_one) and taken(turn):
                let_go(next_one)
                return
            self._waiting = _queued(next_one, turn)
            self._waiting.add_done_callback(self._has_come)
        waiting, self._wanted = self._waiting, True
        try:
            await asyncio.wait((waiting,))
        except asyncio.CancelledError:
            self._wanted = False
            if waiting.done():
                self._has_come(waiting)
            raise
        self._waiting = None
        waiting.result()

    def _has_come(self, waited: asyncio.Future[None]) -> None:
        """The turn came; perhaps everybody has given up since."""
        if waited is self._waiting and not self._wanted:
            self._waiting = None
            if waited.exception() is None:
                self._give_back()

    def _give_back(self) -> None:
        let_go(self._opened()[1])


def _queued(next_one: int, turn: int) -> asyncio.Future[None]:
    """A wait for both locks, of which the second is kept. The first may be ours already: then it is not waited for."""
    loop = asyncio.get_running_loop()
    waiting: asyncio.Future[None] = loop.create_future()

    def settle(error: OSError | None) -> None:
        if error is None:
            waiting.set_result(None)
        else:
            waiting.set_exception(error)

    def wait() -> None:
        error = None
        try:
            fcntl.flock(next_one, fcntl.LOCK_EX)
            try:
                fcntl.flock(turn, fcntl.LOCK_EX)
            finally:
                let_go(next_one)
        except OSError as failed:
            error = failed
        with suppress(RuntimeError):  # the loop has ended, and soon the process will
            loop.call_soon_threadsafe(settle, error)

    # A daemon, for a process that is to end does not wait for others.
    threading.Thread(target=wait, name="writer-lock", daemon=True).start()
    return waiting
