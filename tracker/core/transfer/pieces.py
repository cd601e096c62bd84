"""What is spliced into a body: bytes, and slots that stay open until a copy's tokens are known."""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

LONGEST_LINE = 998
"""RFC 5322, section 2.1.1, without the line end."""

_LOOKED_AT = 4_096
"""Octets that tell which line end a text has."""


class Slot(Enum):
    """A place for a token; the value is the token's fixed length."""

    DELIVERY = 66
    STOP = 84


@dataclass(frozen=True, slots=True)
class Form:
    """One way a token is written; the few that a message needs are made once for each copy. This one: as it is."""

    slot: Slot

    def fill(self, token: bytes) -> bytes:
        """TOKEN as it stands in the encoded body."""
        return token


@dataclass(frozen=True, slots=True)
class CutForm(Form):
    """A token too long for one line of quoted-printable: a soft break stands in it."""

    at: int
    line_end: bytes
    """The soft break."""

    def fill(self, token: bytes) -> bytes:
        """TOKEN with a soft break in it."""
        return token[: self.at] + self.line_end + token[self.at :]


@dataclass(frozen=True, slots=True)
class Base64Form(Form):
    """A token in base64, on lines of its own."""

    before: bytes
    """Decoded bytes that share the token's first group of three."""
    after: bytes
    """Those that share its last group of three."""
    width: int
    eol: bytes
    codec: str | None
    """Of a body that is not ASCII-compatible."""

    def fill(self, token: bytes) -> bytes:
        """TOKEN and its neighbours in base64, each line with its end."""
        if self.codec is not None:
            token = token.decode("ascii").encode(self.codec)
        text, width, eol = b2a_base64(self.before + token + self.after, newline=False), self.width, self.eol
        if width < len(text) <= 2 * width:
            return b"%b%b%b%b" % (text[:width], eol, text[width:], eol)
        return b"".join([text[at : at + width] + eol for at in range(0, len(text), width)])


Encoded = list[bytes | Form]
"""Encoded text with forms in it."""


class Edit(NamedTuple):
    """Replace the decoded bytes from START to END by CONTENT."""

    start: int
    end: int
    content: tuple[bytes | Slot, ...]
    codec: str | None = None

    @property
    def size(self) -> int:
        """Bytes of the content, slots filled."""
        size = 0
        for piece in self.content:
            size += len(piece) if isinstance(piece, bytes) else piece.value
        return size


def content_size(piece: bytes | Slot) -> int:
    """Bytes that PIECE takes once it is filled."""
    return piece.value if isinstance(piece, Slot) else len(piece)


def in_order(edits: Sequence[Edit], notice: Edit | None) -> list[Edit]:
    """EDITS and NOTICE, ascending."""
    return sorted(edits if notice is None else [*edits, notice], key=lambda edit: (edit.start, edit.end))


class Transfer(Protocol):
    """The body of one part in its transfer encoding."""

    @property
    def body(self) -> bytes:
        """The decoded body."""

    @property
    def eol(self) -> bytes:
        """The line end that inserted text shall use."""

    def is_clear(self, start: int, end: int) -> bool:
        """Whether every mail program decodes the span of the body from START to END alike."""

    def fitting(self, edits: Sequence[Edit], notice: Edit | None) -> list[Edit] | None:
        """Those of EDITS whose lines do not get too long, with NOTICE among them, in ascending order.

        None where NOTICE itself has no room.
        """

    def splice(self, edits: Sequence[Edit]) -> Encoded:
        """The encoded body with ascending EDITS made."""


def line_end_of(text: bytes, default: bytes) -> bytes:
    """The line end that most lines have at the beginning of TEXT; DEFAULT where there is no line end."""
    if text.find(b"\n", 0, _LOOKED_AT) >= 0:
        text = text[:_LOOKED_AT]
    feeds = text.count(b"\n")
    if not feeds:
        return default
    return b"\r\n" if 2 * text.count(b"\r\n") >= feeds else b"\n"
