"""Has the processes of one server count tries together, in memory that they share."""

from __future__ import annotations

import mmap
import os
from secrets import token_bytes

from tracker.core.tries import KEY_SIZE, SIZE, Tries
from tracker.shared_memory import locking, new_memory


def tries_alone() -> Tries:
    """What a process counts that shares its server with no other."""
    return Tries.alone(token_bytes(KEY_SIZE))


def shared_tries() -> int | None:
    """A descriptor of memory for workers to inherit; None where the system has no such memory."""
    descriptor = new_memory("tries", SIZE)
    if descriptor is not None:
        os.pwrite(descriptor, token_bytes(KEY_SIZE), 0)
    return descriptor


def tries_in(descriptor: int | None) -> Tries:
    """What all count in the memory with DESCRIPTOR; without one a worker counts its own alone."""
    if descriptor is None:
        return tries_alone()
    return Tries(mmap.mmap(descriptor, SIZE), locking(descriptor))
