"""Bounds what bodies take of the memory: who finds no room waits in front, with the body still on the wire.

The law: what is held by all doors of all processes of a server never exceeds the budget, and every request gives back
what it took, however it ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final, Protocol

from tracker.model import NoRoom

DEFAULT: Final = 256 * 2**20
"""Octets."""
TIMES_MESSAGE: Final = 7
"""The octets that rewriting takes, in those of the message, in this process and in the one that surveys large ones: as
it came, on its way there and there, surveyed and that on its way back, laid out, and rewritten. Measured: up to 6.9."""
LOOK_AGAIN: Final = 0.02
"""Seconds after which somebody who waits looks whether another process gave something back."""


class Places(Protocol):
    """A list, or memory that several processes share: a number for each of them, zeros at first."""

    def __iter__(self) -> Iterator[int]: ...

    def __getitem__(self, place: int, /) -> int: ...

    def __setitem__(self, place: int, octets: int, /) -> None: ...


class Tally:
    """How many octets all processes of a server hold: each counts in its own of PLACES, and all of them add up."""

    def __init__(
        self,
        places: Places,
        place: int = 0,
        locked: Callable[[], AbstractContextManager[object]] = nullcontext,
        *,
        is_shared: bool = True,
    ) -> None:
        """LOCKED keeps out other processes while its block runs; one process alone needs nothing."""
        self._places = places
        self._place = place
        self._locked = locked
        self.is_shared = is_shared

    @classmethod
    def alone(cls) -> Tally:
        """Of a process that shares it with no other."""
        return cls([0], is_shared=False)

    @property
    def total(self) -> int:
        """Octets that all of them hold just now."""
        return sum(self._places)

    def take(self, octets: int, most: int) -> bool:
        """Hold OCTETS more if all together then hold no more than MOST; whether that was so."""
        with self._locked():
            fits = self.total + octets <= most
            if fits:
                self._places[self._place] += octets
            return fits

    def give(self, octets: int) -> None:
        """Hold OCTETS less."""
        with self._locked():
            self._places[self._place] -= octets


class Budget:
    """Room for OCTETS in all, of which TALLY says how many are held; by default by this process alone.

    A fifth is kept for messages that only have to be given back: while others are worked on that still goes on.
    """

    def __init__(self, octets: int = DEFAULT, tally: Tally | None = None) -> None:
        self.octets = octets
        self._for_return = octets // 5
        self._tally = tally or Tally.alone()
        self._waiting: dict[asyncio.Future[None], tuple[int, int]] = {}
        """Who waits, in order, for how many octets of how many."""
        self._again: asyncio.TimerHandle | None = None

    @property
    def held(self) -> int:
        """Octets that are taken just now, by all processes."""
        return self._tally.total

    def to_work(self) -> AbstractContextManager[Room]:
        """Room for a body that is worked on. One that needs more than there is to work finds none."""
        return self._room(self.octets - self._for_return)

    def to_pass_on(self) -> AbstractContextManager[Room]:
        """The same for a body that cannot be given back: one that needs more than that waits until it is alone."""
        return self._room(self.octets - self._for_return, alone=True)

    def to_give_back(self) -> AbstractContextManager[Room]:
        """Room for a body that is given back as it came."""
        return self._room(self.octets)

    @contextmanager
    def _room(self, most: int, *, alone: bool = False) -> Iterator[Room]:
        room = Room(self, most, alone=alone)
        try:
            yield room
        finally:
            self.give(room.held)

    async def take(self, octets: int, most: int, patience: float) -> None:
        """Take OCTETS, as soon as MOST suffice for them and all that is held. Raises NoRoom after PATIENCE seconds."""
        if self._tally.take(octets, most):  # small bodies pass by large ones that wait
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[turn] = octets, most
        self._look_again()
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
        self._tally.give(octets)
        self._look()

    def _look(self) -> None:
        for turn, (octets, most) in list(self._waiting.items()):
            if self._tally.take(octets, most):
                del self._waiting[turn]
                turn.set_result(None)

    def _look_again(self) -> None:
        """Nobody tells of what another process gives back: look in a moment, for as long as somebody waits."""
        if self._tally.is_shared and self._waiting and self._again is None:
            self._again = asyncio.get_running_loop().call_later(LOOK_AGAIN, self._looked_again)

    def _looked_again(self) -> None:
        self._again = None
        self._look()
        self._look_again()


class Room:
    """What one request holds of BUDGET, as long as all together hold no more than MOST octets."""

    def __init__(self, budget: Budget, most: int, *, alone: bool) -> None:
        """ALONE: one that needs more than MOST is let in when nothing else is held."""
        self._budget = budget
        self._most = most
        self._alone = alone
        self.held = 0

    def widen(self) -> None:
        """From now on the body only has to be given back: all the room that there is may serve for that."""
        self._most = self._budget.octets

    async def resize(self, octets: int, patience: float) -> None:
        """Hold OCTETS from now on. Raises NoRoom after PATIENCE seconds, and at once when there can be none.

        Nothing changed then.
        """
        most = self._most
        if octets > most:
            if not self._alone:
                raise NoRoom
            most = self._budget.octets
            octets = min(octets, most)
        if octets > self.held:
            await self._budget.take(octets - self.held, most, patience)
        else:
            self._budget.give(self.held - octets)
        self.held = octets
