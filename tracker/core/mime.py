"""Walks a MIME message and says where its leaves stand, as spans of the bytes it came in.

Law: one pass over the delimiter lines with a stack of open multiparts. No recursion, and time linear in the
size of the message, whatever it holds. A delimiter of an outer multipart ends every inner one (RFC 2046,
section 5.1.2). What is ambiguous refuses the message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tracker.core.headers import (
    AMBIGUOUS,
    ContentType,
    Fields,
    content_type,
    has_junk,
    is_attachment,
    read_fields,
    read_part_fields,
    transfer_encoding,
)
from tracker.model import Reason

_BLANK_LINE = re.compile(rb"\n\r?\n")
_LINE = re.compile(rb"--([^\r\n]*+)")
_NOTHING = re.compile(rb"\s*+\Z")
_MBOX_LINE = re.compile(rb"\A>?From [^\n]*+\n")

_REFUSED_KINDS: Mapping[str, Reason] = {
    "multipart/signed": Reason.SIGNED,
    "multipart/encrypted": Reason.ENCRYPTED,
    "multipart/report": Reason.REPORT,
    "message/delivery-status": Reason.REPORT,
    "message/disposition-notification": Reason.REPORT,
    "message/partial": Reason.UNSUPPORTED,
    "message/external-body": Reason.UNSUPPORTED,
}
_SMIME_KINDS = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime"})

NO_PARENT = -1


@dataclass(frozen=True, slots=True)
class Multipart:
    """A multipart and where it stands in the tree (index of its parent, or NO_PARENT)."""

    kind: str
    parent: int
    below_digest: bool


@dataclass(frozen=True, slots=True)
class Leaf:
    """A part that holds no parts: its body's span in the message and what its header says of it."""

    start: int
    end: int
    type: ContentType
    encoding: str
    parent: int
    is_body: bool
    """Whether it may be touched at all: no attachment, no Content-MD5, not below a digest, header readable."""


@dataclass(frozen=True, slots=True)
class Structure:
    """A message as the walker saw it."""

    fields: Fields
    """Of the message itself."""
    multiparts: tuple[Multipart, ...]
    leaves: tuple[Leaf, ...]


@dataclass(slots=True)
class _Walk:
    """What has been seen so far."""

    message: bytes
    multiparts: list[Multipart] = field(default_factory=list)
    leaves: list[Leaf] = field(default_factory=list)
    stack: list[tuple[bytes, int]] = field(default_factory=list)
    """Open multiparts: boundary and index."""
    depth: dict[bytes, int] = field(default_factory=dict)
    """Boundary → its place on the stack."""
    pending: tuple[int, ContentType, Fields, bool] | None = None
    """The leaf that has begun and not ended: start, type, fields, may be a body."""
    blank_at: int = -1
    blank_end: int = -1
    """The first blank line at or after the last place that was asked for."""

    def next_blank(self, position: int) -> tuple[int, int]:
        """Span of the line ends around the first blank line from POSITION on; the end of the message without one."""
        if self.blank_at < position:
            match = _BLANK_LINE.search(self.message, position)
            self.blank_at, self.blank_end = match.span() if match else (len(self.message), len(self.message))
        return self.blank_at, self.blank_end

    def open(self, start: int, kind: ContentType, fields: Fields, clean: bool, below_digest: bool) -> Reason | None:
        """Begin the part whose body stands at START; the reason where the message must not be touched."""
        parent = self.stack[-1][1] if self.stack else NO_PARENT
        refusal = refused_kind(kind)
        if refusal is not None:
            return refusal
        if not kind.kind.startswith("multipart/"):
            self.pending = (start, kind, fields, clean and not below_digest)
            return None
        boundary = kind.boundary
        if boundary is None or boundary in self.depth or not clean:
            return Reason.MALFORMED
        self.depth[boundary] = len(self.stack)
        self.stack.append((boundary, len(self.multiparts)))
        self.multiparts.append(Multipart(kind.kind, parent, below_digest or kind.kind == "multipart/digest"))
        return None

    def close_leaf(self, end: int) -> None:
        """End the pending leaf before the delimiter at END; the line end before a delimiter belongs to it."""
        if self.pending is None:
            return
        start, kind, fields, may_be_body = self.pending
        self.pending = None
        parent = self.stack[-1][1] if self.stack else NO_PARENT
        is_body = may_be_body and b"content-md5" not in fields and not is_attachment(fields)
        self.leaves.append(Leaf(start, max(start, end), kind, transfer_encoding(fields), parent, is_body))

    def close_multiparts(self, depth: int) -> None:
        """Close every open multipart from DEPTH on."""
        for boundary, _ in self.stack[depth:]:
            del self.depth[boundary]
        del self.stack[depth:]


def refused_kind(kind: ContentType) -> Reason | None:
    """Why a message that holds a part of this KIND leaves as it came; None where the kind is no hindrance."""
    if kind.kind in _SMIME_KINDS:
        signed = kind.parameters.get("smime-type", "").lower() == "signed-data"
        return Reason.SIGNED if signed else Reason.ENCRYPTED
    return _REFUSED_KINDS.get(kind.kind)


def walk(message: bytes) -> Structure | Reason:
    """The structure of MESSAGE, or why it must leave as it came."""
    mbox_line = _MBOX_LINE.match(message)
    head = mbox_line.end() if mbox_line else 0
    state = _Walk(message)
    if message.startswith((b"\n", b"\r\n"), head):
        block, start = b"", head + (1 if message.startswith(b"\n", head) else 2)
    else:
        blank, start = state.next_blank(head)
        block = message[head : blank + 1]
    if _NOTHING.match(message, start):
        return Reason.MALFORMED
    if has_junk(block):
        return Reason.MALFORMED
    fields = read_fields(block)
    refusal = state.open(start, content_type(fields), fields, clean=True, below_digest=False)
    if refusal is not None:
        return refusal
    if state.stack:
        refusal = _walk_parts(state, start)
        if refusal is not None:
            return refusal
    state.close_leaf(len(message))
    return Structure(fields, tuple(state.multiparts), tuple(state.leaves))


def _walk_parts(state: _Walk, start: int) -> Reason | None:
    message = state.message
    body_from = start
    for at, line, after in _dashed_lines(message, start, len(message)):
        if not state.stack:
            break
        depth = state.depth.get(line)
        closes = depth is None
        if depth is None:
            depth = state.depth.get(line[:-2]) if line.endswith(b"--") else None
            if depth is None:
                continue
        if at < body_from:
            continue  # inside a header that was read already
        state.close_leaf(_before_line_end(message, at))
        if closes:
            state.close_multiparts(depth)
            continue
        state.close_multiparts(depth + 1)
        refusal, body_from = _open_part(state, _after_line_end(message, after))
        if refusal is not None:
            return refusal
    if not state.leaves and state.pending is None:
        return Reason.MALFORMED  # a multipart without a single part
    return None


def _open_part(state: _Walk, at: int) -> tuple[Reason | None, int]:
    """Read the header of the part that begins AT and begin it; where its body begins."""
    message = state.message
    if message.startswith(b"\n", at):
        block, start = b"", at + 1
    elif message.startswith(b"\r\n", at):
        block, start = b"", at + 2
    else:
        blank, start = state.next_blank(at)
        cut = _first_delimiter(state, at, blank)
        if cut == at:  # two delimiters in a row are one
            return None, cut
        if cut is not None:  # a header without a body
            start = cut
        block = message[at : blank + 1 if cut is None else cut]
    fields = read_part_fields(block)
    within = state.multiparts[state.stack[-1][1]]
    kind = content_type(fields, "message/rfc822" if within.kind == "multipart/digest" else "text/plain")
    clean = kind.kind != AMBIGUOUS and not (block and has_junk(block))
    return state.open(start, kind, fields, clean, within.below_digest), start


def _first_delimiter(state: _Walk, start: int, end: int) -> int | None:
    for at, line, _ in _dashed_lines(state.message, start, end):
        if line in state.depth or (line.endswith(b"--") and line[:-2] in state.depth):
            return at
    return None


def _dashed_lines(message: bytes, start: int, end: int) -> Iterator[tuple[int, bytes, int]]:
    """Lines that begin with two dashes: where they begin, what follows the dashes, where they end."""
    at = message.find(b"\n--", start - 1, end) + 1  # find, since it passes over base64 faster than a pattern
    while at:
        match = _LINE.match(message, at)
        assert match is not None
        yield at, match[1].rstrip(b" \t"), match.end()
        at = message.find(b"\n--", match.end(), end) + 1


def _before_line_end(message: bytes, at: int) -> int:
    """Where the line before AT ends."""
    at -= message.startswith(b"\n", at - 1)
    return at - message.startswith(b"\r", at - 1)


def _after_line_end(message: bytes, at: int) -> int:
    end = message.find(b"\n", at)
    return len(message) if end < 0 else end + 1
