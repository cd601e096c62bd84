"""Makes memory that the processes of one server share; no disk ever holds it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager


def new_memory(name: str, size: int) -> int | None:
    """A descriptor of SIZE octets, zeros, for workers to inherit; None where the system has no such memory.

    NAME is for who looks at the process's open files.
    """
    if not hasattr(os, "memfd_create"):
        return None
    descriptor = os.memfd_create(name)
    os.ftruncate(descriptor, size)
    return descriptor


def locking(descriptor: int) -> Callable[[], AbstractContextManager[None]]:
    """What keeps other processes out of the memory with DESCRIPTOR while its block runs."""

    # The system's own lock of a process on a file: it ends with the process, however that ends. What is done under it
    # takes microseconds, so that nobody notices the wait.
    @contextmanager
    def locked() -> Iterator[None]:
        fcntl.lockf(descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(descriptor, fcntl.LOCK_UN)

    return locked
