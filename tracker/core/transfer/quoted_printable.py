"""Quoted-printable (RFC 2045, section 6.7): splices between soft line breaks, and leaves all else as it was encoded.

Places are looked up only where something is spliced. In a regular body, as all but broken mailers write it, counting
the escapes between two places leads from one to the other; else the map from decoded to encoded places is made by
line, with the decoder itself as the measure.
"""

from __future__ import annotations

import re
from binascii import a2b_qp
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from tracker.core.transfer.pieces import LONGEST_LINE, CutForm, Edit, Encoded, Form, Slot, in_order

_LINES = re.compile(rb"[^\n]*\n|[^\n]+")
# As the decoder reads it: a lone carriage return after "=" hides the rest of the line.
_ESCAPE = re.compile(rb"=(?:[0-9A-Fa-f]{2}|=|(?P<soft>\n|\r[^\n]*+\n?|\Z))?")
# What decoders read differently: a raw "=", blanks before a line end, a lone carriage return.
_UNCLEAR = re.compile(rb"=(?![0-9A-Fa-f]{2}|\r?\n)|[ \t]\r?\n|\r(?!\n)")
_BROKEN = re.compile(rb"=(?![0-9A-Fa-f]{2}|[ \t]*+\r?\n|[ \t]*+\Z)")
_BLANK_AT_END = re.compile(rb"[ \t](?=\n)")
_WIDTH = 76
_EQUALS, _FEED = b"=\n"
_CAUTION = 0.8
_CUT_AT = 66
"""Characters of a token too long for a line that stand before its soft break."""


@dataclass(frozen=True)
class QuotedPrintable:
    """A quoted-printable body."""

    encoded: bytes
    body: bytes
    eol: bytes

    @cached_property
    def broken(self) -> bool:
        """Whether a raw "=" stands somewhere: then nobody knows which "=XX" were meant as escapes."""
        return _BROKEN.search(self.encoded) is not None

    @cached_property
    def regular(self) -> bool:
        """Whether each "=" begins "=XX" or a soft break, and each carriage return stands before a line feed.

        Whatever else the decoder makes of a "=", it takes out fewer bytes: then the lengths do not agree.
        """
        text = self.encoded
        if text.count(b"\r") != text.count(b"\r\n"):
            return False
        return len(self.body) == len(text) - 2 * text.count(b"=") - text.count(b"=\r\n")

    @cached_property
    def has_long_lines(self) -> bool:
        """Whether a line has more than 998 octets."""
        text, at = self.encoded, 0
        while len(text) - at > LONGEST_LINE:
            feed = text.rfind(b"\n", at, at + LONGEST_LINE + 2)  # a line end of two octets does not count
            if feed < 0:
                return True
            at = feed + 1
        return False

    @cached_property
    def _places(self) -> _Places | _RegularPlaces:
        return _RegularPlaces(self.encoded, len(self.body)) if self.regular else _Places(self.encoded)

    def is_clear(self, start: int, end: int) -> bool:
        """Whether the encoded text of the span is clean."""
        places = self._places
        text = self.encoded[places.start_of(start) : places.end_of(end)]
        if self.regular:
            return (b"\n" not in text and b"\r" not in text) or not _UNCLEAR.search(text)
        return not _UNCLEAR.search(text) and not (b"=" in text and self.broken)

    def fitting(self, edits: Sequence[Edit], notice: Edit | None) -> list[Edit]:
        """All: soft breaks keep every line short."""
        return in_order(edits, notice)

    def splice(self, edits: Sequence[Edit]) -> Encoded:
        """The encoded body with EDITS made."""
        places, out = self._places, _Writer(self.eol)
        at = 0
        for edit in edits:
            start = places.end_of(edit.start) if edit.start == edit.end else places.start_of(edit.start)
            out.copy(self.encoded[at:start])
            if self.has_long_lines:
                out.begin(_in_long_line(self.encoded, start))
            for piece in edit.content:
                if isinstance(piece, Slot):
                    out.slot(piece)
                else:
                    out.write(piece)
            at = start if edit.start == edit.end else places.end_of(edit.end)
        out.copy(self.encoded[at:])
        return out.pieces


def read(encoded: bytes, eol: bytes) -> QuotedPrintable:
    """ENCODED as mail programs decode it; EOL is what its lines end with."""
    return QuotedPrintable(encoded, a2b_qp(encoded), eol)


class _RegularPlaces:
    """Where decoded places stand in a regular encoded body."""

    def __init__(self, encoded: bytes, size: int) -> None:
        self.encoded = encoded
        self.size = size
        """Of the decoded body."""
        self.more = max(0.0, len(encoded) / (size or 1) - 1) * _CAUTION
        """Octets that the encoding adds to one, usually."""
        self.known = {0: 0}
        self.last = 0
        """The place that was reached last."""

    def start_of(self, place: int) -> int:
        """Where the encoding of the decoded byte at PLACE begins."""
        at = self.end_of(place)
        while self.encoded.startswith((b"=\r\n", b"=\n"), at):
            at += 3 if self.encoded.startswith(b"\r", at + 1) else 2
        return at

    def end_of(self, place: int) -> int:
        """Where the encoding of the decoded byte before PLACE ends."""
        at = self.known.get(place)
        if at is None:
            at = self.known[place] = self._at_end() if place >= self.size else self._reached(place)
        return at

    def _reached(self, place: int) -> int:
        """PLACE, counted from the one before."""
        text, count = self.encoded, self.encoded.count
        if self.last > place:
            self.last = 0
        at, lacking = self.known[self.last], place - self.last
        more = self.more
        while lacking:
            # No more is decoded than is encoded: so much is safe to take, and a guess at how much more.
            cut = min(at + lacking + int(lacking * more), len(text))
            escapes = count(b"=", at, cut)
            if text[cut - 1] == _EQUALS:  # an escape is cut
                cut -= 1
                escapes -= 1
            elif text[cut - 2] == _EQUALS and text[cut - 1] != _FEED and cut - 2 >= at:
                cut -= 2
                escapes -= 1
            if cut == at:  # an escape is next
                cut += 2 if text[at + 1] == _FEED else 3
                escapes = 1
            decoded = cut - at
            if escapes:
                decoded -= 2 * escapes + count(b"=\r\n", at, cut)
            if decoded > lacking:
                more = 0.0  # too much
                continue
            lacking -= decoded
            at = cut
        self.last = place
        return at

    def _at_end(self) -> int:
        text, at = self.encoded, len(self.encoded)
        while text.endswith((b"=\r\n", b"=\n"), 0, at):
            at -= 3 if text.endswith(b"\r\n", 0, at) else 2
        return at


class _Places:
    """Where decoded places stand in the encoded body."""

    def __init__(self, encoded: bytes) -> None:
        lines = _LINES.findall(encoded)
        self.encoded = encoded
        self.encoded_at = list(accumulate(map(len, lines), initial=0))
        self.decoded_at = list(accumulate([len(a2b_qp(line)) for line in lines], initial=0))
        self.known: dict[int, tuple[int, int]] = {}
        self.seen = (0, 0)
        """Encoded and decoded place that was reached last."""

    def start_of(self, place: int) -> int:
        """Where the encoding of the decoded byte at PLACE begins."""
        return self._span(place)[0]

    def end_of(self, place: int) -> int:
        """Where the encoding of the decoded byte before PLACE ends."""
        return self._span(place - 1)[1] if place else 0

    def _span(self, place: int) -> tuple[int, int]:
        span = self.known.get(place)
        if span is None:
            span = self.known[place] = self._find(place)
        return span

    def _find(self, place: int) -> tuple[int, int]:
        row = bisect_right(self.decoded_at, place) - 1
        if row + 1 == len(self.encoded_at):
            return self.encoded_at[row], self.encoded_at[row]
        at, decoded = self.encoded_at[row], self.decoded_at[row]
        if at <= self.seen[0] and decoded <= self.seen[1] <= place:
            at, decoded = self.seen  # go on in the same line, which may be very long
        for match in _ESCAPE.finditer(self.encoded, at, self.encoded_at[row + 1]):
            run = match.start() - at
            if place < decoded + run:
                break
            decoded += run
            at = match.end()
            if match.lastgroup == "soft":
                continue
            if place == decoded:
                self.seen = match.start(), decoded
                return self.seen[0], at
            decoded += 1
        self.seen = at, decoded
        begin = at + place - decoded
        return begin, begin + 1


class _Writer:
    """Writes encoded text and knows how long its last line is."""

    def __init__(self, eol: bytes) -> None:
        self.pieces: Encoded = []
        self.eol = eol
        self.soft_break = b"=" + eol
        self.column = 0
        self.may_break = True
        self.forms: dict[tuple[Slot, bool], Form] = {}
        self.written: dict[tuple[bytes, int], tuple[bytes, int]] = {}
        """What became of text that began at a column, and where it ended: links repeat."""

    def begin(self, in_long_line: bool) -> None:
        """Before an edit: in a line that is too long already no break is made, so that it does not become two."""
        self.may_break = not in_long_line

    def copy(self, text: bytes) -> None:
        """TEXT as it stands encoded."""
        if not text:
            return
        first = text.find(b"\n")
        length = len(text) if first < 0 else first - (text[first - 1 : first] == b"\r")
        if length and self.column + length > _WIDTH and self.pieces:
            self._soft_break()
        self.pieces.append(text)
        last = text.rfind(b"\n")
        self.column = self.column + len(text) if last < 0 else len(text) - last - 1

    def slot(self, slot: Slot) -> None:
        """An open slot, on lines of its own."""
        if self.column and self.may_break:
            self.pieces.append(self.soft_break)
        form = self.forms.get((slot, self.may_break))
        if form is None:
            cut = self.may_break and slot.value >= _WIDTH
            form = CutForm(slot, _CUT_AT, self.soft_break) if cut else Form(slot)
            self.forms[slot, self.may_break] = form
        self.pieces.append(form)
        self.column = _WIDTH  # nothing else fits on its line

    def write(self, text: bytes) -> None:
        """Decoded ASCII TEXT, encoded."""
        place = text, self.column
        if not self.may_break:
            self._write(text)
        elif place in self.written:
            encoded, self.column = self.written[place]
            self.pieces.append(encoded)
        else:
            first = len(self.pieces)
            self._write(text)
            self.written[place] = b"".join(self.pieces[first:]), self.column  # type: ignore[arg-type]

    def _write(self, text: bytes) -> None:
        text = text.replace(b"\r\n", b"\n").replace(b"=", b"=3D")
        if not self.may_break:
            self.pieces.append(text.replace(b"\n", b" "))
            return
        if len(text) < _WIDTH - self.column and b"\n" not in text:
            self.pieces.append(text)
            self.column += len(text)
            return
        for number, line in enumerate(_BLANK_AT_END.sub(_escaped, text).split(b"\n")):
            if number:
                self.pieces.append(self.eol)
                self.column = 0
            while line:
                room = _WIDTH - 1 - self.column
                if len(line) > room:
                    cut = room - (line[room - 1 : room] == b"=") - 2 * (line[room - 2 : room - 1] == b"=")
                    if cut > 0:
                        self.pieces.append(line[:cut])
                        line = line[cut:]
                    self._soft_break()
                else:
                    self.pieces.append(line)
                    self.column += len(line)
                    line = b""

    def _soft_break(self) -> None:
        if self.may_break:
            self.pieces.append(self.soft_break)
            self.column = 0


def _escaped(blank: re.Match[bytes]) -> bytes:
    return b"=%02X" % blank[0][0]


def _in_long_line(text: bytes, at: int) -> bool:
    """Whether AT stands in a line of more than 998 octets."""
    before = at - text.rfind(b"\n", max(0, at - LONGEST_LINE - 2), at) - 1
    end = text.find(b"\n", at, at + LONGEST_LINE + 2)
    if end < 0:
        end = min(len(text), at + LONGEST_LINE + 2)
    return before + end - at > LONGEST_LINE
