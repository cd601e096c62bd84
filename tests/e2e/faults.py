"""What befalls a database on disk, done to a running server from outside, as root where that takes root."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest

Fault = Callable[[Path], AbstractContextManager[None]]
"""Harms the database in a folder, and puts it right at the end."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Another program writes, and does not end."""
    with closing(sqlite3.connect(folder / "tracker.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """The files take no writes any more, as after an error of the disk (root may write whatever the mode).

    Not the -shm file: it is memory that processes share, and stays that on a file system that turned read-only.
    """
    files = [str(path) for path in sorted(folder.glob("tracker.db*")) if not path.name.endswith("-shm")]
    if subprocess.run(["chattr", "+i", *files], capture_output=True, check=False).returncode:
        subprocess.run(["chattr", "-i", *files], capture_output=True, check=False)
        pytest.skip("`chattr +i` is not permitted here: it takes root, and a file system that knows it")
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", *files], check=True)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """No room is left on the disk; FOLDER lies on a `small_disk`."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue
    yield
    filler.unlink()


@contextmanager
def corrupted(folder: Path) -> Iterator[None]:
    """Everything but the first page is overwritten, and put back as it was."""
    path = folder / "tracker.db"
    _forget_caches(path)
    octets = path.read_bytes()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (len(octets) - 4096))
        file.flush()
        os.fsync(file.fileno())
    yield
    with path.open("r+b") as file:
        file.write(octets)


@contextmanager
def taken_away(folder: Path) -> Iterator[None]:
    """The file is moved away, and moved back."""
    path = folder / "tracker.db"
    path.rename(folder / "elsewhere.db")
    yield
    (folder / "elsewhere.db").rename(path)


@contextmanager
def deleted(folder: Path) -> Iterator[None]:
    """The file is deleted; a copy that was made just before is put in its place."""
    path = folder / "tracker.db"
    _forget_caches(path)
    shutil.copy(path, folder / "copy.db")
    path.unlink()
    yield
    (folder / "copy.db").rename(path)


@contextmanager
def quota(server: int, folder: Path) -> Iterator[None]:
    """The process SERVER can write no file beyond what the journal in FOLDER holds: nothing at all, that is."""
    (journal,) = (folder / "journal").glob("*.journal")

    def limit(octets: int | str) -> None:
        subprocess.run(["prlimit", "--pid", str(server), f"--fsize={octets}:"], check=True)

    limit(journal.stat().st_size)
    yield
    limit("unlimited")


def _forget_caches(path: Path) -> None:
    """Let all that is committed be in the file itself, and let no connection trust what it read before."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=10)) as other:
        other.execute("UPDATE installation SET value = value")
        busy, _, _ = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        assert not busy


@contextmanager
def small_disk(folder: Path, octets: int) -> Iterator[None]:
    """FOLDER is a disk of its own with room for OCTETS."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={octets}", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("a small disk cannot be mounted here: it takes root, and a container that may mount")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
