"""Base64 (RFC 2045, section 6.8): encoded lines end before and after each slot.

Between edits the encoded text is copied where the groups of three still fall as they did; else it is encoded
again in lines of the same width. Only clean base64 is read: letters of the alphabet, line ends, padding at
the end. What decoders would read differently is not read at all.
"""

from __future__ import annotations

from binascii import Error, a2b_base64, b2a_base64
from collections.abc import Sequence
from dataclasses import dataclass

from tracker.core.transfer.pieces import LONGEST_LINE, Base64Form, Edit, Encoded, Slot, in_order

_BLANKS = b" \t\r\n"
_USUAL_WIDTH = 76
_LEAST_WIDTH = 24


@dataclass(frozen=True, slots=True)
class Base64:
    """A base64 body."""

    encoded: bytes
    body: bytes
    eol: bytes
    width: int
    """Of its lines."""
    regular: bool
    """Whether every line but the last has `width` characters and ends with `eol`."""
    new_width: int
    """Of lines that are encoded again."""

    def is_clear(self, start: int, end: int) -> bool:
        """Always: only clean base64 is read."""
        return True

    def fitting(self, edits: Sequence[Edit], notice: Edit | None) -> list[Edit]:
        """All: lines are as long as they were."""
        return in_order(edits, notice)

    def splice(self, edits: Sequence[Edit]) -> Encoded:
        """The encoded body with EDITS made."""
        out = _Writer(self)
        at = 0
        for edit in edits:
            out.copy(at, edit.start)
            for piece in edit.content:
                if isinstance(piece, Slot):
                    out.slot(piece, edit.codec)
                else:
                    out.write(piece)
            at = edit.end
        out.copy(at, len(self.body), at_end=True)
        return out.finish()


def read(encoded: bytes, eol: bytes) -> Base64 | None:
    """ENCODED decoded; None where decoders would differ. EOL is what its lines end with."""
    text = encoded.rstrip(_BLANKS)
    lines = eol in text
    width = text.find(eol) if lines else len(text)
    letters = _letters_of_lines(text, eol, width)
    body = None if letters is None else _decoded_lines(text, letters)
    regular = letters is not None and width <= LONGEST_LINE
    if body is None:
        body = _decoded(encoded)
        if body is None:
            return None
        regular = regular and len(text.translate(None, _BLANKS)) == letters
    return Base64(
        encoded, body, eol, width, regular, width if regular and lines and width >= _LEAST_WIDTH else _USUAL_WIDTH
    )


def _decoded(encoded: bytes) -> bytes | None:
    letters = encoded.translate(None, _BLANKS)
    if len(letters) % 4 and b"=" not in letters:
        letters += b"=" * (-len(letters) % 4)
    try:
        return a2b_base64(letters, strict_mode=True) if letters else b""
    except Error:
        return None


def _decoded_lines(text: bytes, letters: int) -> bytes | None:
    """TEXT with so many LETTERS decoded; None where it holds anything else but line ends.

    The decoder passes over what is no letter and stops at padding: then it returns less than the letters make.
    """
    if letters % 4 or not letters:
        return None
    try:
        body = a2b_base64(text)
    except Error:
        return None
    padding = text.endswith(b"=") + text.endswith(b"==")
    return body if len(body) == letters // 4 * 3 - padding else None


def _letters_of_lines(text: bytes, eol: bytes, width: int) -> int | None:
    """How many octets TEXT has beside its line ends; None unless one stands after every WIDTH octets."""
    if not width or (width % 4 and eol in text):
        return None
    step = width + len(eol)
    count = (len(text) - 1) // step
    ends_fit = all(text[width + number :: step] == eol[number : number + 1] * count for number in range(len(eol)))
    return len(text) - count * len(eol) if ends_fit else None


class _Writer:
    """Collects decoded text until a group of three is full, and writes it in lines."""

    def __init__(self, part: Base64) -> None:
        self.part = part
        self.pieces: Encoded = []
        self.forms: dict[tuple[bool, bytes, bytes, str | None], Base64Form] = {}
        """The few that there are: one object for each, since links repeat."""
        self.held = bytearray()
        """Decoded bytes that are not written yet; what is written ends with a line end."""
        self.open_form: tuple[Slot, bytes, int, str | None] | None = None
        """A slot that still lacks bytes after it: slot, bytes before, bytes lacking, codec."""

    def write(self, text: bytes) -> None:
        """Decoded TEXT."""
        self.held += text
        self._close_form()

    def slot(self, slot: Slot, codec: str | None) -> None:
        """An open slot."""
        shared = len(self.held) % 3
        before = bytes(self.held[len(self.held) - shared :])
        del self.held[len(self.held) - shared :]
        self._flush()
        size = slot.value if codec is None else len((b"." * slot.value).decode("ascii").encode(codec))
        self.open_form = (slot, before, -(shared + size) % 3, codec)
        self._close_form()

    def copy(self, start: int, end: int, at_end: bool = False) -> None:
        """The decoded bytes from START to END, as they stand encoded where that can be."""
        body, part = self.part.body, self.part
        if self.open_form is not None:
            lacking = min(self.open_form[2], end - start)
            self.held += body[start : start + lacking]
            start += lacking
            self._close_form()
        fill = min(-len(self.held) % 3, end - start)
        first, last = start + fill, end - end % 3
        if not part.regular or first % 3 or last <= first:
            self.held += body[start:end]
            return
        self.held += body[start:first]
        self._flush()
        at, stop = self._place(first), self._place(last)
        if at_end:
            stop, last = len(part.encoded.rstrip(_BLANKS)), end
        if at % (part.width + len(part.eol)) == part.width:
            at += len(part.eol)
        text = part.encoded[at:stop]
        self.pieces.append(text)
        self.pieces.append(part.eol)
        self.held += body[last:end]

    def finish(self) -> Encoded:
        """All pieces, the end as the encoded body had it."""
        encoded = self.part.encoded
        self._close_form(at_end=True)
        self._flush()
        if self.pieces and isinstance(self.pieces[-1], bytes) and self.pieces[-1].endswith(self.part.eol):
            self.pieces[-1] = self.pieces[-1][: -len(self.part.eol)]
            self.pieces.append(encoded[len(encoded.rstrip(_BLANKS)) :])
        return self.pieces

    def _place(self, decoded: int) -> int:
        """Where the group that begins at DECODED stands, or the line end before it."""
        letters = decoded // 3 * 4
        if not letters:
            return 0
        return letters + (letters - 1) // self.part.width * len(self.part.eol)

    def _close_form(self, at_end: bool = False) -> None:
        if self.open_form is None:
            return
        slot, before, lacking, codec = self.open_form
        if len(self.held) < lacking and not at_end:
            return
        after = bytes(self.held[:lacking])
        del self.held[:lacking]
        self.open_form = None
        place = slot is Slot.STOP, before, after, codec
        form = self.forms.get(place)
        if form is None:
            form = Base64Form(slot, before, after, self.part.new_width, self.part.eol, codec)
            self.forms[place] = form
        self.pieces.append(form)

    def _flush(self) -> None:
        if not self.held:
            return
        width, eol = self.part.new_width, self.part.eol
        text = b2a_base64(self.held, newline=False)
        self.held.clear()
        if len(text) > width:
            text = eol.join([text[at : at + width] for at in range(0, len(text), width)])
        self.pieces.append(text + eol)
