"""Bounds what bodies take of the memory: who finds no room waits in front, with the body still on the wire.

The law: what is held never exceeds the budget, and every request gives back what it took, however it ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Self

from tracker.model import NoRoom

DEFAULT: Final = 256 * 2**20
"""Octets."""


class Budget:
    """Room for OCTETS in all. One body never needs more than that: a larger one is let in alone."""

    def __init__(self, octets: int) -> None:
        self.octets = octets
        self._free = octets
        self._waiting: dict[asyncio.Future[None], int] = {}
        """Who waits, in order, for how many octets."""

    @property
    def held(self) -> int:
        """Octets that are taken just now."""
        return self.octets - self._free

    @contextmanager
    def room(self) -> Iterator[Room]:
        """What one request takes; given back at the end."""
        room = Room(self)
        try:
            yield room
        finally:
            self.give(room.held)

    async def take(self, octets: int, patience: float) -> None:
        """Take OCTETS, as soon as they are free. Raises NoRoom after PATIENCE seconds."""
        if octets <= self._free:  # small bodies pass by large ones that wait
            self._free -= octets
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[turn] = octets
        try:
            await asyncio.wait((turn,), timeout=patience)
        except BaseException:
            if turn.done():
                self.give(octets)
            raise
        finally:
            self._waiting.pop(turn, None)
        if not turn.done():
            raise NoRoom

    def give(self, octets: int) -> None:
        """Give OCTETS back; whoever they suffice for goes on."""
        self._free += octets
        for turn, wanted in list(self._waiting.items()):
            if wanted <= self._free:
                self._free -= wanted
                del self._waiting[turn]
                turn.set_result(None)


@dataclass(frozen=True, slots=True)
class Budgets:
    """The memory for bodies in two halves: while messages are worked on, others can still be given back."""

    working: Budget
    returning: Budget

    @classmethod
    def of(cls, octets: int = DEFAULT) -> Self:
        """OCTETS in all."""
        return cls(Budget(octets // 2), Budget(octets - octets // 2))


class Room:
    """What one request holds of a budget."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.held = 0

    async def resize(self, octets: int, patience: float) -> None:
        """Hold OCTETS from now on, or all there are. Raises NoRoom after PATIENCE seconds; nothing changed then."""
        octets = min(octets, self._budget.octets)
        if octets > self.held:
            await self._budget.take(octets - self.held, patience)
        else:
            self._budget.give(self.held - octets)
        self.held = octets
