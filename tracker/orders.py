"""Says what the parent of several processes and each of those tell one another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tracker.config import Settings

READY: Final = b"r"
"""What a worker says to its parent when it answers requests."""
HAND_OVER: Final = b"h"
"""What the parent says when others serve the same sockets."""


@dataclass(frozen=True)
class Orders:
    """What a worker has to know; descriptors are those that it inherited."""

    settings: Settings
    number: int
    folder: Path
    """Which all workers of the server share while it runs."""
    line: int
    """Leads to the parent."""
    bursts: int | None
    """The memory in which all workers see bursts; None where the system has none that can be shared."""
    places: int
    """For so many workers there is room in it."""
    tries: int | None
    """The memory in which all workers count who tries passwords; None as above."""
    bodies: int | None
    """The memory in which all workers count what bodies take; None as above."""
    sockets: Mapping[str, tuple[int, ...]]
    """Listening sockets by the setting that names their address."""

    @property
    def inherited(self) -> tuple[int, ...]:
        """All the descriptors."""
        memory = (one for one in (self.bursts, self.tries, self.bodies) if one is not None)
        return (self.line, *memory, *(one for several in self.sockets.values() for one in several))
