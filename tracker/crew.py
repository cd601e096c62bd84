"""Keeps so many worker processes running on the same sockets and settings, and ends them together."""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import signal
import socket
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tracker.bodies_memory import forget_bodies
from tracker.config import Settings
from tracker.listeners import Sockets
from tracker.metrics import forget_present
from tracker.orders import HAND_OVER, READY, Orders

log = logging.getLogger(__name__)

SOON: Final = 0.1
"""Seconds before a worker that died is replaced; twice as long after each one that died soon again."""
LONGEST_PAUSE: Final = 30.0
SOON_AGAIN: Final = 10.0
"""Seconds for which a worker has to serve to be one that works."""
TRIES: Final = 5
"""After so many that died at once, with none left that serves, nothing more is tried."""
PATIENCE: Final = 60.0
"""Seconds that workers have to finish what was begun."""
PATIENCE_OF_OTHERS: Final = 600.0
"""The same while others serve: longer than the nine minutes that a next hop has for the data of one copy.

A message that goes out in several copies may take longer; then the one that is on its way is perhaps sent twice."""


class CrewFailed(Exception):
    """A worker ended before it was ready; it has said why."""


class Numbers:
    """Numbers for workers, each of one at a time: counters go on in the same place, and their places stay few."""

    def __init__(self) -> None:
        self._taken: set[int] = set()

    def take(self) -> int:
        """The lowest that is free."""
        number = next(number for number in range(len(self._taken) + 1) if number not in self._taken)
        self._taken.add(number)
        return number

    def give_back(self, number: int) -> None:
        """The worker with NUMBER has ended."""
        self._taken.remove(number)


@dataclass(frozen=True)
class Common:
    """What all workers of a server share, also those that serve no more with those that serve already."""

    folder: Path
    """Where they count."""
    bursts: int | None
    """The descriptor of memory in which they see bursts, with so many PLACES."""
    places: int
    tries: int | None
    """The descriptor of memory in which they count who tries passwords."""
    bodies: int | None
    """The descriptor of memory in which they count what bodies take."""
    numbers: Numbers = field(default_factory=Numbers)


@dataclass(eq=False)
class Worker:
    """One process, and the line to it."""

    number: int
    process: Process
    line: socket.socket
    serves_since: float | None = None
    """By a clock that only goes forward; None: it never was ready."""

    def __post_init__(self) -> None:
        self.first_word = asyncio.create_task(self._first_word())
        """Whether it answers requests, once that is known."""

    async def _first_word(self) -> bool:
        ready = await asyncio.get_running_loop().sock_recv(self.line, 1) == READY
        self.serves_since = time.monotonic() if ready else None
        return ready

    @property
    def serves(self) -> bool:
        """Whether it answers requests."""
        return self.process.returncode is None and self.serves_since is not None

    @property
    def has_worked(self) -> bool:
        """Whether it served for long enough to be one that works."""
        return self.serves_since is not None and time.monotonic() - self.serves_since >= SOON_AGAIN

    def hand_over(self) -> None:
        """Let it take nothing new and leave."""
        with suppress(OSError):  # it has left
            self.line.send(HAND_OVER)

    async def end(self) -> int:
        """Wait until it has ended; its exit status."""
        status = await self.process.wait()
        await asyncio.wait((self.first_word,))  # the line ends with the process
        return status

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it is still there."""
        if self.process.returncode is None:
            self.process.send_signal(number)


class Crew:
    """SIZE workers for SETTINGS on SOCKETS, with what workers have in COMMON."""

    def __init__(self, size: int, settings: Settings, sockets: Sockets, common: Common) -> None:
        self._size = size
        self._settings = settings
        self._sockets = sockets
        self._common = common
        self._members: set[Worker] = set()
        self._keepers: list[asyncio.Task[None]] = []
        self._leaving = False
        self.gave_up = asyncio.Event()
        """Set when the workers die at once and none is left."""

    async def start(self) -> None:
        """Start all of them, the first one alone: what is wrong is said once. Returns when all are ready.

        Raises CrewFailed, and then none is left.
        """
        try:
            first = await self._hired()
            others = await asyncio.gather(*(self._hired() for _ in range(self._size - 1)))
        except BaseException:
            await self.stop()
            raise
        self._keepers = [asyncio.create_task(self._keep(worker)) for worker in (first, *others)]

    async def stop(self) -> None:
        """Let all finish what was begun, and leave."""
        await self._leave(signal.SIGTERM, PATIENCE)

    async def hand_over(self) -> None:
        """The same, and gently: others serve the same sockets."""
        await self._leave(None, PATIENCE_OF_OTHERS)

    async def _leave(self, how: signal.Signals | None, patience: float) -> None:
        self._leaving = True
        for worker in self._members:
            if how is None and worker.serves:
                worker.hand_over()
            else:
                worker.signal(how or signal.SIGTERM)
        try:
            async with asyncio.timeout(patience):
                await self._gone()
        except TimeoutError:
            log.error("%d workers did not finish in time and are killed", len(self._members))
            for worker in self._members:
                worker.signal(signal.SIGKILL)
            await self._gone()
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)

    async def _gone(self) -> None:
        while self._members:
            for worker in tuple(self._members):
                await self._ended(worker)

    async def _keep(self, worker: Worker) -> None:
        """Replace WORKER when it dies, and whoever comes after it."""
        at_once = 0
        while True:
            status = await self._ended(worker)
            if self._leaving:
                return
            log.error("worker %d ended with status %d; another one is started", worker.number, status)
            at_once = 1 if worker.has_worked else at_once + 1
            if at_once >= TRIES and not any(member.serves for member in self._members):
                log.critical("workers end as soon as they begin; giving up")
                self.gave_up.set()
                return
            await asyncio.sleep(min(SOON * 2 ** (at_once - 1), LONGEST_PAUSE))
            worker = await self._replaced()

    async def _replaced(self) -> Worker:
        """Another worker, as soon as the system lets us have one."""
        while True:
            try:
                return await self._spawned()
            except OSError as error:
                log.error("no worker can be started: %s", error.strerror)
                await asyncio.sleep(LONGEST_PAUSE)

    async def _hired(self) -> Worker:
        """A worker that is ready. Raises CrewFailed."""
        worker = await self._spawned()
        if not await worker.first_word:
            raise CrewFailed
        return worker

    async def _spawned(self) -> Worker:
        ours, theirs = socket.socketpair()
        common = self._common
        number = common.numbers.take()
        sockets = {name: tuple(one.fileno() for one in several) for name, several in self._sockets.items()}
        orders = Orders(
            settings=self._settings,
            number=number,
            folder=common.folder,
            line=theirs.fileno(),
            bursts=common.bursts,
            places=common.places,
            tries=common.tries,
            bodies=common.bodies,
            sockets=sockets,
        )
        try:
            with theirs:
                # Not with -m: the process that a worker plans large messages in would import the whole worker first.
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-c", "from tracker.worker import main; main()",
                    stdin=PIPE,
                    stdout=DEVNULL,
                    pass_fds=orders.inherited,
                    env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(common.folder)},
                )  # fmt: skip
        except BaseException:
            ours.close()
            common.numbers.give_back(number)
            raise
        ours.setblocking(False)
        worker = Worker(number, process, ours)
        self._members.add(worker)
        assert process.stdin is not None
        process.stdin.write(pickle.dumps(orders))
        process.stdin.close()
        if self._leaving:
            worker.signal(signal.SIGTERM)
        return worker

    async def _ended(self, worker: Worker) -> int:
        """Wait until WORKER has ended; its exit status."""
        status = await worker.end()
        if worker in self._members:
            self._members.remove(worker)
            worker.line.close()
            forget_present(worker.number, self._common.folder)
            forget_bodies(self._common.bodies, worker.number)
            self._common.numbers.give_back(worker.number)
        return status
