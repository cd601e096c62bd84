"""Reads and writes the file of blocked hosts, which every server process of an installation reads.

A host a line, as browsers look it up, and the day on which it was blocked; what follows a # is for people.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

from tracker.core.blocked import Blocked, host_of
from tracker.model import BadBlockFile, InvalidField

LARGEST: Final = 2**20
"""Octets; some thirty thousand hosts."""
MODE: Final = 0o644
"""Nothing in it is secret, and whoever blocks a host need not be the user that serves."""
HEAD: Final = "# Links to these hosts and to hosts below them ask before they lead on: tracker link block, unblock\n"


class BlockFile:
    """The file at PATH; one that is missing blocks nothing. Every method raises BadBlockFile, which says why."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> Mapping[str, str]:
        """Each blocked host, and since when."""
        try:
            octets = self.path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise BadBlockFile(f"blocked_hosts: {error.strerror}") from None
        if len(octets) > LARGEST:
            raise BadBlockFile("blocked_hosts: too large")
        return dict(_lines(octets))

    def add(self, host: str, now: datetime) -> bool:
        """Block HOST (as `host_of` returns it); False when it was blocked before."""
        with self._locked():
            hosts = dict(self.load())
            if host in hosts:
                return False
            self._replace({**hosts, host: now.date().isoformat()})
        return True

    def remove(self, host: str) -> bool:
        """Let links to HOST lead there again; False when it was not blocked."""
        with self._locked():
            hosts = dict(self.load())
            if hosts.pop(host, None) is None:
                return False
            self._replace(hosts)
        return True

    def state(self) -> tuple[int, int, int] | None:
        """Changes when the file does; None while there is none."""
        try:
            now = self.path.stat()
        except OSError:
            return None
        return now.st_ino, now.st_mtime_ns, now.st_size

    def _replace(self, hosts: Mapping[str, str]) -> None:
        descriptor, name = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)
        try:
            with open(descriptor, "w", encoding="ascii") as file:
                os.fchmod(descriptor, MODE)
                file.write(HEAD)
                file.writelines(f"{host} {since}\n" for host, since in sorted(hosts.items()))
                file.flush()
                os.fsync(descriptor)
            os.replace(name, self.path)
        finally:
            Path(name).unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keeps two commands from losing one another's host; safe on the disk when it ends."""
        try:
            descriptor = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                yield
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise BadBlockFile(f"blocked_hosts: {error.strerror}") from None


class BlockSource:
    """The list of FILE as it was read last; servers look every second whether it changed."""

    def __init__(self, file: BlockFile) -> None:
        self._file = file
        self._read = file.state()
        self._blocked = Blocked(file.load().keys())
        self.trouble = ""

    def __call__(self, host: str) -> bool:
        """Whether links to HOST are blocked."""
        return self._blocked(host)

    async def reload(self, _now: datetime) -> None:
        """Read the file again if it changed; while it cannot be read the old list stays in use. Raises BadBlockFile."""
        state = self._file.state()
        if state == self._read:
            return
        self._read = state
        try:
            self._blocked = Blocked(self._file.load().keys())
        except BadBlockFile as error:
            self.trouble = error.detail
            raise
        self.trouble = ""


def _lines(octets: bytes) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(octets.decode("utf-8", "replace").splitlines(), 1):
        words = line.partition("#")[0].split()
        if words:
            try:
                yield host_of(words[0]), " ".join(words[1:])
            except InvalidField:
                raise BadBlockFile(f"blocked_hosts: line {number} names no host") from None
