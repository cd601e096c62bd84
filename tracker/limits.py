"""Makes room for many connections, and says how many a server may hold so that files are left for the store.

Without a bound of our own a flood of connections would take the last file descriptor, and with it the database's.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass
from typing import Final

KEPT_FREE: Final = 300
"""Descriptors for database, journal, key file, other processes, and connections that are about to be closed."""
FEW: Final = 4_000
"""Connections below which the operator is told."""


@dataclass(frozen=True, slots=True)
class Connections:
    """How many connections each listener may hold at a time."""

    public: int
    private: int
    dashboard: int


def raise_open_files() -> int:
    """Allow this process as many open files as it may allow itself; how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else 2**20


def connections(open_files: int) -> Connections:
    """What OPEN_FILES suffice for: strangers cannot take what mail systems need."""
    room = max(16, open_files - KEPT_FREE)
    private, dashboard = room // 4, room // 8
    return Connections(room - private - dashboard, private, dashboard)
