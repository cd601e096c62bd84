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
    begins: dict[str, int] = field(default_factory=dict)
    """The segments that are there, each with the number of the last no before it."""
    seals: dict[int, bytes] = field(default_factory=dict)
    """Of every no, and of the last one before the oldest segment."""
    waiting: list[Noted] = field(default_factory=list)
    since_anchor: list[Noted] = field(default_factory=list)
    anchor: Anchor | Restored | None = None
    """The last head of the ledger that was noted, or that an older database was put in place since."""
    anchors: list[Anchor | Restored] | None = None
    """All of them, for who asks: there is one for every minute in which anything was written, for months."""
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
                self.anchor = anchor
                if self.anchors is not None:
                    self.anchors.append(anchor)
                self.since_anchor = []
                self.anchored = True

    def enter(self, segment: str, line: Line) -> None:
        """Go on to LINE, the first of SEGMENT."""
        self.take(line)
        self.segment, self.offset = segment, line.end
        self.begins[segment] = self.number

    def forget(self, oldest: str) -> None:
        """The segments before OLDEST are gone, and with them what could be compared with older marks."""
        gone = [segment for segment in self.begins if segment < oldest]
        begin = self.begins.get(oldest)
        if not gone or begin is None:
            return
        for segment in gone:
            del self.begins[segment]
        needed = min((begin, *(noted.number - 1 for noted in self.waiting[:1])))
        self.seals = {number: seal for number, seal in self.seals.items() if number >= needed}

    def _begin(self, begin: Begin) -> None:
        self.anchored = False
        if not self.seals:  # the oldest segment that is there
            self.journal, self.number = begin.journal, begin.number
            self.seals[begin.number] = begin.last
        elif (begin.journal, begin.number, begin.last) != (self.journal, self.number, self.seals[self.number]):
            raise BadJournal("a month is missing, or belongs to another journal")
