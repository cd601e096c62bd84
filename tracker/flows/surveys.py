"""Surveys messages, and for some minutes remembers what it saw, for mail systems that call once for each recipient.

The law: what is remembered holds no recipient, no id and no signature (core/repeats), is found again only by the same
API key, and is gone after KEPT; its number and its octets are bounded.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeAlias, TypeVar

from tracker.core.repeats import carried, shape, stripped
from tracker.core.survey import Refused, Survey

LARGE: Final = 100_000
"""Octets above which a message is surveyed in another process, and read through in a thread (hashing lets others run):
hits wait for nobody's mail."""
KEPT: Final = timedelta(minutes=5)
"""After which a message is surveyed anew, however often it came."""
MOST: Final = 64
LARGEST: Final = 32 * 2**20
"""Octets, of all that is remembered."""
TIMES_MESSAGE: Final = 3
"""The octets of a survey, in those of its message: encoded, decoded, and what leads from one to the other."""

Seen = TypeVar("Seen")
Look: TypeAlias = Callable[[bytes], Awaitable[Survey | Refused]]


async def read_through(look: Callable[[bytes], Seen], message: bytes) -> Seen:
    """What LOOK, which hashes for most of its time, makes of MESSAGE."""
    return look(message) if len(message) <= LARGE else await asyncio.to_thread(look, message)


@dataclass(frozen=True, slots=True)
class _Memory:
    survey: Survey | Refused
    size: int
    until: datetime


class Surveys:
    """Surveys messages for one flow; with MEMORY off each one is surveyed anew."""

    def __init__(self, look: Look, memory: bool = True, *, most: int = MOST, largest: int = LARGEST) -> None:
        self._look = look
        self._on = memory
        self._most = most
        self._largest = largest
        self._kept: OrderedDict[tuple[str, bytes], _Memory] = OrderedDict()
        """By API key and shape, oldest first."""
        self._size = 0

    def __len__(self) -> int:
        return len(self._kept)

    async def __call__(self, message: bytes, source: str, now: datetime) -> Survey | Refused:
        """What there is to track in MESSAGE, which the API key SOURCE sent. Raises what LOOK raises."""
        await self.forget(now)
        form = await read_through(shape, message) if self._on else None
        if form is None:
            return await self._look(message)
        place = (source, form.digest)
        memory = self._kept.get(place)
        if memory is not None:
            return carried(memory.survey, message, form.head)
        seen = await self._look(message)
        self._keep(place, _Memory(stripped(seen, form.head), TIMES_MESSAGE * len(message), now + KEPT))
        return seen

    async def forget(self, now: datetime) -> None:
        """Forget what was kept for long enough by NOW; also called every minute, for when no more mail comes."""
        while self._kept and next(iter(self._kept.values())).until <= now:
            self._drop_oldest()

    def _keep(self, place: tuple[str, bytes], memory: _Memory) -> None:
        if memory.size > self._largest or place in self._kept:
            return  # too large to keep, or another call was faster
        self._kept[place] = memory
        self._size += memory.size
        while len(self._kept) > self._most or self._size > self._largest:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        self._size -= self._kept.popitem(last=False)[1].size
