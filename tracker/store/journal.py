"""Keeps the journal: sealed lines outside the database, on the disk before anybody gets an answer.

The law: what is acknowledged was fsynced; a month goes when no backup that could lack it is left.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from tracker.core.calendar import day_of, later
from tracker.core.journal import ID_SIZE, NOTHING, Anchor, Begin, Line, Noted, Record, Restored, lines, opening, written
from tracker.model import BadJournal, No
from tracker.store.doubt import Doubt
from tracker.store.journal_files import Files, after, delete_aside, explained, month_of, put_aside
from tracker.store.journal_tail import Mark, Tail


class Journal:
    """The journal in FOLDER, sealed with KEY. Several processes may write to it; each sees what the others wrote.

    What is awaited runs in a thread, since the disk may be slow. Raises BadJournal for a journal that is missing or
    damaged, and for a disk that does not take it.
    """

    def __init__(self, folder: Path, key: bytes) -> None:
        self.folder = folder
        self._files = Files(folder)
        self._key = key
        self._tail = Tail()
        self._mutex = threading.Lock()
        self.doubt = Doubt(folder)
        """Shared with the other processes that write to this journal."""

    def create(self, now: datetime, random_bytes: Callable[[int], bytes]) -> Mark:
        """Begin a new journal in the folder, which is made (mode 0700); what the database has applied of it: nothing.

        Raises BadJournal, also where there is a journal already.
        """
        with explained():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._files.locked():
                if self._files.months():
                    raise BadJournal("there is one already; nothing was overwritten")
                self._tail = Tail()
                self._start(month_of(now), Begin(random_bytes(ID_SIZE), 0, NOTHING, NOTHING))
        return Mark(0, NOTHING)

    def put_aside(self, now: datetime) -> Path | None:
        """Give the folder another name, so that a new journal can begin; that name, or None when nothing is there."""
        with self._mutex, explained():
            return self._files.put_aside(now)

    async def load(self) -> tuple[Anchor | Restored, ...]:
        """Read all of it and check that it is whole.

        Every head of the ledger that was noted, and every return of an older database, oldest first; they are not kept.
        """
        return await asyncio.to_thread(self._load)

    async def follow(self) -> None:
        """Read what other processes wrote since."""
        await asyncio.to_thread(self._follow_alone)

    # --- what it says ------------------------------------------------------------------------------

    @property
    def id(self) -> bytes:
        """By which databases know this journal; empty before it was read."""
        return self._tail.journal

    @property
    def number(self) -> int:
        """Of the last no."""
        return self._tail.number

    @property
    def waiting(self) -> tuple[Noted, ...]:
        """The nos of which nobody said yet that the database has applied them, oldest first."""
        return tuple(self._tail.waiting)

    @property
    def since_anchor(self) -> tuple[Noted, ...]:
        """The nos that were noted since the ledger's head was."""
        return tuple(self._tail.since_anchor)

    @property
    def anchor(self) -> Anchor | Restored | None:
        """The head of the ledger that was noted last, or that an older database was put in place since."""
        return self._tail.anchor

    @property
    def anchored(self) -> bool:
        """Whether this month holds an anchor: earlier months will go."""
        return self._tail.anchored

    def reaches(self, mark: Mark) -> bool:
        """Whether a database with MARK lacks nothing but what stands here after it."""
        return self._tail.seals.get(mark.number) == mark.seal

    def mark(self, number: int) -> Mark:
        """The mark of a database that has applied this journal up to NUMBER."""
        return Mark(number, self._tail.seals[number])

    def applied(self, number: int) -> None:
        """The database has applied this journal up to NUMBER."""
        with self._mutex:
            self._tail.waiting = [noted for noted in self._tail.waiting if noted.number > number]

    # --- what is added -----------------------------------------------------------------------------

    async def note_nos(self, nos: Sequence[No], generation: int, now: datetime) -> None:
        """Write NOS with one fsync; on the disk when this returns. GENERATION: how many pseudonym keys there are."""
        await asyncio.to_thread(
            self._append,
            lambda last: [Noted(number, generation, no) for number, no in enumerate(nos, last + 1)],
            now,
        )

    async def note(self, record: Anchor | Restored, now: datetime) -> None:
        """Write the ledger's head, or that an older database was put in place."""
        await asyncio.to_thread(self._append, lambda _: [record], now)

    async def turn(self, now: datetime, backup_days: int) -> None:
        """Begin the month of NOW if it has not begun; drop the months that no backup of BACKUP_DAYS can lack.

        Journals that were put aside longer ago go, too.
        """
        await asyncio.to_thread(self._turn, now, backup_days)

    async def copy_to(self, folder: Path) -> None:
        """Copy it into FOLDER, which is made, mode 0700, as it stands now."""
        await asyncio.to_thread(self._copy_to, folder)

    # --- files -------------------------------------------------------------------------------------

    def _load(self) -> tuple[Anchor | Restored, ...]:
        with self._mutex, explained(), self._files.locked():
            anchors: list[Anchor | Restored] = []
            self._tail = Tail(anchors=anchors)
            try:
                if not self._files.months():
                    raise BadJournal("missing: there is no journal in its folder")
                self._follow()
            finally:
                self._tail.anchors = None
            return tuple(anchors)

    def _follow_alone(self) -> None:
        with self._mutex, explained(), self._files.locked():
            self._follow()

    def _append(self, records: Callable[[int], Sequence[Record]], now: datetime) -> None:
        """Write what RECORDS makes of the number of the last no."""
        with self._mutex, explained(), self._files.locked():
            self._follow()
            self._begin_month(month_of(now))
            self._write(records(self._tail.number))

    def _turn(self, now: datetime, backup_days: int) -> None:
        with self._mutex, explained(), self._files.locked():
            self._follow()
            self._begin_month(month_of(now))
            oldest = min((noted.number for noted in self._tail.waiting), default=None)
            for segment in self._files.months()[:-1]:
                if oldest is not None or later(day_of(after(segment)), backup_days) > day_of(now):
                    break  # what the database has not applied yet stays, whatever its age
                self._files.delete(segment)
            self._files.sync()
            for aside, since in put_aside(self.folder):
                if later(day_of(since), backup_days) < day_of(now):
                    delete_aside(aside)

    def _copy_to(self, folder: Path) -> None:
        with self._mutex, explained(), self._files.locked():
            self._follow()
            self._files.copy_to(folder)

    def _follow(self) -> None:
        """Read what other processes wrote since."""
        segments = self._files.months()
        if self._tail.segment and self._tail.segment not in segments:
            raise BadJournal("missing: a month that was there has gone")
        for segment in segments:
            if segment == self._tail.segment:
                self._read_on()
            elif segment > self._tail.segment and not self._enter(segment) and segment != segments[-1]:
                raise BadJournal("a month is empty")
        if not self._tail.seals:
            raise BadJournal("damaged: its first line is not whole")
        self._tail.forget(segments[0])

    def _enter(self, segment: str) -> bool:
        """Go on to SEGMENT; False when its first line was cut: then it has not begun."""
        tail = self._tail
        first = next(lines(self._key, opening(self._key, segment), self._files.read(segment, 0)), None)
        if first is None:
            return False
        if not isinstance(first.record, Begin) or (tail.segment and first.record.previous != tail.seal):
            raise BadJournal("a month does not follow the one before it")
        tail.enter(segment, first)
        self._read_on()
        return True

    def _read_on(self) -> None:
        tail = self._tail
        start = tail.offset
        for line in lines(self._key, tail.seal, self._files.read(tail.segment, start)):
            tail.take(line)
            tail.offset = start + line.end

    def _begin_month(self, month: str) -> None:
        tail = self._tail
        if month > tail.segment:
            self._start(month, Begin(tail.journal, tail.number, tail.seals[tail.number], tail.seal))

    def _start(self, month: str, begin: Begin) -> None:
        self._tail.segment, self._tail.offset, self._tail.seal = month, 0, opening(self._key, month)
        self._write([begin])
        self._tail.begins[month] = begin.number
        self._files.sync()

    def _write(self, records: Sequence[Record]) -> None:
        tail = self._tail
        seals, texts = [tail.seal], []
        for record in records:
            text, seal = written(self._key, seals[-1], record)
            seals.append(seal)
            texts.append(text)
        octets = b"".join(texts)
        self._files.write(tail.segment, tail.offset, octets)
        tail.offset += len(octets)
        for record, seal in zip(records, seals[1:], strict=True):
            tail.take(Line(record, seal, 0))
