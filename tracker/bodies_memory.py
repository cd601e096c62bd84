"""Has the processes of one server count together what memory bodies take, in memory that they share."""

from __future__ import annotations

import mmap
import os
from struct import Struct
from typing import Final

from tracker.doors.budget import KINDS, Tally
from tracker.shared_memory import locking, new_memory

PLACES: Final = 128
"""More than a server ever has processes; should two get the same one, they add to one number, which is right."""
_SIZE: Final = Struct(f"{KINDS}q").size


def shared_bodies() -> int | None:
    """A descriptor of memory for workers to inherit; None where the system has no such memory."""
    return new_memory("bodies", PLACES * _SIZE)


def bodies_in(descriptor: int | None, number: int) -> Tally:
    """What the worker with this NUMBER counts in the memory with DESCRIPTOR; without one it counts its own alone."""
    if descriptor is None:
        return Tally.alone()
    places = memoryview(mmap.mmap(descriptor, PLACES * _SIZE)).cast("q")
    return Tally(places, number % PLACES, locking(descriptor))


def forget_bodies(descriptor: int | None, number: int) -> None:
    """The worker with this NUMBER has ended, however it did: it holds nothing."""
    if descriptor is not None:
        os.pwrite(descriptor, bytes(_SIZE), number % PLACES * _SIZE)
