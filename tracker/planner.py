"""Surveys messages: small ones here, large ones in another process, so that no hit waits for them."""

from __future__ import annotations

import asyncio
import ctypes
import multiprocessing
import signal
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Final

from tracker.core.survey import Refused, Survey, SurveyPolicy, survey

LARGE: Final = 100_000
"""Octets above which a message is surveyed in another process; a thread would hold the interpreter lock."""
PATIENCE: Final = 4.0
"""Seconds: senders wait 5 s before they send what they have."""
_PR_SET_PDEATHSIG: Final = 1


class Planner:
    """A survey function for flows, with a process of its own for large messages."""

    def __init__(self, policy: SurveyPolicy) -> None:
        self._survey = partial(survey, policy=policy)
        self._pool: ProcessPoolExecutor | None = None

    async def __call__(self, message: bytes) -> Survey | Refused:
        """What there is to track in MESSAGE. Raises TimeoutError, BrokenProcessPool."""
        if len(message) <= LARGE:
            return self._survey(message)
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                1, mp_context=multiprocessing.get_context("spawn"), initializer=_leave_with_the_server
            )
        work = asyncio.get_running_loop().run_in_executor(self._pool, self._survey, message)
        try:
            return await asyncio.wait_for(work, PATIENCE)
        except BrokenProcessPool:
            self._pool = None  # the next large message starts another
            raise

    def close(self) -> None:
        """End the process."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


def _leave_with_the_server() -> None:
    """Ctrl-C is the server's to handle; a server that is killed takes this process along."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
