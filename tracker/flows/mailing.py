"""Tells how a mail of our own goes out: seldom enough, after the answer has left, and without a trace of the address.

The law (DESIGN.md, Consent): a confirmation once to an address in six months and so many a day for each key; what a
person starts three times a day; the same effort and the same answer for every address.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Final, Self

from tracker.core.calendar import day_of, later
from tracker.core.periods import SIX_MONTHS
from tracker.model import Letter, MailKind, MailNotSent, MailRefused, Pseudonym
from tracker.store.mailings import MailLimit
from tracker.store.store import Store

log = logging.getLogger(__name__)

STARTED_BY_THE_PERSON: Final = frozenset({MailKind.ASK, MailKind.MAILBOX})
A_DAY: Final = 3
"""Mails to an address that somebody typed on a page of ours."""


@dataclass(frozen=True, slots=True)
class MailPolicy:
    """How much may be mailed, and how patiently."""

    confirmations_per_day: int = 50
    """For each API key."""
    waiting: int = 1_000
    """The most letters that wait; further ones are dropped."""
    workers: int = 4
    """How many go out at the same time, so that one that is tried again does not hold up the others."""
    pauses: tuple[float, ...] = (2.0, 20.0, 60.0)
    """Seconds before a letter that the next hop does not take just now is tried again."""
    last_seconds: float = 5.0
    """For what waits when the server stops."""


class Mailings:
    """Sends letters in the background while its `async with` block runs.

    POST hands a letter to the next hop and raises MailNotSent; None: there is no next hop.
    """

    def __init__(
        self,
        store: Store,
        post: Callable[[Letter], Awaitable[None]] | None,
        policy: MailPolicy = MailPolicy(),
        *,
        count: Callable[[MailKind, str], None] = lambda kind, result: None,
    ) -> None:
        """COUNT is told what became of each letter: sent, too-often, refused, failed or dropped."""
        self._store = store
        self._post = post
        self._policy = policy
        self._count = count
        self._queue: asyncio.Queue[Letter] = asyncio.Queue(policy.waiting)
        self._closing = asyncio.Event()
        self._workers: list[asyncio.Task[None]] = []

    @property
    def possible(self) -> bool:
        """Whether there is a next hop that takes mail."""
        return self._post is not None

    async def send_soon(self, letter: Letter, person: Pseudonym, now: datetime, *, source: str | None = None) -> None:
        """Let LETTER go to PERSON soon, unless they got enough of its kind; nobody is told which.

        PERSON: of what somebody typed, whoever has that mailbox (core/inbox.py), which has many spellings.
        SOURCE: the API key that a confirmation goes out for. Without a next hop nothing happens.
        Raises StoreUnavailable, and then nothing is sent.
        """
        if not self.possible:
            return
        today = day_of(now)
        if letter.kind in STARTED_BY_THE_PERSON:
            limit, last_day = MailLimit(STARTED_BY_THE_PERSON, A_DAY), today
        else:
            limit = MailLimit(frozenset({letter.kind}), 1, self._policy.confirmations_per_day)
            last_day = later(today, SIX_MONTHS)
        if not await self._store.count_mailing(person, letter.kind, today, limit, last_day=last_day, source=source):
            self._count(letter.kind, "too-often")
            return
        try:
            self._queue.put_nowait(letter)
        except asyncio.QueueFull:
            self._drop(letter)

    async def __aenter__(self) -> Self:
        """Begin to send."""
        self._workers = [asyncio.create_task(self._work()) for _ in range(self._policy.workers)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Try what waits once more, for a few seconds; what is left then is dropped."""
        self._closing.set()
        try:
            async with asyncio.timeout(self._policy.last_seconds):
                await self._queue.join()
        except TimeoutError:
            log.warning("stopping before all mail was sent")
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        while not self._queue.empty():
            self._drop(self._queue.get_nowait())

    async def _work(self) -> None:
        while True:
            letter = await self._queue.get()
            try:
                await self._deliver(letter)
            except asyncio.CancelledError:
                self._drop(letter)
                raise
            finally:
                self._queue.task_done()

    async def _deliver(self, letter: Letter) -> None:
        assert self._post is not None
        for pause in (*self._policy.pauses, None):
            try:
                await self._post(letter)
            except MailNotSent as error:
                final = pause is None or isinstance(error, MailRefused) or self._closing.is_set()
                if final:
                    self._count(letter.kind, "refused" if isinstance(error, MailRefused) else "failed")
                    log.warning("a mail was not sent: %s: %s", error.slug, error.detail)
                    return
                await self._pause(pause or 0.0)
            except Exception:
                self._count(letter.kind, "failed")
                log.exception("a mail was not sent")
                return
            else:
                self._count(letter.kind, "sent")
                return

    async def _pause(self, seconds: float) -> None:
        """Wait so long, or until the server stops."""
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            return

    def _drop(self, letter: Letter) -> None:
        self._count(letter.kind, "dropped")
        log.warning("a mail was dropped")
