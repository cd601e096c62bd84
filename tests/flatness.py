"""Tells memory that stays as it is from memory that grows with the work, by what was measured during a run."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

MIB = 2**20
SHORT = 120.0
"""Seconds of a run below which caches still fill; it finds large leaks alone, in its second half."""
MOST_OF_SHORT = 12.0
"""MiB that each process may grow by there."""
MOST = 1.5
"""MiB that all processes together may grow by in the last quarter of a longer run, however many hits it has: the last
pages of the caches, which fill ever more slowly (2 MB of pages and 128 statements of each of SQLite's connections, what
the interpreter keeps for later). Ten octets that each of 1,200 hits a second left behind would be 1.7 in ten minutes,
and come on top of that."""
LEAK = 100.0
"""Octets that a hit must not leave behind in any run: one of so few hits that this were no more than MOST shows
nothing."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What there was at one moment."""

    seconds: float
    hits: int
    mib: float


@dataclass
class Memory:
    """What a run of so many SECONDS took of memory, measured again and again; its server is so many PROCESSES."""

    seconds: float
    processes: int = 1
    measured: list[Measured] = field(default_factory=list)

    def add(self, seconds: float, hits: int, octets: int) -> None:
        """At SECONDS since the start, after so many HITS, it was OCTETS."""
        self.measured.append(Measured(seconds, hits, octets / MIB))

    @property
    def is_short(self) -> bool:
        """Whether it is too short for what is small to be seen."""
        return self.seconds < SHORT

    @property
    def growth(self) -> float:
        """MiB in that part of the run which is judged."""
        return _growth(self._judged)

    @property
    def earlier(self) -> float:
        """MiB in the quarter before the last."""
        return _growth(self._part(0.5, 0.75))

    @property
    def hits(self) -> int:
        """How many there were in that part of the run which is judged."""
        judged = self._judged
        return judged[-1].hits - judged[0].hits if judged else 0

    @property
    def most(self) -> float:
        """MiB that it may have grown by."""
        return MOST_OF_SHORT * self.processes if self.is_short else MOST

    def faults(self) -> list[str]:
        """What is wrong with it, or with the run: one that could not have seen a leak shows nothing."""
        found = []
        if self.growth > self.most:
            found.append(f"memory grew by {self._told(self.growth)} in the last {self._name}")
        if not self.is_short and self.hits * LEAK / MIB <= MOST:
            found.append(
                f"{self.hits} hits in the last {self._name} are too few to see what each leaves: run it longer"
            )
        return found

    def table(self) -> Mapping[str, str]:
        """What was found, for people."""
        first, last = self.measured[0].mib, self.measured[-1].mib
        told = {
            "memory at the start, in the end": f"{first:.0f}, {last:.0f} MiB",
            f"growth in the last {self._name}": f"{self._told(self.growth)}; allowed: {self.most:.1f} MiB",
        }
        if not self.is_short:
            told["growth in the quarter before"] = f"{self.earlier:+.2f} MiB"
        return told

    @property
    def _name(self) -> str:
        return "half" if self.is_short else "quarter"

    @property
    def _judged(self) -> Sequence[Measured]:
        return self._part(0.5 if self.is_short else 0.75, 1.0)

    def _part(self, begin: float, end: float) -> Sequence[Measured]:
        return [one for one in self.measured if begin <= one.seconds / self.seconds <= end]

    def _told(self, mib: float) -> str:
        return f"{mib:+.2f} MiB ({mib * MIB / max(1, self.hits):.0f} octets for each of {self.hits} hits)"


def _growth(measured: Sequence[Measured]) -> float:
    """MiB from the first to the last that was MEASURED, by the median of the slopes between any two (Theil and Sen).

    So what is needed once, a step, counts for less than what goes on.
    """
    if len(measured) < 2:
        return 0.0
    slopes = ((later.mib - one.mib) / (later.seconds - one.seconds) for one, later in combinations(measured, 2))
    return statistics.median(slopes) * (measured[-1].seconds - measured[0].seconds)
