"""Looks into messages: into small ones here, into large ones in another process, so that no hit waits for them."""

from __future__ import annotations

import asyncio
import ctypes
import multiprocessing
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar

from tracker.core.quotation import quoted_tokens
from tracker.core.survey import Refused, Survey, SurveyPolicy, survey
from tracker.flows.surveys import LARGE
from tracker.logs import configure

PATIENCE: Final = 4.0
"""Seconds: senders wait 5 s before they send what they have."""
_PR_SET_PDEATHSIG: Final = 1
Found = TypeVar("Found")


class Planner:
    """A survey function for flows, with a process of its own for large messages."""

    def __init__(self, policy: SurveyPolicy) -> None:
        self._survey = partial(survey, policy=policy)
        self._survey_apart = partial(_without_message, policy=policy)
        self._pool: ProcessPoolExecutor | None = None

    async def __call__(self, message: bytes) -> Survey | Refused:
        """What there is to track in MESSAGE. Raises TimeoutError, BrokenProcessPool."""
        if len(message) <= LARGE:
            return self._survey(message)
        found = await self._apart(self._survey_apart, message)
        return replace(found, message=message) if isinstance(found, Survey) else found

    async def quoted_tokens(self, message: bytes) -> frozenset[str]:
        """What looks like a delivery token in MESSAGE. Raises the same."""
        return quoted_tokens(message) if len(message) <= LARGE else await self._apart(quoted_tokens, message)

    async def _apart(self, look: Callable[[bytes], Found], message: bytes) -> Found:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                1, mp_context=multiprocessing.get_context("spawn"), initializer=_leave_with_the_server
            )
        work = asyncio.get_running_loop().run_in_executor(self._pool, look, message)
        try:
            return await asyncio.wait_for(work, PATIENCE)
        except (BrokenProcessPool, TimeoutError):
            self.close()  # the next large message starts another, and does not wait behind this one
            raise

    def close(self) -> None:
        """End the process, whatever it is doing."""
        pool, self._pool = self._pool, None
        if pool is not None:
            processes = list((pool._processes or {}).values())  # the executor has no public way to end one at work
            pool.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.kill()


def _without_message(message: bytes, policy: SurveyPolicy) -> Survey | Refused:
    """The survey of MESSAGE, which need not travel back."""
    found = survey(message, policy)
    return replace(found, message=b"") if isinstance(found, Survey) else found


def _leave_with_the_server() -> None:
    """Ctrl-C is the server's to handle; a server that is killed takes this process along."""
    configure(sys.stderr)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
