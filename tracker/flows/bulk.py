"""Records many reported consents, in chunks that share a transaction: each as if it had come alone, and never mailed.

The law: nothing that comes in bulk makes the tracker mail anybody, whatever it asks for (LAW.md R7, R8).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, TypeAlias

from tracker.core.calendar import day_of
from tracker.core.consent import ConsentPolicy, suppression_last_day
from tracker.flows.consent import Consents, ReportedConsent, refusal
from tracker.flows.recording import Outcome, Recorder
from tracker.model import (
    BadRequest,
    ConsentReport,
    ConsentState,
    InvalidField,
    StoreUnavailable,
    Suppressed,
    TrackerError,
)
from tracker.store.bulk import BulkBook
from tracker.store.engine import RowRefused
from tracker.store.store import Store

CHUNK: Final = 250
"""Reports that share a transaction: others write in between."""
TRIES: Final = 5
"""How often a chunk is tried while the store is away."""
PAUSE: Final = 2.0
"""Seconds between two tries."""
TURN: Final = 16
"""Reports that are read in one go: others have their turn in between."""

Line: TypeAlias = ReportedConsent | TrackerError
"""A report, or why what came is none."""
Result: TypeAlias = Outcome | TrackerError


class NotAll(Exception):
    """A list that was to be taken as a whole holds something that is refused: nothing of it was written."""


class Bulk:
    """Reports of many consents, as a nightly sync or a file brings them."""

    def __init__(
        self, store: Store, consents: Consents, policy: ConsentPolicy, *, tries: int = TRIES, pause: float = PAUSE
    ) -> None:
        self._store = store
        self._tries = tries
        self._pause = pause
        self._consents = consents
        self._policy = policy
        self._recorder = Recorder(policy)

    async def record(self, lines: Sequence[Line], now: datetime, *, rehearsal: bool = False) -> list[Result]:
        """What became of each of LINES, in their order; a line that is refused changes nothing for the others.

        Give it CHUNK lines at a time. Of a REHEARSAL nothing is kept. Raises StoreUnavailable; then nothing was
        written.
        """
        keys = self._store.fingerprint
        reports = await self._understood(lines)
        try:
            return await self._patiently(reports, now, rehearsal, keys)
        except RowRefused:
            if len(reports) == 1:
                return [StoreUnavailable()]
        return [(await self.record([line], now, rehearsal=rehearsal))[0] for line in lines]

    async def record_all(self, chunks: Iterable[Sequence[Line]], now: datetime) -> Counter[ConsentState]:
        """Record every line of CHUNKS in one transaction, during which nobody else can write; how many came to what.

        Raises NotAll when one of them is refused, StoreUnavailable; then nothing was written.
        """
        counts: Counter[ConsentState] = Counter()
        async with self._store.consents_of_many() as book:
            for lines in chunks:
                for result in await self._record(book, await self._understood(lines), now):
                    if isinstance(result, TrackerError):
                        raise NotAll
                    counts[result.answer[0]] += 1
        return counts

    async def note_attempts(self, lines: Sequence[Line], now: datetime) -> None:
        """Let the no of everybody in LINES who said no last from NOW on: that they were asked for counts as a try.

        For a list of which nothing else is written. Raises StoreUnavailable.
        """
        today = day_of(now)
        ends = suppression_last_day(today, self._policy)
        reports = [report for report in await self._understood(lines) if isinstance(report, ConsentReport)]
        async with self._store.consents_of_many() as book:
            await book.look_up({report.pseudonym for report in reports}, today)
            for report in reports:
                refused = report.purposes & (await book.standing(report.pseudonym, today)).suppressed.keys()
                if refused:
                    await book.prolong_suppression(report.pseudonym, refused, ends)

    async def _understood(self, lines: Sequence[Line]) -> list[ConsentReport | TrackerError]:
        understood: list[ConsentReport | TrackerError] = []
        for number, line in enumerate(lines):
            if number % TURN == 0:
                await asyncio.sleep(0)
            understood.append(line if isinstance(line, TrackerError) else self._read(line))
        return understood

    def _read(self, reported: ReportedConsent) -> ConsentReport | TrackerError:
        if reported.requested:
            return InvalidField("requested: a confirmation is mailed for a single report only, POST /v1/consents")
        try:
            return self._consents.understood(reported)
        except BadRequest as error:
            return error

    async def _patiently(
        self, reports: Sequence[ConsentReport | TrackerError], now: datetime, rehearsal: bool, keys: bytes
    ) -> list[Result]:
        """Nobody waits for a list as a sender waits for a copy: while the store is busy it is tried again."""
        for _ in range(self._tries - 1):
            try:
                return await self._recorded(reports, now, rehearsal, keys)
            except RowRefused:
                raise
            except StoreUnavailable:
                await asyncio.sleep(self._pause)
        return await self._recorded(reports, now, rehearsal, keys)

    async def _recorded(
        self, reports: Sequence[ConsentReport | TrackerError], now: datetime, rehearsal: bool, keys: bytes
    ) -> list[Result]:
        if not any(isinstance(report, ConsentReport) for report in reports):
            return [report for report in reports if isinstance(report, TrackerError)]
        async with self._store.consents_of_many(rehearsal=rehearsal, fingerprint=keys) as book:
            return await self._record(book, reports, now)

    async def _record(
        self, book: BulkBook, reports: Sequence[ConsentReport | TrackerError], now: datetime
    ) -> list[Result]:
        people = {report.pseudonym for report in reports if isinstance(report, ConsentReport)}
        await book.look_up(people, day_of(now))
        return [
            report if isinstance(report, TrackerError) else await self._one(book, report, now) for report in reports
        ]

    async def _one(self, book: BulkBook, report: ConsentReport, now: datetime) -> Result:
        try:
            outcome = await self._recorder.record(book, report, now)
        except BadRequest as error:  # decided before anything was written
            return error
        return refusal(outcome) if outcome.answer[0] is ConsentState.SUPPRESSED else outcome


def said_no(result: Result) -> bool:
    """Whether a line was refused because the person said no."""
    return isinstance(result, Suppressed)
