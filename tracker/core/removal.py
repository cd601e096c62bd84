"""Takes other people's pixels out of HTML bodies, or says that this cannot be done without doubt.

The law: nothing goes but the bytes of the `img` tags. What stood around them reads as before: the same parts, the same
markup, the same links, and no line that a mail server would write otherwise. One doubt, and every pixel stays.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from tracker.core import html, mime
from tracker.core.charset import View
from tracker.core.foreign import find
from tracker.core.mime import Leaf, Structure
from tracker.core.transfer.pieces import LONGEST_LINE, Edit, Transfer
from tracker.model import Reason

Spans = tuple[tuple[int, int], ...]

_UNFINISHED: Final = re.compile(rb"[<&][^\s<>&]{0,40}\Z")
"""What would be read together with whatever stood behind the tag: the beginning of a tag or of a reference."""
_COMMENT_ENDS: Final = re.compile(rb"[->!]")
"""What would end a conditional comment behind a hyphen."""
_ODD_LINE: Final = re.compile(rb"(?m)^(?:From |[.])")
"""Beginnings of lines that mail servers change."""
_BLANK_AT_END: Final = re.compile(rb"(?m)[ \t](?=\r?$)")
"""What decoders of quoted-printable take away."""
_LONG_LINE: Final = re.compile(rb"[^\n]{%d}" % (LONGEST_LINE + 2))


@dataclass(frozen=True, slots=True)
class Part:
    """An HTML body in its message, and the pixels in it that are not ours."""

    start: int
    end: int
    transfer: Transfer
    view: View
    pixels: Spans
    """Of the `img` tags in the text of the view, in order."""


def removable(
    message: bytes, structure: Structure, parts: Sequence[Part], read: Callable[[bytes, Leaf], Transfer | None]
) -> list[Spans]:
    """For each of PARTS, which STRUCTURE has, the places of its pixels in the decoded body; nothing on any doubt.

    READ decodes a leaf of a message.
    """
    placed = [_places(part) for part in parts]
    if not all(map(_is_safe, parts)):
        return [() for _ in parts]
    after = without(
        message,
        [(part.start, part.end, part.transfer, spans) for part, spans in zip(parts, placed, strict=True)],
    )
    decoded = {part.start: _cut(part.transfer.body, spans) for part, spans in zip(parts, placed, strict=True)}
    return placed if _reads_alike(message, structure, after, decoded, read) else [() for _ in parts]


def edits(spans: Spans) -> list[Edit]:
    """What takes out the bytes at SPANS."""
    return [Edit(start, end, ()) for start, end in spans]


def without(message: bytes, parts: Iterable[tuple[int, int, Transfer, Spans]]) -> bytes:
    """MESSAGE with the decoded bytes at the spans of each of PARTS (start, end, body, spans; in order) taken out."""
    out: list[bytes] = []
    at = 0
    for start, end, transfer, spans in parts:
        if spans:
            out.append(message[at:start])
            out += [piece for piece in transfer.splice(edits(spans)) if isinstance(piece, bytes)]  # there is no slot
            at = end
    return b"".join([*out, message[at:]])


def _places(part: Part) -> Spans:
    flat = part.view.places([place for span in part.pixels for place in span])
    return tuple(zip(flat[::2], flat[1::2], strict=True))


def _cut(text: bytes, spans: Spans) -> bytes:
    ends = [(0, 0), *spans, (len(text), len(text))]
    return b"".join([text[end:start] for (_, end), (start, _) in pairwise(ends)])


def _is_safe(part: Part) -> bool:
    """Whether the markup of PART reads as before without its pixels."""
    text = part.view.text
    for (start, end), place in zip(part.pixels, _places(part), strict=True):
        if not part.transfer.is_clear(*place) or _UNFINISHED.search(text[max(0, start - 48) : start]):
            return False
        if text[start - 1 : start] == b"-" and _COMMENT_ENDS.match(text, end):
            return False
        if not re.match(rb"<[Ii][Mm][Gg][^A-Za-z0-9]", text[start:end]) or text[end - 1 : end] != b">":
            return False
    if not part.pixels:
        return True
    rest = _cut(text, part.pixels)
    before, after = html.scan(text), html.scan(rest)
    if not after.complete or [_said(one) for one in before.anchors] != [_said(one) for one in after.anchors]:
        return False
    if after.body_starts != _moved(before.body_starts, part.pixels):
        return False
    kinds = [(one.kind, one.vendor) for one in find(text) if one.kind == "link"]
    return kinds == [(one.kind, one.vendor) for one in find(rest) if one.kind == "link"]


def _said(anchor: html.Anchor) -> tuple[bytes, bytes, bool]:
    return anchor.value, anchor.quote, anchor.marked


def _moved(place: int | None, spans: Spans) -> int | None:
    return None if place is None else place - sum(end - start for start, end in spans if end <= place)


def _reads_alike(
    message: bytes,
    structure: Structure,
    after: bytes,
    decoded: dict[int, bytes],
    read: Callable[[bytes, Leaf], Transfer | None],
) -> bool:
    """Whether AFTER has the parts of MESSAGE, those of DECODED (by where they started) with the bodies named there."""
    now = mime.walk(after)
    if isinstance(now, Reason) or (now.fields, now.multiparts) != (structure.fields, structure.multiparts):
        return False
    if len(now.leaves) != len(structure.leaves):
        return False
    for old, new in zip(structure.leaves, now.leaves, strict=True):
        before, encoded = message[old.start : old.end], after[new.start : new.end]
        if (old.type, old.encoding, old.parent, old.is_body) != (new.type, new.encoding, new.parent, new.is_body):
            return False
        if old.start not in decoded:
            if before != encoded:
                return False
            continue
        transfer = read(after, new)
        if transfer is None or transfer.body != decoded[old.start]:
            return False
        odd = (_ODD_LINE, _LONG_LINE, *((_BLANK_AT_END,) if old.encoding == "quoted-printable" else ()))
        if any(len(one.findall(encoded)) > len(one.findall(before)) for one in odd):
            return False
    return True
