"""Keeps a journal's files: one for each month in a folder, and beside it the folders of journals that were put aside.

The law: what was written was fsynced when that is said; nobody but the tracker's user reads it.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from glob import escape
from pathlib import Path
from typing import Final

from tracker.model import BadJournal

SUFFIX: Final = ".journal"
MONTH: Final = re.compile(r"\d{4}-\d{2}")
ASIDE: Final = ".aside-"
"""What is put after the name of a folder whose journal is of no use any more, before the time."""
ASIDE_TIME: Final = "%Y%m%dT%H%M%SZ"


class Files:
    """The files in FOLDER. Raises BadJournal for what is missing or was cut, OSError for what the disk refuses."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def months(self) -> list[str]:
        """The months that are there (such as 2026-11), oldest first."""
        return sorted(
            path.name.removesuffix(SUFFIX)
            for path in self.folder.iterdir()
            if path.name.endswith(SUFFIX) and MONTH.fullmatch(path.name.removesuffix(SUFFIX))
        )

    def read(self, month: str, offset: int) -> bytes:
        """What stands in the file of MONTH from OFFSET on."""
        with self._path(month).open("rb") as file:
            if file.seek(0, os.SEEK_END) < offset:
                raise BadJournal("damaged: lines that were there have gone")
            file.seek(offset)
            return file.read()

    def write(self, month: str, offset: int, octets: bytes) -> None:
        """Let the file of MONTH go on with OCTETS at OFFSET; they are on the disk when this returns."""
        descriptor = os.open(self._path(month), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "r+b", buffering=0) as file:
            file.truncate(offset)  # takes away a last line that was cut
            file.seek(offset)
            if file.write(octets) != len(octets):
                raise BadJournal("the disk is full")
            os.fsync(descriptor)

    def delete(self, month: str) -> None:
        """Delete the file of MONTH."""
        self._path(month).unlink()

    def sync(self) -> None:
        """Let what files there are be on the disk."""
        with _opened(self.folder) as folder:
            os.fsync(folder)

    def copy_to(self, folder: Path) -> None:
        """Copy all of them into FOLDER, which is made."""
        folder.mkdir(mode=0o700)
        for month in self.months():
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            descriptor = os.open(folder / self._path(month).name, flags, 0o600)
            with open(descriptor, "wb") as file:
                file.write(self._path(month).read_bytes())
                file.flush()
                os.fsync(descriptor)

    def put_aside(self, now: datetime) -> Path | None:
        """Give the folder another name; that name, or None when nothing is there."""
        if not self.folder.exists() or not any(self.folder.iterdir()):
            return None
        aside = self.folder.with_name(f"{self.folder.name}{ASIDE}{now.astimezone(UTC):{ASIDE_TIME}}")
        self.folder.rename(aside)
        return aside

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Alone among the processes that use the folder."""
        with _opened(self.folder) as folder:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield

    def _path(self, month: str) -> Path:
        return self.folder / f"{month}{SUFFIX}"


def put_aside(folder: Path) -> Iterator[tuple[Path, datetime]]:
    """The journals that were put aside from FOLDER, oldest first, and since when."""
    for path in sorted(folder.parent.glob(f"{escape(folder.name)}{ASIDE}*")):
        with suppress(ValueError):  # somebody else's folder
            yield path, datetime.strptime(path.name.removeprefix(folder.name + ASIDE), ASIDE_TIME).replace(tzinfo=UTC)


def delete_aside(aside: Path) -> None:
    """Delete the journal in ASIDE, and the folder unless somebody put something else there."""
    for path in aside.glob(f"*{SUFFIX}"):
        path.unlink()
    with suppress(OSError):
        aside.rmdir()


def month_of(now: datetime) -> str:
    """The month of NOW, as its file is called."""
    return now.astimezone(UTC).strftime("%Y-%m")


def after(month: str) -> datetime:
    """The first instant after MONTH."""
    first = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
    return (first + timedelta(days=31)).replace(day=1)


@contextmanager
def explained() -> Iterator[None]:
    """Turns what the system says into BadJournal, without the path."""
    try:
        yield
    except FileNotFoundError:
        raise BadJournal("missing: there is no journal in its folder") from None
    except OSError as error:
        raise BadJournal(f"journal: {error.strerror}") from None


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
