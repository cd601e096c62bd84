"""Walks along the lines of a journal, and remembers where it ends and what was read on the way there.

The law: a journal is whole or refused; neither a no nor a month may be missing in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tracker.core.journal import Anchor, Begin, Line, Noted, Restored
from tracker.model import BadJournal


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a database has applied a journal: the number of a no and its seal."""

    number: int
    seal: bytes


@dataclass(slots=True)
class Tail:
    """Where the journal ends, and what was read on the way there."""

    journal: bytes = b""
    segment: str = ""
    offset: int = 0
    seal: bytes = b""
    number: int = 0
    seals: dict[int, bytes] = field(default_factory=dict)
    """Of every no, and of the last one before the oldest segment."""
    waiting: list[Noted] = field(default_factory=list)
    since_anchor: list[Noted] = field(default_factory=list)
    anchors: list[Anchor | Restored] = field(default_factory=list)
    anchored: bool = False
    """Whether this month holds an anchor."""

    def take(self, line: Line) -> None:
        """Go on to LINE."""
        self.seal = line.seal
        match line.record:
            case Begin() as begin:
                self._begin(begin)
            case Noted(number) as noted:
                if number != self.number + 1:
                    raise BadJournal("a no is missing")
                self.number = number
                self.seals[number] = line.seal
                self.waiting.append(noted)
                self.since_anchor.append(noted)
            case Anchor() | Restored() as anchor:
                self.anchors.append(anchor)
                self.since_anchor = []
                self.anchored = True

    def _begin(self, begin: Begin) -> None:
        self.anchored = False
        if not self.seals:  # the oldest segment that is there
            self.journal, self.number = begin.journal, begin.number
            self.seals[begin.number] = begin.last
        elif (begin.journal, begin.number, begin.last) != (self.journal, self.number, self.seals[self.number]):
            raise BadJournal("a month is missing, or belongs to another journal")
