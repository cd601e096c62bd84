"""Serves with several worker processes: binds the sockets, starts the workers, and exchanges them on SIGHUP.

The law: what listens is bound once, and stays so while workers come and go, so that no connection is refused. There are
never workers of more than two crews: those that serve, and those of before or of after.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from tracker.bodies_memory import shared_bodies
from tracker.burst_memory import shared_memory
from tracker.config import Settings
from tracker.crew import Common, Crew, CrewFailed
from tracker.listeners import Sockets, bound, close
from tracker.model import TrackerError
from tracker.tries_memory import shared_tries

log = logging.getLogger(__name__)

FOLDER_PREFIX: Final = "tracker-"


async def supervise(size: int, load: Callable[[], Settings], ready: Callable[[Settings], None]) -> int:
    """Serve with SIZE workers until SIGTERM or SIGINT; the exit status.

    LOAD reads the settings, at the start and at each SIGHUP; READY is called once, when all workers answer. Raises
    SetupError for settings that do not do.
    """
    places = 2 * size  # old and new workers serve together while they are exchanged
    bursts, tries, bodies = shared_memory(places), shared_tries(), shared_bodies()
    try:
        with tempfile.TemporaryDirectory(prefix=FOLDER_PREFIX, ignore_cleanup_errors=True) as folder:
            return await Supervisor(size, load, ready, Common(Path(folder), bursts, places, tries, bodies)).run()
    finally:
        for memory in (bursts, tries, bodies):
            if memory is not None:
                os.close(memory)


class Supervisor:
    """The parent of the workers."""

    def __init__(
        self, size: int, load: Callable[[], Settings], ready: Callable[[Settings], None], common: Common
    ) -> None:
        self._size = size
        self._load = load
        self._ready = ready
        self._common = common
        self._stop, self._renew = asyncio.Event(), asyncio.Event()

    async def run(self) -> int:
        """Serve until SIGTERM or SIGINT; the exit status. Raises SetupError."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._renew.set)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        settings = self._load()
        sockets = bound(settings)
        crew = self._crew(settings, sockets)
        try:
            if not await self._started(crew):
                return 0 if self._stop.is_set() else 1
            self._ready(settings)
            return await self._go_on(crew, settings, sockets)
        finally:
            close(sockets)

    async def _go_on(self, crew: Crew, settings: Settings, sockets: Sockets) -> int:
        """Serve with CREW, and with others when they are asked for."""
        leaving: dict[Crew, asyncio.Task[None]] = {}
        while True:
            await self._any(self._stop, self._renew, crew.gave_up)
            if self._stop.is_set() or crew.gave_up.is_set():
                break
            self._renew.clear()
            leaving = {one: task for one, task in leaving.items() if not task.done()}
            try:
                renewed = self._load()
                fresh = bound(renewed, sockets, settings)
            except TrackerError as error:
                log.error("the settings do not do; those of before stay in force: %s: %s", error.slug, error.detail)
                continue
            others = self._crew(renewed, fresh)
            if await self._started(others, after=leaving):
                leaving[crew] = asyncio.create_task(crew.hand_over())
                close(sockets, but=fresh)
                crew, settings, sockets = others, renewed, fresh
                log.info("new workers serve; those of before finish what was begun")
            else:
                if not self._stop.is_set():
                    log.error("new workers could not start; those of before go on")
                close(fresh, but=sockets)
        log.info("stopping: finishing what was begun")
        await asyncio.gather(crew.stop(), *(one.stop() for one in leaving), *leaving.values())
        close(sockets)
        return 1 if crew.gave_up.is_set() else 0

    def _crew(self, settings: Settings, sockets: Sockets) -> Crew:
        if self._common.bodies is None:  # each counts alone: then everybody has a fixed share of what they are to share
            settings = settings.model_copy(update={"bodies_in_flight": settings.bodies_in_flight // self._size})
        return Crew(self._size, settings, sockets, self._common)

    async def _started(self, crew: Crew, after: Iterable[Crew] = ()) -> bool:
        """Whether CREW could be started, when those of AFTER had gone, before somebody said stop."""
        starting = asyncio.create_task(self._start(crew, tuple(after)))
        stopped = asyncio.create_task(self._stop.wait())
        await asyncio.wait((starting, stopped), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not starting.done():
            starting.cancel()
        try:
            await starting
        except (CrewFailed, asyncio.CancelledError):
            return False
        return True

    async def _start(self, crew: Crew, after: tuple[Crew, ...]) -> None:
        """Start CREW when those of AFTER have gone, for whom there would be neither place nor memory. As Crew.start."""
        if after:
            log.info("workers of before the last exchange stop, and new ones start when they have left")
            await asyncio.gather(*(one.stop() for one in after))
        await crew.start()

    async def _any(self, *events: asyncio.Event) -> None:
        """Wait until one of EVENTS is set."""
        tasks = [asyncio.create_task(event.wait()) for event in events]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
