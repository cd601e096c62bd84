"""Finds other people's trackers in HTML: open pixels, and links that lead through a redirect which counts.

How a pixel is told from a spacer of an old template: a pixel either stands at an address that a tracking service is
known by, or nobody can see it (both sides at most three pixels, or hidden) *and* its URL is made for one recipient: a
long token, an identity in the query, a placeholder, an e-mail address. A spacer is the same for everybody: a short
name, no query, often relative, often with one long side. The law: time is linear in the input.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from tracker.core.address import contains_address
from tracker.core.attribute import attribute_text
from tracker.core.foreign_trackers import KNOWN, OURSELVES, STATIC_HOSTS, Known
from tracker.core.markup import ATTRIBUTE, CONDITION, CONSTRUCT, CONSTRUCT_IN_COMMENT, OPENED, raw_text_ends

Kind = Literal["pixel", "link"]
_Seen = Literal["pixel", "unseen", "link"]
"""An image, one that nobody sees, a link."""
_WHOLE_HOST: Final = "/"

UNSEEN: Final = 3
"""Pixels on both sides up to which nobody notices an image."""
LONGEST_URL: Final = 4_096
"""Characters of a URL that are looked at."""


@dataclass(frozen=True, slots=True)
class ForeignTracker:
    """Somebody's tracker in an HTML body."""

    kind: Kind
    vendor: str
    """The service as the table calls it, else the host of the URL."""
    start: int
    """Of a pixel: of its whole `img` tag; of a link: of its href value, without quotes."""
    end: int


# --- what is known ---


class _Paths:
    """The services that one host, or any host, may belong to."""

    def __init__(self, known: tuple[Known, ...]) -> None:
        self._patterns = {
            "pixel": [(re.compile(one.pixel), one.vendor) for one in known if one.pixel not in ("", _WHOLE_HOST)],
            "unseen": [(re.compile(one.pixel), one.vendor) for one in known if one.pixel],
            "link": [(re.compile(one.link), one.vendor) for one in known if one.link],
        }
        self._any = {
            kind: re.compile("|".join(f"(?:{pattern.pattern})" for pattern, _ in patterns) or r"(?!)")
            for kind, patterns in self._patterns.items()
        }

    def vendor(self, kind: _Seen, path: str) -> str | None:
        """Whose PATH (with its query, lower case) is, for an element of KIND."""
        if not self._any[kind].match(path):
            return None
        return next(vendor for pattern, vendor in self._patterns[kind] if pattern.match(path))


def _by_host() -> dict[str, _Paths]:
    hosts = {host for one in KNOWN for host in one.hosts.split()}
    return {host: _Paths(tuple(one for one in KNOWN if host in one.hosts.split())) for host in hosts}


_HOSTS: Final = _by_host()
_ANYWHERE: Final = _HOSTS["*"]
_BELOW: Final = "/(?:[^?#]*/)?"
_HINT: Final = re.compile(
    "/(?:" + "|".join(
        pattern.removeprefix(_BELOW).removeprefix("/")
        for one in KNOWN
        if one.hosts == "*"
        for pattern in (one.pixel, one.link)
        if pattern
    ) + ")"
)  # fmt: skip
"""What the URLs of services that run anywhere have in them."""
_STATIC: Final = frozenset(STATIC_HOSTS.split())
_DIGITS: Final = re.compile(r"\d++")


def _vendor(kind: _Seen, host: str, path: str) -> str | None:
    """The known service that an element of KIND with a URL of HOST and PATH (both lower case) belongs to."""
    for name in _names_of(host):
        paths = _HOSTS.get(name)
        if paths is None and (numbered := _DIGITS.sub("#", name)) != name:
            paths = _HOSTS.get(numbered)
        if paths is not None:
            found = paths.vendor(kind, path)
            if found is not None:
                return found
    return _ANYWHERE.vendor(kind, path)


def _names_of(host: str) -> Iterator[str]:
    """HOST and the domains it lies in, without the top-level one; five at most, the shortest ones."""
    labels = host.split(".")
    for first in range(max(0, len(labels) - 6), len(labels) - 1):
        yield ".".join(labels[first:])


# --- URLs ---

_WEB_URL: Final = re.compile(r"(?:https?:)?//(?:[^/?#\\]*@)?(?P<host>[^/?#\\:@]+)(?::\d*)?(?P<path>[^#]*)")
_ANY_URL: Final = re.compile(rb"//([^\s\"'<>]++)")
_HOST: Final = re.compile(r"(?m)^(?:[^/?#\\@\n]*@)?([^/?#\\:\n]++)")
_PLACEHOLDER: Final = re.compile(r"\{\{|%7b%7b|\{%|\*(?:\||%7c)|%%\w|\[\[|\$\{|#\{|<%|\[\w+\]")
_WORD: Final = re.compile(r"(?<![a-z])(?:opens?|opened|track|tracking|tracker|trk|beacon|pixel|impression)(?![a-z])")
_SPACER: Final = re.compile(
    r"(?:^|[^a-z])(?:spacer?|blank|clear(?:pixel|dot)?|trans(?:p|parent)?|shim|dot|empty|fix|1x1|pixel|bg|line|divider)[^/]*$"
)
_IDENTITY: Final = re.compile(
    r"[a-z_]*id|[ucemrsktqxi]|user|key|email|mail|to|rcpt|recipient|subscriber|sub|contact|lead|member|msg|message|"
    r"campaign|hash|token|upn"
)
_TOKEN: Final = re.compile(r"[a-z0-9,+=_~-]{16,}")
_SEPARATED: Final = re.compile(r"[a-z]{3,}(?:[-_~+][a-z]{2,})+")


def _cleaned(value: str) -> str:
    """The attribute VALUE as browsers begin to read a URL, in lower case."""
    return value.strip("\t\n\f\r ").translate({9: None, 10: None, 13: None})[:LONGEST_URL].lower()


def _split(url: str) -> tuple[str, str] | None:
    """Host, and path with query, of an absolute http URL; None for all else."""
    found = _WEB_URL.match(url)
    if found is None:
        return None
    path = found["path"]
    return found["host"], path if path.startswith("/") else "/" + path


def _for_one_recipient(host: str, path: str, url: str) -> bool:
    """Whether the URL was made for one recipient (or will be: a placeholder stands in it)."""
    way, _, query = path.partition("?")
    if _PLACEHOLDER.search(path) or contains_address(url):
        return True
    for pair in re.split("[&;]", query):
        name, equals, value = pair.removeprefix("amp;").partition("=")
        if _is_token(value if equals else name):
            return True
        if equals and _IDENTITY.fullmatch(name) and re.fullmatch(r"(?=.*\d)[\w.~-]{5,}", value):
            return True
    if any(name in _STATIC for name in _names_of(host)) or _SPACER.search(way.rpartition("/")[2].partition(".")[0]):
        return False
    segments = [segment.rpartition(".")[0] or segment for segment in way.split("/")]
    if any(map(_is_token, segments)):
        return True
    return _WORD.search(way) is not None and any(re.fullmatch(r"(?=.*\d)[\w~-]{4,}", one) for one in segments)


def _is_token(text: str) -> bool:
    """Whether TEXT looks drawn at random: long, letters and digits mixed, not words put together."""
    found = _TOKEN.fullmatch(text)
    if found is None:
        return False
    digits = sum(character.isdigit() for character in text)
    return digits >= 2 and not _SEPARATED.match(text)


# --- images ---

_SIDE: Final = re.compile(
    r"(?:^|;)\s*(?P<limit>(?:max|min)-)?(?P<side>width|height)\s*:\s*(?P<size>\d+(?:\.\d+)?)(?:px)?\s*(?![\d.%a-z])"
)
_UNSHOWN: Final = re.compile(
    r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*hidden|opacity\s*:\s*0(?:\.0+)?\s*(?:;|!|$))"
)
_SIZE: Final = re.compile(r"\s*(\d{1,6})(?:\.\d+)?\s*(?:px)?\s*$")


def _unseen(attributes: dict[str, str]) -> bool | None:
    """Whether nobody sees an image with ATTRIBUTES; None where they do not say."""
    sides: dict[str, float] = {}
    for side in ("width", "height"):
        size = _SIZE.match(attributes.get(side, ""))
        if size:
            sides[side] = float(size[1])
    style = attributes.get("style", "").lower()
    limits: dict[str, float] = {}
    for found in _SIDE.finditer(style):
        if found["limit"] == "max-":
            limits[found["side"]] = float(found["size"])
        elif found["limit"] is None:
            sides[found["side"]] = float(found["size"])
        elif float(found["size"]) > UNSEEN:
            return False
    for side, limit in limits.items():
        sides[side] = min(limit, sides.get(side, limit))
    if len(sides) == 2 and max(sides.values()) <= UNSEEN:
        return True
    if sides and max(sides.values()) > UNSEEN:
        return False
    return True if _UNSHOWN.search(style) or "hidden" in attributes else None


# --- the body ---

_IMG: Final = re.compile(rb"<img(?=[\t\n\f\r /])")
_SHORT_TAG: Final = 2_048
_MAY_BE_UNSEEN: Final = re.compile(rb"(?:width|height)[\s\"']*[:=][\s\"']*0*[0-3](?![\d.%])|display|hidden|opacity")


def find(html: bytes, own: tuple[str, ...] = ()) -> tuple[ForeignTracker, ...]:
    """The trackers in HTML (one part's decoded body in a charset that writes markup in plain ASCII), in order.

    OWN: base URLs of this tracker, whose pixels and links are no foreign ones.
    """
    bases = tuple(base.lower().partition("//")[2].rstrip("/") + "/" for base in own)
    if not _may_hold_any(html, bases):
        return ()
    found = []
    for tag in _tags(html, 0, len(html), live=True):
        tracker = _pixel(tag, bases) if tag["name"].lower() == b"img" else _link(tag, bases)
        if tracker is not None:
            found.append(tracker)
    return tuple(found)


def _may_hold_any(html: bytes, own: tuple[str, ...]) -> bool:
    """A quick look, so that a body without any costs little: whether the exact one is worth while."""
    lowered = html.lower()
    urls = b"\n".join(set(_ANY_URL.findall(lowered))).decode("latin-1")
    if _HINT.search(urls) or any(map(_may_track, set(_HOST.findall(urls)))):
        return True
    for image in _IMG.finditer(lowered):
        tag = OPENED.match(html, image.start(), image.start() + _SHORT_TAG)
        if tag is None or (_MAY_BE_UNSEEN.search(lowered, *tag.span()) and _pixel(tag, own) is not None):
            return True  # or a tag too long for a quick look
    return False


def _may_track(host: str) -> bool:
    """Whether a known service runs on HOST."""
    return any(name in _HOSTS or _DIGITS.sub("#", name) in _HOSTS for name in _names_of(host))


def _tags(body: bytes, start: int, end: int, *, live: bool) -> Iterator[re.Match[bytes]]:
    """The images and links between START and END that a mail program shows, as `markup.OPENED` reads their tags."""
    constructs = CONSTRUCT if live else CONSTRUCT_IN_COMMENT
    position: int | None = start
    while position is not None:
        restart: int | None = None
        for found in constructs.finditer(body, position, end):
            kind = found.lastgroup
            if kind == "attributes" or kind is None:
                tag = OPENED.match(body, found.start(), found.end()) if kind or _is_image(body, found) else None
                if tag is not None:
                    yield tag
            elif kind == "comment":
                condition = CONDITION.match(body, *found.span("comment"))
                if condition is not None:
                    yield from _tags(body, condition.end(), found.end("comment"), live=False)
            elif kind == "open" and found["open"].lower() != b"body":
                restart = raw_text_ends(found["open"].lower(), body, found.end(), end)
                break
            elif kind == "broken":
                nested = None if live else CONDITION.match(body, found.start() + 4, end)
                restart = nested.end() if nested else None
                break
        position = restart


def _is_image(body: bytes, found: re.Match[bytes]) -> bool:
    return body[found.start() + 1 : found.start() + 4].lower() == b"img"


def _pixel(tag: re.Match[bytes], own: tuple[str, ...]) -> ForeignTracker | None:
    attributes = _attributes(tag)
    source = _cleaned(attributes.get("src", ""))
    parts = _split(source)
    if parts is None or _is_own(source, own):
        return None
    unseen = _unseen(attributes)
    if unseen is False:
        return None
    host, path = parts
    vendor = _vendor("unseen" if unseen else "pixel", host, path)
    if vendor is None and unseen and (_vendor("link", host, path) or _for_one_recipient(host, path, source)):
        vendor = _vendor("link", host, path) or host
    return None if vendor is None else ForeignTracker("pixel", vendor, *tag.span())


def _link(tag: re.Match[bytes], own: tuple[str, ...]) -> ForeignTracker | None:
    for found in ATTRIBUTE.finditer(tag.string, *tag.span("attributes")):
        if found["name"].lower() == b"href":  # the first wins
            group = found.lastgroup or "name"
            url = "" if group == "name" else _cleaned(attribute_text(found[group], "latin-1") or "")
            parts = _split(url)
            if parts is None or _is_own(url, own):
                return None
            vendor = _vendor("link", *parts)
            return None if vendor is None else ForeignTracker("link", vendor, *found.span(group))
    return None


def _attributes(tag: re.Match[bytes]) -> dict[str, str]:
    """The attributes of TAG that matter here, by name in lower case; the first of a name wins."""
    found: dict[str, str] = {}
    for attribute in ATTRIBUTE.finditer(tag.string, *tag.span("attributes")):
        name = attribute["name"].lower().decode("latin-1")
        if name in ("src", "width", "height", "style", "hidden") and name not in found:
            group = attribute.lastgroup or "name"
            found[name] = "" if group == "name" else attribute_text(attribute[group], "latin-1") or ""
    return found


def _is_own(url: str, own: tuple[str, ...]) -> bool:
    return bool(own) and url.partition("//")[2].startswith(own)


def is_ours(tracker: ForeignTracker) -> bool:
    """Whether TRACKER was made by this program, in whichever installation: it asked first."""
    return tracker.vendor == OURSELVES
