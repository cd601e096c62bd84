"""Finds other people's trackers in HTML: open pixels, and links that lead through a redirect which counts.

How a pixel is told from a spacer of an old template: a pixel either stands at an address that a tracking service is
known by, or nobody can see it (both sides at most three pixels, or hidden) *and* its URL is made for one recipient: a
long token, an identity in the query, a placeholder, an e-mail address. A spacer is the same for everybody: a short
name, no query, often relative, often with one long side. The law: time is linear in the input.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

from tracker.core.address import contains_address
from tracker.core.attribute import attribute_text
from tracker.core.foreign_trackers import KNOWN, STATIC_HOSTS, Known
from tracker.core.html import Anchor, Image, scan
from tracker.core.markup import ATTRIBUTE

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
_ANY_HOST: Final = re.compile(r"//(?:[^/?#\\@\s\"'<>]*@)?([^/?#\\:\s\"'<>]++)")
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

_TINY: Final = re.compile(rb"(?:width|height)[\s\"']*[:=][\s\"']*0*[0-3](?![\d.%])")


def find(html: bytes, own: tuple[str, ...] = ()) -> tuple[ForeignTracker, ...]:
    """The trackers in HTML (one part's decoded body in a charset that writes markup in plain ASCII), in order.

    OWN: base URLs of this tracker, whose pixels and links are no foreign ones.
    """
    seen = scan(html)
    return among(html, seen.anchors, seen.images, own)


def among(
    html: bytes, anchors: Sequence[Anchor], images: Sequence[Image], own: tuple[str, ...]
) -> tuple[ForeignTracker, ...]:
    """The same, where ANCHORS and IMAGES were found in HTML already."""
    bases = _beginnings(own)
    links: dict[bytes, list[Anchor]] = defaultdict(list)
    for anchor in anchors:
        links[html[anchor.start : anchor.end]].append(anchor)
    found: list[ForeignTracker] = []
    if _may_hold_known([*links, *(html[start:end] for start, end, _ in images)]):
        for value, alike in links.items():
            vendor = _vendor_of_link(value, bases)
            if vendor is not None:
                found += [ForeignTracker("link", vendor, anchor.start, anchor.end) for anchor in alike]
    else:
        images = [image for image in images if _may_be_unseen(html[slice(*image.attributes)].lower())]
    for image in images:
        vendor = _vendor_of_image(_attributes(html, image), bases)
        if vendor is not None:
            found.append(ForeignTracker("pixel", vendor, image.start, image.end))
    return tuple(sorted(found, key=lambda one: one.start))


@cache
def _beginnings(own: tuple[str, ...]) -> tuple[str, ...]:
    """How URLs of this tracker begin after their scheme, from its base URLs, which settings name."""
    return tuple(base.lower().partition("//")[2].rstrip("/") + "/" for base in own)


def _may_hold_known(texts: Sequence[bytes]) -> bool:
    """A quick look: whether one of TEXTS may name a service that is known."""
    urls = b"\n".join(texts).lower().decode("latin-1")
    return _HINT.search(urls) is not None or any(map(_may_track, set(_ANY_HOST.findall(urls))))


def _may_be_unseen(attributes: bytes) -> bool:
    """A quick look: whether an image with ATTRIBUTES (lower case) may be one that nobody sees."""
    if b"hidden" in attributes or b"opacity" in attributes:
        return True
    if attributes.count(b"display") != attributes.count(b"display:block"):
        return True
    return _TINY.search(attributes) is not None


def _may_track(host: str) -> bool:
    """Whether a known service runs on HOST."""
    return any(name in _HOSTS or _DIGITS.sub("#", name) in _HOSTS for name in _names_of(host))


def _vendor_of_image(attributes: dict[str, str], own: tuple[str, ...]) -> str | None:
    """Whose pixel an image with ATTRIBUTES is; None where it is none."""
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
    return vendor


def _vendor_of_link(value: bytes, own: tuple[str, ...]) -> str | None:
    """Whose redirect a link with VALUE leads through; None where it leads through none."""
    url = _cleaned(attribute_text(value, "latin-1") or "")
    parts = _split(url)
    return None if parts is None or _is_own(url, own) else _vendor("link", *parts)


def _attributes(html: bytes, image: Image) -> dict[str, str]:
    """The attributes of IMAGE that matter here, by name in lower case; the first of a name wins."""
    found: dict[str, str] = {}
    for attribute in ATTRIBUTE.finditer(html, *image.attributes):
        name = attribute["name"].lower().decode("latin-1")
        if name in ("src", "width", "height", "style", "hidden") and name not in found:
            group = attribute.lastgroup or "name"
            found[name] = "" if group == "name" else attribute_text(attribute[group], "latin-1") or ""
    return found


def _is_own(url: str, own: tuple[str, ...]) -> bool:
    return bool(own) and url.partition("//")[2].startswith(own)
