"""Bounds what bodies take of the memory: who finds no room waits in front, with the body still on the wire.

The law: what is held by all doors of all processes of a server never exceeds the budget, and every request gives back
what it took, however it ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Final

from tracker.model import NoRoom

DEFAULT: Final = 256 * 2**20
"""Octets."""
TIMES_MESSAGE: Final = 7
"""The octets that rewriting takes, in those of the message, in this process and in the one that surveys large ones: as
it came, on its way there and there, surveyed and that on its way back, laid out, and rewritten. Measured: up to 6.9."""
WORK, GIVING_BACK, KINDS = range(3)
"""The kinds of bodies, and how many there are: those that are worked on, and those that only have to be given back."""
LOOK_AGAIN: Final = 0.02
"""Seconds after which somebody who waits looks whether another process gave something back."""


@dataclass(frozen=True, slots=True)
class Share:
    """What bodies of one kind may take."""

    kind: int
    most: int
    """Octets of their kind."""
    most_of_all: int
    """Octets, together with those of the other kind."""


class Tally:
    """How many octets of each kind all processes of a server hold: each counts in its own of PLACES; they add up."""

    def __init__(
        self,
        places: list[int] | memoryview,
        place: int = 0,
        locked: Callable[[], AbstractContextManager[object]] = nullcontext,
        *,
        is_shared: bool = True,
    ) -> None:
        """PLACES, which processes may share: KINDS numbers for each of them, zeros at first; PLACE: this one's.

        LOCKED keeps out other processes while its block runs; one process alone needs nothing.
        """
        self._places = places
        self._place = KINDS * place
        self._locked = locked
        self.is_shared = is_shared

    @classmethod
    def alone(cls) -> Tally:
        """Of a process that shares it with no other."""
        return cls([0] * KINDS, is_shared=False)

    @property
    def total(self) -> int:
        """Octets that all of them hold just now."""
        return sum(map(self._held, range(KINDS)))

    def _held(self, kind: int) -> int:
        return sum(self._places[kind::KINDS])

    def take(self, octets: int, share: Share) -> bool:
        """Hold OCTETS more if they fit into SHARE; whether that was so."""
        with self._locked():
            fits = self._held(share.kind) + octets <= share.most and self.total + octets <= share.most_of_all
            if fits:
                self._places[self._place + share.kind] += octets
            return fits

    def give(self, octets: int, kind: int) -> None:
        """Hold OCTETS of KIND less."""
        with self._locked():
            self._places[self._place + kind] -= octets

    def move(self, octets: int, kind: int, other: int) -> None:
        """Hold OCTETS of KIND as the OTHER kind."""
        with self._locked():
            self._places[self._place + kind] -= octets
            self._places[self._place + other] += octets


class Budget:
    """Room for OCTETS in all, of which TALLY says how many are held; by default by this process alone.

    A fifth is left for messages that only have to be given back: while others are worked on that still goes on. They
    take more where there is more, and leave a sixteenth, so that small ones are worked on whatever large ones do.
    """

    def __init__(self, octets: int = DEFAULT, tally: Tally | None = None) -> None:
        self.octets = octets
        self._tally = tally or Tally.alone()
        self.work = Share(WORK, octets - octets // 5, octets)
        self.alone = Share(WORK, octets, octets)
        self.giving_back = Share(GIVING_BACK, octets - octets // 16, octets - octets // 16)
        self._waiting: dict[asyncio.Future[None], tuple[int, Share]] = {}
        """Who waits, in order, for how many octets."""
        self._again: asyncio.TimerHandle | None = None

    @property
    def held(self) -> int:
        """Octets that are taken just now, by all processes."""
        return self._tally.total

    def to_work(self) -> AbstractContextManager[Room]:
        """Room for a body that is worked on. One that needs more than there is to work finds none."""
        return self._room(self.work)

    def to_pass_on(self) -> AbstractContextManager[Room]:
        """The same for a body that cannot be given back: one that needs more than that waits until it is alone."""
        return self._room(self.work, self.alone)

    @contextmanager
    def _room(self, share: Share, alone: Share | None = None) -> Iterator[Room]:
        room = Room(self, share, alone)
        try:
            yield room
        finally:
            self.give(room.held, room.share)

    async def take(self, octets: int, share: Share, patience: float) -> None:
        """Take OCTETS, as soon as they fit into SHARE. Raises NoRoom after PATIENCE seconds."""
        if self._tally.take(octets, share):  # small bodies pass by large ones that wait
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[turn] = octets, share
        self._look_again()
        try:
            await asyncio.wait((turn,), timeout=patience)
        except BaseException:
            if turn.done():
                self.give(octets, share)
            raise
        finally:
            self._waiting.pop(turn, None)
        if not turn.done():
            raise NoRoom

    def give(self, octets: int, share: Share) -> None:
        """Give OCTETS of SHARE back; whoever they suffice for goes on."""
        self._tally.give(octets, share.kind)
        self._look()

    def move(self, octets: int, share: Share, other: Share) -> None:
        """Hold OCTETS of SHARE as some of the OTHER one; whoever those suffice for goes on."""
        self._tally.move(octets, share.kind, other.kind)
        self._look()

    def _look(self) -> None:
        for turn, (octets, share) in list(self._waiting.items()):
            if self._tally.take(octets, share):
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
    """What one request holds of BUDGET."""

    def __init__(self, budget: Budget, share: Share, alone: Share | None = None) -> None:
        """ALONE: the share of one that needs more than SHARE is."""
        self._budget = budget
        self._alone = alone
        self.share = share
        self.held = 0

    def widen(self) -> None:
        """From now on the body only has to be given back."""
        self._budget.move(self.held, self.share, self._budget.giving_back)
        self.share = self._budget.giving_back

    async def resize(self, octets: int, patience: float) -> None:
        """Hold OCTETS from now on. Raises NoRoom after PATIENCE seconds, and at once when there can be none.

        Nothing changed then.
        """
        share = self.share
        if octets > share.most:
            if self._alone is None:
                raise NoRoom
            share = self._alone
            octets = min(octets, share.most)
        if octets > self.held:
            await self._budget.take(octets - self.held, share, patience)
        else:
            self._budget.give(self.held - octets, share)
        self.held = octets
