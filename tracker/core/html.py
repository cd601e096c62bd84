"""Finds in HTML the places that rewriting needs: link values, and where a notice can stand.

A tag scanner after the tokenizer of the WHATWG HTML standard (section 13.2.5), on bytes of any charset in which
markup is plain ASCII. Its law: time linear in the input, no recursion. Possessive quantifiers stand over character
classes only, since CPython before 3.11.5 gets them wrong over groups.

What differs from a browser, on purpose: `noscript` content is markup (mail programs run no scripts), and MSO
conditional comments are read too (Outlook shows what is in them).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

Quote = Literal[b'"', b"'", b""]
Element = Literal["a", "area", "vml"]

VISIBLE: Final = 300
"""Octets of a link's visible text that are kept."""
_LOOKED_AT: Final = 4096
"""Octets after a link's tag that are searched for its visible text."""


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


# --- the grammar of tags ---------------------------------------------------------------------------

_NAME_END: Final = rb"(?=[\t\n\f\r />])"
# Each of these matches a text in one way only, or not at all: what fails, fails after one pass. The common form
# comes first, for speed.
_VALUE: Final = rb"""(?:"[^"]*+"|'[^']*+'|[^\t\n\f\r "'>][^\t\n\f\r >]*+|(?=>))"""
_ATTRIBUTES: Final = (
    rb"(?:[\t\n\f\r /]*+[^\t\n\f\r />][^\t\n\f\r />=]*+"  # a name may begin with "="
    rb'(?:="[^"]*+"|(?!=")[\t\n\f\r ]*+(?:=[\t\n\f\r ]*+' + _VALUE + rb"|(?!=))))*"
)
_TAG_END: Final = rb"[\t\n\f\r /]*+>"
_REST: Final = rb"(?:>|" + _ATTRIBUTES + _TAG_END + rb")"
_RAW: Final = rb"script|style|textarea|title|xmp|iframe|noembed|noframes|plaintext"

_TAGS: Final = (
    rb"(?:(?=[aAvV])(?P<link>(?i:a|area|v:[a-z0-9]++))" + _NAME_END + rb"(?P<attributes>" + _ATTRIBUTES + rb")" + _TAG_END +
    rb"|/(?P<end>(?=[aAbBhH])(?i:a|body|html))" + _NAME_END + _REST +
    rb"|(?=[bBsStTxXiInNpP])(?P<open>(?i:body|" + _RAW + rb"))" + _NAME_END + _REST +
    rb"|/?[A-Za-z][^\t\n\f\r />]*+" + _REST
)  # fmt: skip
_BOGUS: Final = rb"|(?:[?]|!(?!--)|/(?![A-Za-z]))[^>]*+>"  # bogus comments, and the doctype
_BROKEN: Final = rb"|(?P<broken>[A-Za-z!?/]))"
_CONSTRUCT: Final = re.compile(
    rb"<" + _TAGS + rb"|!--(?:-?>|(?P<comment>(?s:.*?))--!?>)" + _BOGUS + _BROKEN,
)
_CONSTRUCT_IN_COMMENT: Final = re.compile(rb"<" + _TAGS + _BOGUS + _BROKEN)
"""A comment in a comment cannot end: "broken" finds its beginning."""
_ATTRIBUTE: Final = re.compile(
    rb"[\t\n\f\r /]*+(?P<name>[^\t\n\f\r />][^\t\n\f\r />=]*+)"
    rb"(?:[\t\n\f\r ]*+=[\t\n\f\r ]*+"
    rb"""(?:"(?P<double>[^"]*+)"|'(?P<single>[^']*+)'|(?P<bare>[^\t\n\f\r "'>][^\t\n\f\r >]*+))?)?"""
)
_OPENED: Final = re.compile(rb"<(?P<name>[A-Za-z][^\t\n\f\r />]*+)(?P<attributes>" + _ATTRIBUTES + rb")" + _TAG_END)
_CLOSED: Final = re.compile(rb"</(?P<name>[A-Za-z][^\t\n\f\r />]*+)")
_CONDITION: Final = re.compile(rb"(?i:\[if\b)[^\]>]*+\]>")
_SCRIPT_TURN: Final = re.compile(rb"<!--|-->|<(?P<close>/?)(?i:script)(?=[\t\n\f\r />])")
_CUT_TAG: Final = re.compile(rb"<[^<>]*+\Z")

_BREAKS: Final = re.compile(rb"(?i:<(?=/?(?:br|img|p|div|table|tr|td|th|li|ul|ol|h[1-6]|hr)[\t\n\f\r />]))")

_MARK_NAMES: Final = (b"no-track", b"clicktracking", b"disable-tracking")
_OFF: Final = frozenset({b"off", b"false", b"no", b"0"})
_VOID: Final = frozenset(b"area base br col embed hr img input link meta param source track wbr".split())
_RAW_ENDS: Final = {
    name: re.compile(rb"</(?i:" + name + rb")" + _NAME_END) for name in _RAW.split(b"|") if name != b"plaintext"
}


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


class _Scanner:
    """Reads constructs in order and remembers what matters."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.anchors: list[Anchor] = []
        self.body_starts: int | None = None
        self.body_ends: int | None = None
        self.html_ends: int | None = None
        self.shelter = _Shelter() if _may_have_mark(body) else None

    def read(self, start: int, end: int, *, live: bool) -> bool:
        """Read from START to END; LIVE is false within a conditional comment. False: it ends inside a construct."""
        constructs = _CONSTRUCT if live else _CONSTRUCT_IN_COMMENT
        opened: _Link | None = None
        position: int | None = start
        complete = True
        while position is not None:
            restart: int | None = None
            for found in constructs.finditer(self.body, position, end):
                kind = found.lastgroup
                if self.shelter is not None and kind != "comment":
                    self.shelter.pass_by(found.group())
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
                    elif live and name == b"body":
                        self.body_ends = found.start()
                    elif live:
                        self.html_ends = found.start()
                elif kind == "open":
                    name = found["open"].lower()
                    if name != b"body":
                        restart = self._raw_text_ends(name, found.end(), end)
                        complete = restart is not None
                        break
                    if live and self.body_starts is None:
                        self.body_starts = found.end()
                elif kind == "comment":
                    if live:
                        self._read_condition(found)
                else:  # broken: nothing after it is markup, save in a conditional comment within another
                    nested = None if live else _CONDITION.match(self.body, found.start() + 4, end)
                    restart = nested.end() if nested else None
                    complete = restart is not None
                    break
            position = restart
        self._keep(opened, end)
        return complete

    def _read_condition(self, comment: re.Match[bytes]) -> None:
        condition = _CONDITION.match(self.body, comment.start("comment"), comment.end("comment"))
        if condition is None:
            return
        outside = self.shelter
        if outside is not None:
            self.shelter = outside.inner()
        self.read(condition.end(), comment.end("comment"), live=False)
        self.shelter = outside

    def _raw_text_ends(self, name: bytes, start: int, end: int) -> int | None:
        if name == b"plaintext":
            return None
        if name == b"script":
            return _script_ends(self.body, start, end)
        found = _RAW_ENDS[name].search(self.body, start, end)
        return found.start() if found else None

    def _link(self, found: re.Match[bytes]) -> _Link:
        name = found["link"].lower()
        element: Element = "a" if name == b"a" else "area" if name == b"area" else "vml"
        marked = self.shelter is not None and (self.shelter.covers or _has_mark(found["attributes"]))
        for attribute in _ATTRIBUTE.finditer(self.body, *found.span("attributes")):
            if attribute["name"].lower() == b"href":  # the first wins
                group = attribute.lastgroup or "name"
                if group == "name":
                    break
                quote: Quote = b'"' if group == "double" else b"'" if group == "single" else b""
                return _Link(*attribute.span(group), quote, element, found.end(), marked)
        return _Link(0, 0, b"", element, found.end(), marked)

    def _keep(self, link: _Link | None, text_ends: int) -> None:
        """Remember LINK, whose content goes up to TEXT_ENDS, if it leads anywhere."""
        if link is None or link.start == link.end:
            return
        text = _visible_text(self.body, link.tag_ends, text_ends)
        value = self.body[link.start : link.end]
        self.anchors.append(Anchor(link.start, link.end, link.quote, value, link.element, text, link.marked))


@dataclass(frozen=True, slots=True)
class _Link:
    """A link whose tag was read, and whose content may still follow."""

    start: int
    end: int
    quote: Quote
    element: Element
    tag_ends: int
    marked: bool


class _Shelter:
    """Knows whether a no-track mark stands on an element around the place that was read last.

    The element ends with its end tag; where that is missing, all that follows counts as marked.
    """

    def __init__(self) -> None:
        self._name = b""
        self._depth = 0

    @property
    def covers(self) -> bool:
        return self._depth > 0

    def inner(self) -> _Shelter:
        """The same, for a conditional comment: what begins or ends in it does not reach beyond."""
        copy = _Shelter()
        copy._name, copy._depth = self._name, self._depth
        return copy

    def pass_by(self, tag: bytes) -> None:
        opened = _OPENED.match(tag)
        if opened:
            name = opened["name"].lower()
            if self._depth:
                self._depth += name == self._name
            elif name != b"a" and name not in _VOID and _has_mark(opened["attributes"]):
                self._name, self._depth = name, 1
        elif self._depth:
            closed = _CLOSED.match(tag)
            self._depth -= closed is not None and closed["name"].lower() == self._name


def _has_mark(attributes: bytes) -> bool:
    """Whether one of ATTRIBUTES asks not to track: ours, or that of Mailgun, SendGrid, Postmark or SES."""
    return _may_have_mark(attributes) and any(map(_is_mark, _ATTRIBUTE.finditer(attributes)))


def _may_have_mark(markup: bytes) -> bool:
    lowered = markup.lower()
    return any(name in lowered for name in _MARK_NAMES)


def _is_mark(attribute: re.Match[bytes]) -> bool:
    name = attribute["name"].lower()
    if name in (b"data-no-track", b"data-pm-no-track", b"ses:no-track"):
        return True
    value = attribute["double"] or attribute["single"] or attribute["bare"] or b""
    off = value.strip().lower() in _OFF
    return (name == b"clicktracking" and off) or (name == b"disable-tracking" and not off)


def _script_ends(body: bytes, start: int, end: int) -> int | None:
    """Where the script that begins at START has its end tag (13.2.5.15 to 13.2.5.31: "escaped" states)."""
    escaped = nested = False
    position = start
    while found := _SCRIPT_TURN.search(body, position, end):
        turn = found.group()
        position = found.end()
        if turn == b"<!--":
            if not escaped:
                escaped = True
                position -= 2  # "<!-->" ends at once
        elif turn == b"-->":
            escaped = nested = False
        elif found["close"]:
            if not nested:
                return found.start()
            nested = False
        else:
            nested = nested or escaped
    return None


def _visible_text(body: bytes, start: int, end: int) -> bytes:
    """The first octets of what a reader sees between START and END."""
    inside = body[start : min(end, start + _LOOKED_AT)]
    if b"<" not in inside:
        return inside[:VISIBLE]
    if end - start > _LOOKED_AT:
        inside = _CUT_TAG.sub(b"", inside)
    return _CONSTRUCT.sub(b"", _BREAKS.sub(b" <", inside))[:VISIBLE]
