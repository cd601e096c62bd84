"""A mark that all processes of a server share: somebody's no may be missing from the database.

The law: nobody is told that a no counts before every process of the server can see that it has to wait for it.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

from tracker.model import BadJournal

SIZE: Final = 16
SUFFIX: Final = "-doubt"


class Doubt:
    """The mark beside the journal in FOLDER; each doubt is a drawn value, which replaces the one before."""

    def __init__(self, folder: Path) -> None:
        self._path = folder.with_name(folder.name + SUFFIX)
        self._descriptor: int | None = None
        self._settled = b""

    def cast(self) -> None:
        """Let every process wait until it has looked. Raises BadJournal when they cannot be told."""
        try:
            os.pwrite(self._opened(), secrets.token_bytes(SIZE), 0)
        except OSError as error:
            raise BadJournal(f"doubt: {error.strerror}") from None

    @property
    def latest(self) -> bytes:
        """The last doubt that was cast; empty when there was none. Raises BadJournal."""
        try:
            found = os.pread(self._opened(), SIZE, 0)
        except OSError as error:
            raise BadJournal(f"doubt: {error.strerror}") from None
        return found if any(found) else b""

    def settle(self, doubt: bytes) -> None:
        """This process has looked since DOUBT was cast: it need not wait for that any more."""
        self._settled = doubt

    @property
    def is_open(self) -> bool:
        """Whether this process has to wait; also when it cannot be told."""
        try:
            return self.latest != self._settled
        except BadJournal:
            return True

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _opened(self) -> int:
        if self._descriptor is None:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(self._path, flags, 0o600)
            if os.geteuid() == 0:  # a command run by root shuts nobody out
                owner = self._path.parent.stat()
                os.fchown(self._descriptor, owner.st_uid, owner.st_gid)
            with suppress(OSError):  # its room is taken now: a doubt has to find some also when the disk is full
                os.posix_fallocate(self._descriptor, 0, SIZE)
        return self._descriptor
