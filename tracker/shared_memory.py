"""Makes memory that the processes of one server share; no disk ever holds it."""

from __future__ import annotations

import os


def new_memory(name: str, size: int) -> int | None:
    """A descriptor of SIZE octets, zeros, for workers to inherit; None where the system has no such memory.

    NAME is for who looks at the process's open files.
    """
    if not hasattr(os, "memfd_create"):
        return None
    descriptor = os.memfd_create(name)
    os.ftruncate(descriptor, size)
    return descriptor
