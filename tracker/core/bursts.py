"""Tells scanners that go as a browser by their haste: many links of one copy within a moment.

A mail filter sweeps all links of a message at once; of 836 sweeps in one installation nearly all took less than a
second for some ten links (putyourlightson/craft-campaign#546). A person has to find, aim at and press each link, which
takes most of a second even to somebody who opens one tab after the other. So two links within a fifth of a second, or
three within a second, are a burst: the copy's hits in that clock hour were a program's. One link several times is none,
nor is an image with a link: people do both.

Hits that came too soon after the mail are a program's one by one. They are part of a burst only together with what goes
on at that pace when it is not too soon any more: a filter that was through by then costs nobody who comes later their
hour.

Workers see a share of the hits each. What they saw lies in one piece of memory that they share: for each hit the first
octets of the delivery's id, the link's number, the time and whether that was too soon; no address, no device. Nothing
of it is ever stored, and new hits overwrite those farthest in time. Each worker writes to places of its own alone, then
reads those of all: of several that do so at once, the one that wrote last sees everything. Servers on several machines
do not see each other.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, Protocol

from tracker.core.calendar import hour_at
from tracker.model import DeliveryId, Hour, LinkNumber

HASTE: Final = ((2, 0.2), (3, 1.0))
"""So many different links within so many seconds are a burst."""

_LONGEST: Final = max(span for _, span in HASTE)
_BUCKETS: Final = 4_096
_DEPTH: Final = 4
"""Hits that a worker remembers in one bucket."""
_STRUCK: Final = 4
"""Bursts that a worker remembers in one bucket."""
_TAG: Final = 8
_SEEN: Final = Struct("=8sQd")
_TIMES: Final = Struct("=" + _DEPTH * "16xd")
"""When the hits were that a worker remembers in one bucket."""
_MARK: Final = Struct("=8sI")
_SEEN_SIZE: Final = _SEEN.size


class Memory(Protocol):
    """A bytearray, or an mmap that several processes share; zeros at first."""

    def __len__(self) -> int: ...

    def __getitem__(self, place: slice, /) -> bytes | bytearray: ...

    def __setitem__(self, place: slice, octets: bytes, /) -> None: ...

    def __buffer__(self, flags: int, /) -> memoryview: ...

    def find(self, octets: bytes, start: int, end: int, /) -> int:
        """Where OCTETS begin between START and END; -1: nowhere."""


def memory_size(workers: int) -> int:
    """Octets of memory for so many WORKERS: about 580 kB for each."""
    return _BUCKETS * workers * (_DEPTH * _SEEN_SIZE + _STRUCK * _MARK.size)


class Bursts:
    """What one of several workers knows of bursts, in the MEMORY (of `memory_size`) that they share."""

    def __init__(self, memory: Memory, worker: int = 0, workers: int = 1) -> None:
        if len(memory) < memory_size(workers) or not 0 <= worker < workers:
            raise ValueError("bursts: memory too small, or no such worker")
        self._memory = memory
        self._seen_size = workers * _DEPTH * _SEEN_SIZE  # of a bucket
        self._struck_size = workers * _STRUCK * _MARK.size
        self._own_seen = worker * _DEPTH * _SEEN_SIZE
        self._own_struck = worker * _STRUCK * _MARK.size
        self._marks = _BUCKETS * self._seen_size  # where they begin

    @classmethod
    def alone(cls) -> Bursts:
        """For the only process of a server."""
        return cls(bytearray(memory_size(1)))

    @classmethod
    def of_workers(cls, workers: int) -> list[Bursts]:
        """Of so many WORKERS within one process."""
        memory = bytearray(memory_size(workers))
        return [cls(memory, worker, workers) for worker in range(workers)]

    def followed(self, delivery: DeliveryId, link: LinkNumber, at: float, *, soon: bool = False) -> None:
        """A LINK of DELIVERY was followed, by a person as it seems; afterwards `struck` knows of a burst.

        AT: seconds since 1970.
        SOON: it came too soon after the mail to be a person's, and nothing else speaks against one.
        """
        tag = delivery[:_TAG]
        start = _bucket(tag) * self._seen_size
        self._remember(start + self._own_seen, tag, link << 1 | soon, at)
        seen = self._memory[start : start + self._seen_size]
        if seen.count(tag) > 1:  # nearly always it is the only hit on its delivery that anybody remembers
            self._look_for_haste(tag, at, seen)

    def struck(self, delivery: DeliveryId, hour: Hour) -> bool:
        """Whether there was a burst over links of DELIVERY in HOUR, as far as is remembered."""
        tag = delivery[:_TAG]
        start = self._marks + _bucket(tag) * self._struck_size
        return self._memory.find(_MARK.pack(tag, hour), start, start + self._struck_size) >= 0

    def _remember(self, start: int, tag: bytes, what: int, at: float) -> None:
        """Put a hit in the place of the one farthest in time among this worker's own, which begin at START."""
        times = _TIMES.unpack_from(self._memory, start)
        first, last = min(times), max(times)
        farthest = first if at - first >= last - at else last  # the clock may be set back
        place = start + times.index(farthest) * _SEEN_SIZE
        self._memory[place : place + _SEEN_SIZE] = _SEEN.pack(tag, what, at)

    def _look_for_haste(self, tag: bytes, at: float, hits: bytes | bytearray) -> None:
        """Strike the hours of a burst in which the hit at AT may have a part, unless all of it came too soon."""
        found = sorted(
            (when, what >> 1, what & 1)
            for seen, what, when in _SEEN.iter_unpack(hits)
            if seen == tag and abs(when - at) <= _LONGEST
        )
        for links, span in HASTE:
            for number, (first, _, _) in enumerate(found):
                within = [hit for hit in found[number:] if hit[0] - first <= span]
                if len({link for _, link, _ in within}) >= links and not all(soon for _, _, soon in within):
                    self._strike(tag, hour_at(first))
                    self._strike(tag, hour_at(within[-1][0]))

    def _strike(self, tag: bytes, hour: int) -> None:
        start = self._marks + _bucket(tag) * self._struck_size + self._own_struck
        own = list(_MARK.iter_unpack(self._memory[start : start + _STRUCK * _MARK.size]))
        if (tag, hour) in own:
            return
        farthest = max(range(_STRUCK), key=lambda place: abs(own[place][1] - hour))
        place = start + farthest * _MARK.size
        self._memory[place : place + _MARK.size] = _MARK.pack(tag, hour)


def _bucket(tag: bytes) -> int:
    return (tag[2] << 8 | tag[3]) % _BUCKETS
