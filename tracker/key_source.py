"""Gives everybody the tokens of the key file, which is read again every minute, and at once for a key nobody knows."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

from tracker.core.keys import KEY_IDS, KeyRing
from tracker.core.tokens import Tokens
from tracker.keyfile import KeyFile
from tracker.model import BadKeyFile

PAUSE: Final = 1.0
"""Seconds between two readings for tokens with an unknown key id: whoever forges those does not keep us reading."""


class KeySource:
    """The tokens of the key file as it was read last."""

    def __init__(self, file: KeyFile, seconds: Callable[[], float] = time.monotonic) -> None:
        """SECONDS: a clock that only goes forward. Raises BadKeyFile."""
        self._file = file
        self._seconds = seconds
        self._looked = seconds() - PAUSE
        self._tokens = Tokens(file.load(), self._newer)
        self.trouble = ""
        """Why the file could not be read; empty when all is well."""

    def __call__(self) -> Tokens:
        """The tokens to sign and verify with."""
        return self._tokens

    async def reload(self, _now: datetime) -> None:
        """Read the file again; while it cannot be read the old keys stay in use and readiness says so."""
        self._use(self._read())

    def _newer(self, key_id: str) -> Tokens | None:
        """The tokens of the file as it stands, if they know KEY_ID; another process may have made one already."""
        unknown = self._tokens.ring.by_id(key_id) is None
        if unknown and key_id and key_id in KEY_IDS and self._seconds() >= self._looked + PAUSE:
            self._looked = self._seconds()
            try:
                ring = self._read()
            except BadKeyFile:
                return None
            # With another pseudonym key the database has to go along, which `reload` is followed by.
            self._use(replace(self._tokens.ring, signing=ring.signing))
        return None if self._tokens.ring.by_id(key_id) is None else self._tokens

    def _read(self) -> KeyRing:
        try:
            ring = self._file.load()
        except BadKeyFile as error:
            self.trouble = error.detail
            raise
        self.trouble = ""
        return ring

    def _use(self, ring: KeyRing) -> None:
        if ring != self._tokens.ring:
            self._tokens = Tokens(ring, self._newer)
