"""Finds in HTML the places that rewriting needs: link values, images, and where a notice can stand.

A tag scanner after the tokenizer of the WHATWG HTML standard, on bytes of any charset in which markup is plain ASCII.
The law: time is linear in the input, and nothing recurses on it.

What differs from a browser, on purpose: `noscript` content is markup (mail programs run no scripts), and MSO
conditional comments are read too (Outlook shows what is in them).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from operator import itemgetter
from typing import Final, Literal, NamedTuple

from tracker.core.marks import Shelter, has_mark, may_have_mark
from tracker.core.markup import (
    ATTRIBUTE,
    CONDITION,
    CONSTRUCT,
    CONSTRUCT_IN_COMMENT,
    raw_text_ends,
    without_tags,
)

Quote = Literal[b'"', b"'", b""]

VISIBLE: Final = 300
"""Octets of a link's visible text that are kept."""
_LOOKED_AT: Final = 4096
"""Octets after a link's tag that are searched for its visible text."""
_QUOTES: Final[dict[str, Quote]] = {"double": b'"', "single": b"'", "bare": b""}


class Anchor(NamedTuple):
    """A link: where its href value stands, what a reader sees of it, and whether somebody marked it."""

    start: int
    end: int
    """Span of the href value in the body, without quotes."""
    quote: Quote
    marked: bool
    """A no-track mark stands on it or on an element around it."""
    shown_from: int
    shown_to: int
    """Span of its content in the body; empty for `area` and VML."""
    body: bytes

    @property
    def value(self) -> bytes:
        """The href value, as it stands in the body."""
        return self.body[self.start : self.end]

    @property
    def text(self) -> bytes:
        """What stands between the tags, without markup, up to VISIBLE octets."""
        stop = min(self.shown_to, self.shown_from + _LOOKED_AT)
        return without_tags(self.body[self.shown_from : stop], cut=stop < self.shown_to)[:VISIBLE]


class Image(NamedTuple):
    """An `img` tag."""

    start: int
    end: int
    """Span of the whole tag in the body."""
    attributes: tuple[int, int]
    """Span of its attributes."""


@dataclass(frozen=True, slots=True)
class HtmlScan:
    """What one HTML body offers."""

    anchors: tuple[Anchor, ...]
    """In order; links without a value are left out."""
    images: tuple[Image, ...]
    """In order."""
    notice_at: int
    """Where a notice can stand: before the last `</body>`, else before the last `</html>`, else behind the content."""
    body_starts: int | None
    """Right after the first `<body>` tag."""
    complete: bool
    """False when the body ends inside a tag, an open quote, a comment or a raw-text element."""


def scan(body: bytes) -> HtmlScan:
    """What BODY offers: one part's decoded HTML in a charset that writes markup in plain ASCII bytes."""
    scanner = _Scanner(body)
    complete = scanner.read(0, len(body), live=True)
    notice_at = scanner.body_ends
    if notice_at is None:
        notice_at = scanner.html_ends
    if notice_at is None:
        notice_at = len(body.rstrip(b"\t\n\f\r "))
    anchors = sorted(scanner.anchors, key=itemgetter(0))  # an `area` may stand within an `a`
    return HtmlScan(tuple(anchors), tuple(scanner.images), notice_at, scanner.body_starts, complete)


_Opened = tuple[int, int, Quote, bool, int]
"""A link whose tag was read, and whose content may still follow: as an Anchor, up to where its content begins."""


class _Scanner:
    """Reads constructs in order and remembers what matters."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.anchors: list[Anchor] = []
        self.images: list[Image] = []
        self.body_starts: int | None = None
        self.body_ends: int | None = None
        self.html_ends: int | None = None
        self.shelter = Shelter() if may_have_mark(body) else None

    def read(self, start: int, end: int, *, live: bool) -> bool:
        """Read from START to END; LIVE is false within a conditional comment. False: it ends inside a construct."""
        constructs = CONSTRUCT if live else CONSTRUCT_IN_COMMENT
        body, anchors, shelter = self.body, self.anchors, self.shelter
        opened: _Opened | None = None
        position: int | None = start
        complete = True
        while position is not None:
            restart: int | None = None
            for found in constructs.finditer(body, position, end):
                kind = found.lastgroup
                if shelter is not None and kind != "comment":
                    shelter.pass_by(found.group())
                if kind is None:
                    continue
                if kind == "attributes":
                    link = self._link(found)
                    if found["link"] in b"aA":
                        if opened is not None:
                            anchors.append(Anchor(*opened, found.start(), body))
                        opened = link
                    elif link is not None:
                        anchors.append(Anchor(*link, found.end(), body))
                elif kind == "end":
                    name = found["end"].lower()
                    if name == b"a":
                        if opened is not None:
                            anchors.append(Anchor(*opened, found.start(), body))
                            opened = None
                    elif live:
                        self._note_end(name, found.start())
                elif kind == "image":
                    self.images.append(Image(*found.span(), found.span("image")))
                elif kind == "open":
                    name = found["open"].lower()
                    if name != b"body":
                        restart = raw_text_ends(name, body, found.end(), end)
                        complete = restart is not None
                        break
                    if live and self.body_starts is None:
                        self.body_starts = found.end()
                elif kind == "comment":
                    self._read_condition(*found.span("comment"))  # leaves the shelter as it was
                else:  # broken: nothing after it is markup, save in a conditional comment within another
                    nested = None if live else CONDITION.match(body, found.start() + 4, end)
                    restart = nested.end() if nested else None
                    complete = restart is not None
                    break
            position = restart
        if opened is not None:
            anchors.append(Anchor(*opened, end, body))
        return complete

    def _note_end(self, name: bytes, position: int) -> None:
        if name == b"body":
            self.body_ends = position
        else:
            self.html_ends = position

    def _read_condition(self, start: int, end: int) -> None:
        """Read the comment's content if Outlook does. One level: a comment within it has no end of its own."""
        condition = CONDITION.match(self.body, start, end)
        if condition is None or not _SHOWS.search(self.body, condition.end(), end):
            return
        around = self.shelter
        self.shelter = around.inner() if around is not None else None
        self.read(condition.end(), end, live=False)
        self.shelter = around

    def _link(self, found: re.Match[bytes]) -> _Opened | None:
        """The link whose tag was FOUND; None when it leads nowhere."""
        shelter = self.shelter
        marked = shelter is not None and (shelter.covers or has_mark(found["attributes"]))
        start, end = found.span("href")
        if start >= 0:
            return start, end, b'"', marked, found.end()
        for attribute in ATTRIBUTE.finditer(self.body, *found.span("attributes")):
            if attribute["name"].lower() == b"href":  # the first wins
                group = attribute.lastgroup or "name"
                start, end = attribute.span(group)
                return None if group == "name" or start == end else (start, end, _QUOTES[group], marked, found.end())
        return None


_SHOWS: Final = re.compile(rb"[hH][rR][eE][fF]|<[iI][mM][gG]")
"""What a conditional comment worth reading holds."""
