"""Knows which database file is open, and notices when it has gone, another stands in its place, or it is damaged.

SQLite goes on reading and writing a file that was unlinked, and whatever is committed there is lost. So every
connection remembers the file it opened, and is used only while that file is the one at the path.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from tracker.model import StoreUnavailable

DAMAGE: Final = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
"""How the names of errors begin that say so of the file, not of a statement."""


class Identity(NamedTuple):
    """Tells one file from another; a number is not used again while somebody has the file open."""

    device: int
    inode: int


class _State(NamedTuple):
    """Changes when somebody writes to the file, or puts another in its place."""

    identity: Identity
    size: int
    changed: int


@dataclass(slots=True)
class DatabaseFile:
    """The file at PATH, as the connections to it see it."""

    path: Path
    replaced: int = 0
    """How often another file was found at the path, or a damaged one was found whole again: it may be an older one."""
    epoch: int = 0
    """Connections of an earlier one are not used any more."""
    _opened: Identity | None = None
    _log: Identity | None = None
    _damaged: _State | None = field(default=None, repr=False)

    @contextmanager
    def opening(self) -> Iterator[None]:
        """Around the opening of a connection: meanwhile no process takes away the log that comes with the file.

        Raises StoreUnavailable when no file is there, or another one came just now.
        """
        there = self.notice()
        with _holding(self.path.parent, fcntl.LOCK_SH):
            if not os.access(self.path, os.R_OK | os.W_OK):
                raise StoreUnavailable("the database file cannot be opened")
            self._opened = there  # not what stands there by now: another one is noticed by the next look
            self.opened()
            yield

    def opened(self) -> None:
        """The file is open, and was not read yet. Raises StoreUnavailable when it may be another than was there before.

        Such a one is still without a log: with that of the file before, closing the connection alone would ruin it.
        """
        if _identity(self.path) != self._opened:
            raise StoreUnavailable("another database file was put in place")

    def has_log(self) -> int:
        """The file was read, and so its write-ahead log is open; the epoch that the connection belongs to."""
        self._log = _identity(self._beside("-wal"))
        return self.epoch

    def notice(self) -> Identity:
        """Look whether the file that is open is the one at the path; which one is there.

        Raises StoreUnavailable when there is none: connections may be used again if it comes back. Where another one
        is, `epoch` and `replaced` say so; StoreUnavailable as long as some process is just opening the one before.
        """
        there = _identity(self.path)
        if there is None:
            raise StoreUnavailable("the database file is gone")
        if self._opened not in (None, there):
            self._take_log_away()
            self._opened = self._log = self._damaged = None
            self._renew()
        elif self._opened is not None and self._log is None:
            self._find_log()
        return there

    def check(self) -> None:
        """Raise StoreUnavailable unless the file that is open stands at the path, and is not known to be damaged."""
        self.notice()
        if self._damaged is not None:
            raise StoreUnavailable("the database file is damaged")

    def is_in_place(self) -> bool:
        """Whether the file that was opened last stands at the path, undamaged; changes nothing, so from any thread."""
        return self._damaged is None and _identity(self.path) == self._opened

    def error(self, name: str) -> None:
        """A statement failed with the SQLite error NAME; when it says that the file is damaged, nobody uses it on."""
        if name.startswith(DAMAGE):
            self._damaged = self._state()
            self.epoch += 1

    @property
    def is_damaged(self) -> bool:
        """Whether a statement said so, and nobody found the file whole since."""
        return self._damaged is not None

    @property
    def was_written(self) -> bool:
        """Whether somebody changed the damaged file since."""
        return self._damaged != self._state()

    def is_looked_at(self) -> None:
        """The damaged file is about to be read through, by a connection that remembers nothing of it."""
        self._damaged = self._state()
        self.epoch += 1

    def is_whole(self) -> None:
        """It was read through, and is whole: somebody put it right."""
        self._damaged = None
        self._renew()

    def _renew(self) -> None:
        self.epoch += 1
        self.replaced += 1

    def _find_log(self) -> None:
        """Look for the log of the file that is open: a copy comes without, and gets one when somebody writes to it."""
        with suppress(StoreUnavailable), _holding(self.path.parent, fcntl.LOCK_SH):
            if _identity(self.path) == self._opened:
                self._log = _identity(self._beside("-wal"))

    def _take_log_away(self) -> None:
        """Delete the write-ahead log of the file that was open: with another file it would be a ruin of both.

        Another process may have done so, and begun a new one.
        """
        with _holding(self.path.parent, fcntl.LOCK_EX), suppress(OSError):
            if self._log is not None and _identity(self._beside("-wal")) == self._log:
                self._beside("-wal").unlink()
                self._beside("-shm").unlink()

    def _state(self) -> _State | None:
        try:
            now = self.path.stat()
        except OSError:
            return None
        return _State(Identity(now.st_dev, now.st_ino), now.st_size, now.st_mtime_ns)

    def _beside(self, suffix: str) -> Path:
        return Path(f"{self.path}{suffix}")


def _identity(path: Path) -> Identity | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return Identity(found.st_dev, found.st_ino)


@contextmanager
def _holding(folder: Path, lock: int) -> Iterator[None]:
    """Hold LOCK, shared by who opens the database in FOLDER, not by who takes its log away. Raises StoreUnavailable.

    Nobody waits for it: it is held for a moment, and by a task of this very process perhaps.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        raise StoreUnavailable("the folder of the database cannot be opened") from None
    try:
        try:
            fcntl.flock(descriptor, lock | fcntl.LOCK_NB)
        except OSError:
            raise StoreUnavailable("another database file is being put in place") from None
        yield
    finally:
        os.close(descriptor)
