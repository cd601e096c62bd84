"""Remembers in memory of a fixed size how often a name was tried, and when last: of one process, or shared by several.

The law (promise 7): a name (a login, a network address) stands in it only as a digest under a key that is drawn with
the memory and goes with it. Of more names than there is room for, those go first that were tried least and longest ago:
whoever tries many names does not wash away the one that they are after.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from hashlib import blake2b
from struct import Struct
from typing import Final, Protocol

KEY_SIZE: Final = 32
BUCKETS: Final = 4_096
DEPTH: Final = 8
"""Names that there is room for in one bucket."""
LONG: Final = 86_400.0
"""Seconds."""
_TAG: Final = 16
_PLACE: Final = Struct("=16sId")
SIZE: Final = KEY_SIZE + BUCKETS * DEPTH * _PLACE.size
"""Octets of the memory: about 900 kB for 32,768 names."""
_FREE: Final = bytes(_PLACE.size)


class Memory(Protocol):
    """A bytearray, or an mmap that several processes share: a key at its head, zeros behind it at first."""

    def __len__(self) -> int: ...

    def __getitem__(self, place: slice, /) -> bytes | bytearray: ...

    def __setitem__(self, place: slice, octets: bytes, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Tried:
    """How often a name was tried, and when last, in seconds since 1970."""

    count: int
    last: float


class Tries:
    """What is remembered of names in MEMORY (of SIZE octets)."""

    def __init__(self, memory: Memory, locked: Callable[[], AbstractContextManager[object]] = nullcontext) -> None:
        """LOCKED keeps out other processes while its block runs; one process alone needs nothing."""
        if len(memory) < SIZE:
            raise ValueError("tries: memory too small")
        self._memory = memory
        self._key = bytes(memory[:KEY_SIZE])
        self.locked = locked

    @classmethod
    def alone(cls, key: bytes) -> Tries:
        """For the only process of a server; KEY: KEY_SIZE random octets."""
        return cls(bytearray(key.ljust(SIZE, b"\0")))

    def of(self, name: str) -> Tried | None:
        """What is remembered of NAME."""
        tag = self._tag(name)
        return next((Tried(count, last) for _, (known, count, last) in self._bucket(tag) if known == tag), None)

    def remember(self, name: str, tried: Tried) -> None:
        """Remember TRIED of NAME, in place of what was known or of another name.

        What was tried last more than LONG before that is as good as forgotten.
        """
        tag = self._tag(name)
        places = self._bucket(tag)
        own = [place for place, (known, _, _) in places if known == tag]
        place = own[0] if own else min(places, key=lambda held: _worth(held[1], tried.last))[0]
        self._write(place, _PLACE.pack(tag, tried.count, tried.last))

    def forget(self, name: str) -> None:
        """Know nothing of NAME."""
        tag = self._tag(name)
        for place, (known, _, _) in self._bucket(tag):
            if known == tag:
                self._write(place, _FREE)

    def _tag(self, name: str) -> bytes:
        digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=_TAG, key=self._key)
        return digest.digest()

    def _bucket(self, tag: bytes) -> list[tuple[int, tuple[bytes, int, float]]]:
        """Every place of the bucket of TAG, and what it holds."""
        size = DEPTH * _PLACE.size
        begin = KEY_SIZE + int.from_bytes(tag[:4], "big") % BUCKETS * size
        held = _PLACE.iter_unpack(self._memory[begin : begin + size])
        return [(begin + number * _PLACE.size, one) for number, one in enumerate(held)]

    def _write(self, place: int, octets: bytes) -> None:
        self._memory[place : place + len(octets)] = octets


def _worth(held: tuple[bytes, int, float], now: float) -> tuple[int, float]:
    """How much there is to what is HELD of a name: the least goes first."""
    _, count, last = held
    return (count if now - last < LONG else 0, last)
