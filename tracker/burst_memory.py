"""Has the processes of one server see bursts together, in memory that they share."""

from __future__ import annotations

import mmap

from tracker.core.bursts import Bursts, memory_size
from tracker.shared_memory import new_memory


def shared_memory(places: int) -> int | None:
    """A descriptor of memory for so many workers, for them to inherit; None where the system has no such memory.

    Let there be twice as many PLACES as workers: while they are exchanged, old and new ones serve together.
    """
    return new_memory("bursts", memory_size(places))


def bursts_in(descriptor: int | None, number: int, places: int) -> Bursts:
    """What the worker with this NUMBER sees in the memory with DESCRIPTOR; without one it sees its own hits alone."""
    if descriptor is None:
        return Bursts.alone()
    return Bursts(mmap.mmap(descriptor, memory_size(places)), number % places, places)
