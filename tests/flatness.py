"""Tells memory that stays as it is from memory that grows with the work, by what was measured during a run."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

MIB = 2**20
WARM_UP = 0.5
"""The part of the time after which memory is looked at: by then caches are full, or nearly (2 MB of pages and 128
statements of each of SQLite's connections, what the interpreter keeps for later)."""
SHORT = 120.0
"""Seconds of a run below which caches still fill; it finds large leaks alone."""
MOST = 4.0
"""MiB that memory may grow by after the warm-up, as a line through all that was measured: the last pages of the caches,
and holes between what is in use. Nothing of it is the work's own, see LEAK..."""
PER_HIT = 20.0
"""Octets for each hit that it may grow by where that is more: who has more hits has more of all else, and other caches
fill. Hits alone leave nothing: 2.6 million of them 1.5 MiB, all of it within the first half million."""
MOST_OF_SHORT = 12.0
"""... and in a short run."""
LEAK = 100.0
"""Octets that a hit must not leave behind: a run of some minutes has so many hits that this is more than MOST."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What there was at one moment."""

    seconds: float
    hits: int
    mib: float


@dataclass
class Memory:
    """What a run of so many SECONDS took of memory, measured again and again."""

    seconds: float
    measured: list[Measured] = field(default_factory=list)

    def add(self, seconds: float, hits: int, octets: int) -> None:
        """At SECONDS since the start, after so many HITS, it was OCTETS."""
        self.measured.append(Measured(seconds, hits, octets / MIB))

    @property
    def settled(self) -> Sequence[Measured]:
        """What was measured after the warm-up."""
        return [one for one in self.measured if one.seconds >= WARM_UP * self.seconds]

    @property
    def growth(self) -> float:
        """MiB after the warm-up, by a line through all that was measured."""
        settled = self.settled
        if len(settled) < 2:
            return 0.0
        times = [one.seconds for one in settled]
        slope = statistics.linear_regression(times, [one.mib for one in settled]).slope
        return slope * (times[-1] - times[0])

    @property
    def hits(self) -> int:
        """How many there were after the warm-up."""
        return self.settled[-1].hits - self.settled[0].hits if self.settled else 0

    @property
    def most(self) -> float:
        """MiB that it may have grown by."""
        return MOST_OF_SHORT if self.seconds < SHORT else max(MOST, self.hits * PER_HIT / MIB)

    def faults(self) -> list[str]:
        """What is wrong with it, or with the run: one that could not have seen a leak shows nothing."""
        found = []
        if self.growth > self.most:
            found.append(f"memory grew by {self.growth:.1f} MiB after the warm-up ({self._per_hit(self.growth)})")
        if self.seconds >= SHORT and self.hits * LEAK / MIB <= self.most:
            found.append(
                f"{self.hits} hits after the warm-up are too few to see what each leaves behind: run it longer"
            )
        return found

    def table(self) -> Mapping[str, str]:
        """What was found, for people."""
        first, last = self.measured[0].mib, self.measured[-1].mib
        sizes = [one.mib for one in self.settled]
        apart = max(sizes) - min(sizes) if sizes else 0.0
        return {
            "memory at the start, in the end": f"{first:.0f}, {last:.0f} MiB",
            "growth after the warm-up": f"{self.growth:+.2f} MiB ({self._per_hit(self.growth)}), "
            f"at most {apart:.1f} MiB apart; allowed: {self.most:.0f} MiB ({self._per_hit(self.most)})",
        }

    def _per_hit(self, mib: float) -> str:
        return f"{mib * MIB / max(1, self.hits):.0f} octets for each of {self.hits} hits"
