"""Keeps the journal: monthly files of sealed lines outside the database, on the disk before anybody gets an answer.

The law: what is acknowledged was fsynced; nobody but the tracker's user reads it; a month goes when no backup that
could lack it is left.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from glob import escape
from pathlib import Path
from typing import Final

from tracker.core.calendar import day_of, later
from tracker.core.journal import ID_SIZE, NOTHING, Anchor, Begin, Line, Noted, Record, Restored, lines, opening, written
from tracker.model import BadJournal, No

SUFFIX: Final = ".journal"
ASIDE: Final = ".aside-"
"""What is put after the name of a folder whose journal is of no use any more, before the time."""
ASIDE_TIME: Final = "%Y%m%dT%H%M%SZ"
SEGMENT: Final = re.compile(r"\d{4}-\d{2}")


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a database has applied a journal: the number of a no and its seal."""

    number: int
    seal: bytes


@dataclass(slots=True)
class _Tail:
    """Where the journal ends, and what was read on the way there."""

    journal: bytes = b""
    segment: str = ""
    offset: int = 0
    seal: bytes = b""
    number: int = 0
    seals: dict[int, bytes] = field(default_factory=dict)
    """Of every no, and of the last one before the oldest segment."""
    waiting: list[Noted] = field(default_factory=list)
    since_anchor: list[Noted] = field(default_factory=list)
    anchors: list[Anchor | Restored] = field(default_factory=list)
    anchored: bool = False
    """Whether this month holds an anchor."""

    def take(self, line: Line) -> None:
        """Go on to LINE."""
        self.seal = line.seal
        match line.record:
            case Begin() as begin:
                self._begin(begin)
            case Noted(number) as noted:
                if number != self.number + 1:
                    raise BadJournal("a no is missing")
                self.number = number
                self.seals[number] = line.seal
                self.waiting.append(noted)
                self.since_anchor.append(noted)
            case Anchor() | Restored() as anchor:
                self.anchors.append(anchor)
                self.since_anchor = []
                self.anchored = True

    def _begin(self, begin: Begin) -> None:
        self.anchored = False
        if not self.seals:  # the oldest segment that is there
            self.journal, self.number = begin.journal, begin.number
            self.seals[begin.number] = begin.last
        elif (begin.journal, begin.number, begin.last) != (self.journal, self.number, self.seals[self.number]):
            raise BadJournal("a month is missing, or belongs to another journal")


class Journal:
    """The journal in FOLDER, sealed with KEY. Several processes may write to it; each sees what the others wrote.

    What is awaited runs in a thread, since the disk may be slow. Raises BadJournal for a journal that is missing or
    damaged, and for a disk that does not take it.
    """

    def __init__(self, folder: Path, key: bytes) -> None:
        self.folder = folder
        self._key = key
        self._tail = _Tail()
        self._mutex = threading.Lock()

    def create(self, now: datetime, random_bytes: Callable[[int], bytes]) -> Mark:
        """Begin a new journal in the folder, which is made (mode 0700); what the database has applied of it: nothing.

        Raises BadJournal, also where there is a journal already.
        """
        with _explained():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._locked():
                if self._segments():
                    raise BadJournal("there is one already; nothing was overwritten")
                self._tail = _Tail()
                self._start(_month(now), Begin(random_bytes(ID_SIZE), 0, NOTHING, NOTHING))
        return Mark(0, NOTHING)

    def put_aside(self, now: datetime) -> Path | None:
        """Give the folder another name, so that a new journal can begin; that name, or None when nothing is there."""
        with self._mutex, _explained():
            if not self.folder.exists() or not any(self.folder.iterdir()):
                return None
            aside = self.folder.with_name(f"{self.folder.name}{ASIDE}{now.astimezone(UTC):{ASIDE_TIME}}")
            self.folder.rename(aside)
            return aside

    async def load(self) -> None:
        """Read all of it and check that it is whole."""
        await asyncio.to_thread(self._load)

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
    def anchors(self) -> tuple[Anchor | Restored, ...]:
        """Every head of the ledger that was noted, and every return of an older database, oldest first."""
        return tuple(self._tail.anchors)

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

    def _load(self) -> None:
        with self._mutex, _explained(), self._locked():
            self._tail = _Tail()
            if not self._segments():
                raise BadJournal("missing: there is no journal in its folder")
            self._follow()

    def _append(self, records: Callable[[int], Sequence[Record]], now: datetime) -> None:
        """Write what RECORDS makes of the number of the last no."""
        with self._mutex, _explained(), self._locked():
            self._follow()
            self._begin_month(_month(now))
            self._write(records(self._tail.number))

    def _turn(self, now: datetime, backup_days: int) -> None:
        with self._mutex, _explained(), self._locked():
            self._follow()
            self._begin_month(_month(now))
            oldest = min((noted.number for noted in self._tail.waiting), default=None)
            for segment in self._segments()[:-1]:
                if oldest is not None or later(day_of(_after(segment)), backup_days) > day_of(now):
                    break  # what the database has not applied yet stays, whatever its age
                self._path(segment).unlink()
            self._sync_folder()
            for aside, since in put_aside(self.folder):
                if later(day_of(since), backup_days) < day_of(now):
                    _delete(aside)

    def _copy_to(self, folder: Path) -> None:
        with self._mutex, _explained(), self._locked():
            self._follow()
            folder.mkdir(mode=0o700)
            for segment in self._segments():
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                descriptor = os.open(folder / self._path(segment).name, flags, 0o600)
                with open(descriptor, "wb") as file:
                    file.write(self._path(segment).read_bytes())
                    file.flush()
                    os.fsync(descriptor)

    def _follow(self) -> None:
        """Read what other processes wrote since."""
        segments = self._segments()
        if self._tail.segment and self._tail.segment not in segments:
            raise BadJournal("missing: a month that was there has gone")
        for segment in segments:
            if segment == self._tail.segment:
                self._read_on()
            elif segment > self._tail.segment and not self._enter(segment) and segment != segments[-1]:
                raise BadJournal("a month is empty")
        if not self._tail.seals:
            raise BadJournal("damaged: its first line is not whole")

    def _enter(self, segment: str) -> bool:
        """Go on to SEGMENT; False when its first line was cut: then it has not begun."""
        tail = self._tail
        first = next(lines(self._key, opening(self._key, segment), self._read(segment, 0)), None)
        if first is None:
            return False
        if not isinstance(first.record, Begin) or (tail.segment and first.record.previous != tail.seal):
            raise BadJournal("a month does not follow the one before it")
        tail.take(first)
        tail.segment, tail.offset = segment, first.end
        self._read_on()
        return True

    def _read_on(self) -> None:
        tail = self._tail
        start = tail.offset
        for line in lines(self._key, tail.seal, self._read(tail.segment, start)):
            tail.take(line)
            tail.offset = start + line.end

    def _read(self, segment: str, offset: int) -> bytes:
        with self._path(segment).open("rb") as file:
            if file.seek(0, os.SEEK_END) < offset:
                raise BadJournal("damaged: lines that were there have gone")
            file.seek(offset)
            return file.read()

    def _begin_month(self, month: str) -> None:
        tail = self._tail
        if month > tail.segment:
            self._start(month, Begin(tail.journal, tail.number, tail.seals[tail.number], tail.seal))

    def _start(self, month: str, begin: Begin) -> None:
        self._tail.segment, self._tail.offset, self._tail.seal = month, 0, opening(self._key, month)
        self._write([begin])
        self._sync_folder()

    def _write(self, records: Sequence[Record]) -> None:
        tail = self._tail
        seals, texts = [tail.seal], []
        for record in records:
            text, seal = written(self._key, seals[-1], record)
            seals.append(seal)
            texts.append(text)
        text = b"".join(texts)
        descriptor = os.open(self._path(tail.segment), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "r+b", buffering=0) as file:
            file.truncate(tail.offset)  # takes away a last line that was cut
            file.seek(tail.offset)
            if file.write(text) != len(text):
                raise BadJournal("the disk is full")
            os.fsync(descriptor)
        tail.offset += len(text)
        for record, seal in zip(records, seals[1:], strict=True):
            tail.take(Line(record, seal, 0))

    def _segments(self) -> list[str]:
        return sorted(
            path.name.removesuffix(SUFFIX)
            for path in self.folder.iterdir()
            if path.name.endswith(SUFFIX) and SEGMENT.fullmatch(path.name.removesuffix(SUFFIX))
        )

    def _path(self, segment: str) -> Path:
        return self.folder / f"{segment}{SUFFIX}"

    def _sync_folder(self) -> None:
        with _opened(self.folder) as folder:
            os.fsync(folder)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with _opened(self.folder) as folder:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield


def put_aside(folder: Path) -> Iterator[tuple[Path, datetime]]:
    """The journals that were put aside from FOLDER, oldest first, and since when."""
    for path in sorted(folder.parent.glob(f"{escape(folder.name)}{ASIDE}*")):
        with suppress(ValueError):  # somebody else's folder
            yield path, datetime.strptime(path.name.removeprefix(folder.name + ASIDE), ASIDE_TIME).replace(tzinfo=UTC)


def _delete(aside: Path) -> None:
    """Delete the journal in ASIDE, and the folder unless somebody put something else there."""
    for path in aside.glob(f"*{SUFFIX}"):
        path.unlink()
    with suppress(OSError):
        aside.rmdir()


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _explained() -> Iterator[None]:
    """Turns what the system says into BadJournal, without the path."""
    try:
        yield
    except FileNotFoundError:
        raise BadJournal("missing: there is no journal in its folder") from None
    except OSError as error:
        raise BadJournal(f"journal: {error.strerror}") from None


def _month(now: datetime) -> str:
    return now.astimezone(UTC).strftime("%Y-%m")


def _after(segment: str) -> datetime:
    """The first instant after the month SEGMENT."""
    first = datetime.strptime(segment, "%Y-%m").replace(tzinfo=UTC)
    return (first + timedelta(days=31)).replace(day=1)
