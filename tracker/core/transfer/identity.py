"""7bit, 8bit and binary: the body is its own encoding, and its lines must not outgrow 998 octets (RFC 5322)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracker.core.transfer.pieces import LONGEST_LINE, Edit, Encoded, Form, Slot, content_size, in_order

_NOTICE_TAIL = 8
"""Octets of the notice that share its neighbours' line."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A body that stands as it is."""

    body: bytes
    eol: bytes

    def is_clear(self, start: int, end: int) -> bool:
        """Always."""
        return True

    def fitting(self, edits: Sequence[Edit], notice: Edit | None) -> list[Edit] | None:
        """EDITS without those that would push their line past 998 octets; NOTICE flattened where its line is longer."""
        kept: list[Edit] = []
        line = _Line(self.body, self.eol)
        for edit in in_order(edits, notice):
            if edit is notice:
                placed = line.place(edit)
                if placed is None:
                    return None
                kept.append(placed)
            elif line.takes(edit, None if notice is None else notice.start):
                kept.append(edit)
        return kept

    def splice(self, edits: Sequence[Edit]) -> Encoded:
        """The body with EDITS made."""
        out: Encoded = []
        at = 0
        for edit in edits:
            out.append(self.body[at : edit.start])
            out += [Form(piece) if isinstance(piece, Slot) else piece for piece in edit.content]
            at = edit.end
        out.append(self.body[at:])
        return out


class _Line:
    """The line in which the next edit falls: how long it was, how much it has grown."""

    def __init__(self, body: bytes, eol: bytes) -> None:
        self.body = body
        self.eol = eol
        self.bare_cr = body.count(b"\r") != body.count(b"\r\n")
        self.start = 0
        self.end = -1
        """Of the line that was looked at last, in the body."""
        self.grown = 0
        self.feed = -1
        """The first line feed at or after the place that was asked for last."""
        self.was_long = False
        """Before any edit."""

    def takes(self, edit: Edit, notice_at: int | None) -> bool:
        """Whether EDIT leaves its line legal, or as illegal as it was; counts it if so."""
        self._go(edit.start)
        joined = self.end
        if edit.end > self.end:  # the URL stood over several lines and will stand on one
            joined = self._end_of(edit.end)
        growth = self.grown + edit.size - (edit.end - edit.start)
        shared = notice_at is not None and self.start <= notice_at <= joined
        room = LONGEST_LINE - _NOTICE_TAIL * shared
        if joined - self.start + growth > room and not (self.was_long and joined == self.end):
            return False
        self.grown, self.end = growth, joined
        return True

    def place(self, notice: Edit) -> Edit | None:
        """NOTICE as its line takes it: without line ends where the line is too long anyway; None if it does not fit."""
        self._go(notice.start)
        if self.was_long:
            self.grown += notice.size
            return notice._replace(content=tuple(map(_flat, notice.content)))
        before, after = notice.start - self.start + self.grown, self.end - notice.start
        first = notice.content[0]
        if before + _first_line(first) > LONGEST_LINE and isinstance(first, bytes):
            first = first.replace(b" ", self.eol, 1)  # <div, and its attributes on the next line
            notice = notice._replace(content=(first, *notice.content[1:]))
        tail = _last_line(notice.content[-1])
        if before + _first_line(first) > LONGEST_LINE or tail + after > LONGEST_LINE:
            return None
        self.start, self.grown = notice.start, tail  # the next edit falls on the line that the notice ends
        return notice

    def _go(self, at: int) -> None:
        if at <= self.end:
            return
        seen = max(0, self.end)  # a line ended there, or the body began
        feed = self.body.rfind(b"\n", seen, at)
        if self.bare_cr:
            feed = max(feed, self.body.rfind(b"\r", max(seen, feed + 1), at))
        self.start, self.grown = feed + 1 or seen, 0
        self.end = self._end_of(at)
        self.was_long = self.end - self.start > LONGEST_LINE

    def _end_of(self, at: int) -> int:
        if self.feed < at:
            feed = self.body.find(b"\n", at)
            self.feed = len(self.body) if feed < 0 else feed
        if self.bare_cr:
            bare = self.body.find(b"\r", at, self.feed)
            return self.feed if bare < 0 else bare
        return self.feed - self.body.startswith(b"\r", self.feed - 1)


def _flat(piece: bytes | Slot) -> bytes | Slot:
    return piece if isinstance(piece, Slot) else piece.replace(b"\r\n", b"\n").replace(b"\n", b" ")


def _first_line(piece: bytes | Slot) -> int:
    size = content_size(piece)
    if isinstance(piece, Slot):
        return size
    feed = piece.find(b"\n")
    return size if feed < 0 else feed


def _last_line(piece: bytes | Slot) -> int:
    return content_size(piece) - (0 if isinstance(piece, Slot) else piece.rfind(b"\n") + 1)
