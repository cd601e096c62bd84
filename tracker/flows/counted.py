"""Remembers in memory which untouched copies were counted today, so that a mail system's retry counts once.

The memory is one piece of a fixed size: a copy has a place in one of many buckets, and pushes out the oldest there.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from tracker.model import Day, DeliveryId

_BUCKETS: Final = 32_768
_DEPTH: Final = 8
"""Copies that are remembered in one bucket."""
_TAG: Final = 8
"""Octets of a copy's id by which it is known: two copies of one day have the same once in 10¹⁹ pairs."""
_TAGS: Final = Struct(f"{_TAG}s" * _DEPTH)
SIZE: Final = _BUCKETS * _TAGS.size
"""Octets of the memory, 2 MiB: about a quarter of a million copies."""


class Counted:
    """Copies of one day. Nothing of it is stored: after a restart, or many copies later, a retry counts again."""

    def __init__(self) -> None:
        self._day: Day | None = None
        self._memory = bytearray()

    def is_news(self, copy: DeliveryId, day: Day) -> bool:
        """Whether COPY was not asked about before on DAY, as far as that is remembered.

        One of the day before, which was begun before midnight, is news.
        """
        if self._day is not None and day < self._day:
            return True
        if day != self._day:
            self._day, self._memory = day, bytearray(SIZE)
        tag = copy[:_TAG]
        place = int.from_bytes(copy[_TAG:], "big") % _BUCKETS * _TAGS.size
        known = _TAGS.unpack_from(self._memory, place)
        if tag in known:
            return False
        _TAGS.pack_into(self._memory, place, tag, *known[:-1])
        return True
