"""Finds in HTML the places that rewriting needs: link values, and where a notice can stand.

A tag scanner after the tokenizer of the WHATWG HTML standard, on bytes of any charset in which markup is plain ASCII.
The law: time is linear in the input, and nothing recurses on it.

What differs from a browser, on purpose: `noscript` content is markup (mail programs run no scripts), and MSO
conditional comments are read too (Outlook shows what is in them).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from tracker.core.marks import Shelter, has_mark, may_have_mark
from tracker.core.markup import (
    ATTRIBUTE,
    CONDITION,
    CONSTRUCT,
    CONSTRUCT_IN_COMMENT,
    HREF_FIRST,
    raw_text_ends,
    without_tags,
)

Quote = Literal[b'"', b"'", b""]
Element = Literal["a", "area", "vml"]

VISIBLE: Final = 300
"""Octets of a link's visible text that are kept."""
_LOOKED_AT: Final = 4096
"""Octets after a link's tag that are searched for its visible text."""
_QUOTES: Final[dict[str, Quote]] = {"double": b'"', "single": b"'", "bare": b""}


@dataclass(frozen=True, slots=True)
class Anchor:
    """A link: where its href value stands, what a reader sees of it, and whether somebody marked it."""

    start: int
    end: int
    """Span of the href value in the body, without quotes."""
    quote: Quote
    value: bytes
    element: Element
    text: bytes
    """What stands between the tags, without markup; empty for `area` and VML."""
    marked: bool
    """A no-track mark stands on it or on an element around it."""


@dataclass(frozen=True, slots=True)
class HtmlScan:
    """What one HTML body offers."""

    anchors: tuple[Anchor, ...]
    """In order; links without a value are left out."""
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
    anchors = sorted(scanner.anchors, key=lambda anchor: anchor.start)  # an `area` may stand within an `a`
    return HtmlScan(tuple(anchors), notice_at, scanner.body_starts, complete)


@dataclass(frozen=True, slots=True)
class _Link:
    """A link whose tag was read, and whose content may still follow."""

    start: int
    end: int
    quote: Quote
    element: Element
    tag_ends: int
    marked: bool


class _Scanner:
    """Reads constructs in order and remembers what matters."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.anchors: list[Anchor] = []
        self.body_starts: int | None = None
        self.body_ends: int | None = None
        self.html_ends: int | None = None
        self.shelter = Shelter() if may_have_mark(body) else None

    def read(self, start: int, end: int, *, live: bool) -> bool:
        """Read from START to END; LIVE is false within a conditional comment. False: it ends inside a construct."""
        constructs = CONSTRUCT if live else CONSTRUCT_IN_COMMENT
        body, shelter = self.body, self.shelter
        opened: _Link | None = None
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
                    if link.element == "a":
                        self._keep(opened, found.start())
                        opened = link
                    else:
                        self._keep(link, link.tag_ends)
                elif kind == "end":
                    name = found["end"].lower()
                    if name == b"a":
                        self._keep(opened, found.start())
                        opened = None
                    elif live:
                        self._note_end(name, found.start())
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
        self._keep(opened, end)
        return complete

    def _note_end(self, name: bytes, position: int) -> None:
        if name == b"body":
            self.body_ends = position
        else:
            self.html_ends = position

    def _read_condition(self, start: int, end: int) -> None:
        """Read the comment's content if Outlook does. One level: a comment within it has no end of its own."""
        condition = CONDITION.match(self.body, start, end)
        if condition is None or b"href" not in self.body[condition.end() : end].lower():
            return
        around = self.shelter
        self.shelter = around.inner() if around is not None else None
        self.read(condition.end(), end, live=False)
        self.shelter = around

    def _link(self, found: re.Match[bytes]) -> _Link:
        name = found["link"].lower()
        element: Element = "a" if name == b"a" else "area" if name == b"area" else "vml"
        marked = self.shelter is not None and (self.shelter.covers or has_mark(found["attributes"]))
        start, end = found.span("attributes")
        common = HREF_FIRST.match(self.body, start, end)
        if common is not None:
            return _Link(*common.span(1), b'"', element, found.end(), marked)
        for attribute in ATTRIBUTE.finditer(self.body, start, end):
            if attribute["name"].lower() == b"href":  # the first wins
                group = attribute.lastgroup or "name"
                if group == "name":
                    break
                return _Link(*attribute.span(group), _QUOTES[group], element, found.end(), marked)
        return _Link(0, 0, b"", element, found.end(), marked)

    def _keep(self, link: _Link | None, text_ends: int) -> None:
        """Remember LINK, whose content goes up to TEXT_ENDS, if it leads anywhere."""
        if link is None or link.start == link.end:
            return
        stop = min(text_ends, link.tag_ends + _LOOKED_AT)
        text = without_tags(self.body[link.tag_ends : stop], cut=stop < text_ends)[:VISIBLE]
        value = self.body[link.start : link.end]
        self.anchors.append(Anchor(link.start, link.end, link.quote, value, link.element, text, link.marked))
