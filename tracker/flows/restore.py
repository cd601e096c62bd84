"""Tells what happens after a restore that the journal cannot mend: others vouch, or a person decides.

The law: without a journal that reaches back as far as the database nobody knows who said no since; then every grant
ends, unless a person knows that the database never went back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from pathlib import Path
from typing import Final

from tracker.core.calendar import day_of, later
from tracker.core.journal import Anchor
from tracker.flows.in_step import InStep
from tracker.model import BadJournal
from tracker.store.journal import Journal
from tracker.store.restore import Marks
from tracker.store.store import Store

NOBODY_VOUCHES: Final = (
    "no journal reaches back as far as the database. Name another server's journal; or say --end-grants, to end every "
    "grant, or --not-restored, if you know that this database was never replaced by an older one"
)


class Decision(Enum):
    """What a person says where no journal vouches for the database."""

    NONE = auto()
    END_GRANTS = auto()
    NOT_RESTORED = auto()


@dataclass(frozen=True, slots=True)
class Restored:
    """What was done."""

    replayed: int
    """Nos that the database lacked."""
    ended: int
    """Grants that nobody could vouch for."""
    begun: bool
    """Whether this server has a new journal."""
    aside: Path | None
    """Where the old one lies, if there was one."""


class Restore:
    """Checks and mends a restored database."""

    def __init__(
        self, store: Store, own: Journal, in_step: InStep, random_bytes: Callable[[int], bytes], *, proof_days: int
    ) -> None:
        self._store = store
        self._own = own
        self._in_step = in_step
        self._random_bytes = random_bytes
        self._proof_days = proof_days

    async def check(self, others: Sequence[Journal], decision: Decision, now: datetime) -> Restored:
        """Replay OTHERS and the own journal, end what nobody vouches for if DECISION says so, and let mail be tracked.

        Raises BadJournal when one of OTHERS cannot be read, or when nobody vouches and nothing was decided: then
        nothing was changed. Raises StoreUnavailable.
        """
        for journal in others:
            await journal.load()
        async with self._store.restoring() as book:
            marks = await book.marks()
        usable = await self._is_usable(marks)
        if decision is Decision.NONE and not usable and not any(_vouches(one, marks) for one in others):
            raise BadJournal(NOBODY_VOUCHES)
        replayed = await self._replay(others, marks)
        ended = await self._end_grants(now) if decision is Decision.END_GRANTS else 0
        aside = None if usable else await asyncio.to_thread(self._own.put_aside, now)
        await self._settle(marks, {one.id for one in others}, usable, now)
        await self._in_step.look(now)
        return Restored(replayed, ended, begun=not usable, aside=aside)

    async def join(self, now: datetime) -> None:
        """Begin the journal of a new server beside those that keep the database in step already.

        Raises BadJournal when it has one, when there are no others, or when the database just went back: who is new
        cannot vouch for it. Raises StoreUnavailable.
        """
        async with self._store.restoring() as book:
            marks = await book.marks()
            if not marks.applied:
                raise BadJournal("this database has no other server: a journal that is missing is not new")
            if marks.restored is not None:
                raise BadJournal("an older database was put in place; add the server when mail is tracked again")
            begun = await asyncio.to_thread(self._own.create, now, self._random_bytes)
            await book.set_mark(self._own.id, begun)
            head = await book.head()
        await self._own.note(Anchor(now, *head, 0), now)
        await self._in_step.look(now)

    async def _is_usable(self, marks: Marks) -> bool:
        """Whether the own journal is whole and reaches the database."""
        try:
            await self._own.load()
        except BadJournal:
            return False
        return _vouches(self._own, marks)

    async def _replay(self, others: Sequence[Journal], marks: Marks) -> int:
        """Replay what can be read of all journals; of one that does not vouch, all of it."""
        replayed = 0
        for journal in (*others, self._own):  # of a damaged one what stands before the damage was read
            if _vouches(journal, marks):
                journal.applied(marks.applied[journal.id].number)
            if journal.id:
                replayed += await self._in_step.replay(journal)
        return replayed

    async def _end_grants(self, now: datetime) -> int:
        ended = 0
        last_day = later(day_of(now), self._proof_days)
        while True:
            async with self._store.restoring() as book:
                some = await book.end_some_grants(now, last_day)
                if not some:
                    await book.vouched(now)
                    return ended
            ended += some

    async def _settle(self, marks: Marks, given: set[bytes], usable: bool, now: datetime) -> None:
        """Begin a new journal if there has to be one; wait for none that will not come any more."""
        head: tuple[int, bytes] | None = None
        if not usable:
            begun = await asyncio.to_thread(self._own.create, now, self._random_bytes)
        async with self._store.restoring() as book:
            known = (await book.marks()).applied.keys()
            late = known - marks.replayed if marks.restored is not None else set()
            for journal in known - {self._own.id}:
                if journal in late or journal not in marks.applied or not (usable or journal in given):
                    await book.forget_journal(journal)
            if not usable:
                await book.set_mark(self._own.id, begun)
                head = await book.head()
            await book.is_forward()
        if head is not None:
            await self._own.note(Anchor(now, *head, 0), now)


def _vouches(journal: Journal, marks: Marks) -> bool:
    mark = marks.applied.get(journal.id)
    return mark is not None and journal.reaches(mark)
