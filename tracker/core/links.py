"""Judges a link of an HTML body: where it leads, or why it is left as it stands."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from typing import Final
from urllib.parse import urlsplit

from tracker.core import target
from tracker.core.address import contains_address_in_url
from tracker.core.attribute import attribute_text
from tracker.core.html import Anchor
from tracker.model import Left

# Template languages whose placeholders somebody may still fill in on the way, also as editors percent-encode them.
_PLACEHOLDER: Final = re.compile(
    r"\{\{|%7[Bb]%7[Bb]"  # Handlebars, Liquid, Jinja, SendGrid, SES
    r"|\{%|%7[Bb]%25"
    r"|\*(?:\||%7[Cc])[^|]{1,80}?(?:\||%7[Cc])\*"  # Mailchimp, Mandrill
    r"|%%[A-Za-z_][^%\s]*%%"  # Salesforce Marketing Cloud
    r"|%(?![0-9A-Fa-f]{2})[A-Za-z_][\w.-]*%"  # Mailgun
    r"|\[\[[^\]]{1,80}\]\]"
    r"|\$\{|#\{"
    r"|<%|&lt;%"
)
_MAY_BE_PLACEHOLDER: Final = re.compile(r"[{%*\[<]|&lt;%")
"""A quick look: one of these stands in every placeholder."""
_INVISIBLE: Final = re.compile("[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_AROUND: Final = " \t\r\n\f\u00a0<>()[]{}\"'`«»„“”‚‘’›‹.,;:!?→»>…-–—|*•"
_MAY_SHOW: Final = re.compile(rb"[.:&]")
"""A quick look: a text without any of these shows no host."""
_SHOWN_URL: Final = re.compile(r"(?i:https?:|www\d?\.\w)")
_SHOWN_HOST: Final = re.compile(
    r"(?:[\w-]+\.)+(?P<top>xn--[\w-]+|[^\W\d_]{2,})(?P<more>\.?(?::\d+)?(?:[/?#]\S*)?)|\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?(?:/\S*)?"
)
_FILE: Final = re.compile(r"(?i:pdf|docx?|xlsx?|pptx?|od[tsp]|rtf|txt|csv|jpe?g|png|gif|svg|html?|ics|js)")
"""Ends of file names that are no top-level domains: `offer.pdf` is not a host."""


@dataclass(frozen=True, slots=True)
class LinkRules:
    """Which links of a message stay as they are."""

    tracker_urls: tuple[str, ...]
    """Base URLs of this tracker, the current one and former ones."""
    unsubscribe: frozenset[str] = frozenset()
    """URLs of the List-Unsubscribe header, as they stand there."""
    rewrite_visible_urls: bool = False
    excluded_hosts: tuple[str, ...] = ()
    """Hosts (their subdomains with them), or patterns of host and path such as `accounts.example.org/login*`."""
    _trackers: tuple[tuple[str, str], ...] = field(init=False, repr=False, compare=False)
    _unsubscribe: frozenset[str] = field(init=False, repr=False, compare=False)
    _unsubscribe_lowered: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_trackers", _places(self.tracker_urls))
        object.__setattr__(self, "_unsubscribe", frozenset(map(_without_fragment, self.unsubscribe)))
        object.__setattr__(self, "_unsubscribe_lowered", frozenset(map(str.lower, self._unsubscribe)))

    def is_tracker(self, url: str) -> bool:
        """Whether URL leads into this tracker, with whatever scheme."""
        lowered = url.lower()
        if not any(ours in lowered for ours, _ in self._trackers):  # spares most links the exact look
            return False
        authority, path = _authority_and_path(url)
        return any(authority == ours and (path + "/").startswith(base + "/") for ours, base in self._trackers)

    def unsubscribes(self, url: str) -> bool:
        """Whether URL (as `target.resolve` returns it) is one of the List-Unsubscribe header."""
        if not self._unsubscribe or url.partition("#")[0].lower() not in self._unsubscribe_lowered:
            return False
        return _without_fragment(url) in self._unsubscribe

    def excludes(self, url: str) -> bool:
        """Whether a setting excludes URL."""
        if not self.excluded_hosts:
            return False
        host = target.authority_host(url)
        where = host + urlsplit(url).path.lower()
        return any(_matches(pattern.lower(), host, where) for pattern in self.excluded_hosts)


class Judge:
    """Judges the links of one body; remembers the values it has seen, since newsletters repeat them."""

    def __init__(self, charset: str, rules: LinkRules) -> None:
        """CHARSET: of the body, by a name that Python knows, or empty."""
        self._charset = charset
        self._rules = rules
        self._seen: dict[bytes, str | Left | None] = {}

    def __call__(self, anchor: Anchor, value: bytes) -> str | Left | None:
        """As `judge` says; VALUE is the href value of ANCHOR in the body's own bytes."""
        if anchor.marked:
            return _marked(value, self._charset)
        try:
            verdict = self._seen[value]
        except KeyError:
            verdict = self._seen[value] = _destination(value, self._charset, self._rules)
        # A member of Left is a str, too.
        if verdict is None or self._rules.rewrite_visible_urls or isinstance(verdict, Left):
            return verdict
        return Left.VISIBLE_URL if shows_url(anchor.text, self._charset) else verdict


def judge(anchor: Anchor, charset: str, rules: LinkRules) -> str | Left | None:
    """Where ANCHOR of a body in CHARSET leads, as an ASCII URL; or why it is left; None when it is no http link.

    The URL is as a browser opens it, its scheme in lower case.
    """
    return Judge(charset, rules)(anchor, anchor.value)


def _marked(value: bytes, charset: str) -> Left | None:
    text = attribute_text(value, charset)
    if text is None:
        return _unreadable(value)
    return Left.NO_TRACK_MARK if target.is_web(text) else None


def _unreadable(value: bytes) -> Left | None:
    return Left.UNREADABLE if target.is_web(value.decode("latin-1")) else None


def _destination(value: bytes, charset: str, rules: LinkRules) -> str | Left | None:
    """Where a link with VALUE leads, whatever a reader sees of it."""
    text = attribute_text(value, charset)
    return _unreadable(value) if text is None else destination(text, rules)


def holds_placeholder(text: str) -> bool:
    """Whether somebody may still fill something in in TEXT on its way."""
    return _MAY_BE_PLACEHOLDER.search(text) is not None and _PLACEHOLDER.search(text) is not None


def destination(text: str, rules: LinkRules) -> str | Left | None:
    """Where TEXT, a link's value, leads, as an ASCII URL; or why it is left; None when it is no http link."""
    if not target.is_web(text):
        return None
    if holds_placeholder(text):
        return Left.PLACEHOLDER
    url = target.resolve(text)
    if url is None:
        return Left.UNREADABLE
    if rules.is_tracker(url):
        return Left.TRACKER_LINK
    if rules.unsubscribes(url):
        return Left.UNSUBSCRIBE
    if rules.excludes(url):
        return Left.EXCLUDED
    if contains_address_in_url(url):
        return Left.ADDRESS_IN_TARGET
    scheme, colon, rest = url.partition(":")
    return url if scheme.islower() else scheme.lower() + colon + rest


def shows_url(visible: bytes, charset: str) -> bool:
    """Whether VISIBLE, a link's text in HTML without tags, reads as a URL or as the name of a host."""
    if not _MAY_SHOW.search(visible):
        return False
    try:
        text = visible.decode(charset or "utf-8", "replace")
    except LookupError:
        text = visible.decode("utf-8", "replace")
    text = _INVISIBLE.sub("", html.unescape(text)).strip(_AROUND)
    if _SHOWN_URL.match(text):
        return True
    host = _SHOWN_HOST.fullmatch(text)
    return host is not None and (bool(host["more"]) or not _FILE.fullmatch(host["top"] or ""))


@cache
def _places(urls: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Authority and path of each of URLS, which settings name: the same for every message."""
    return tuple(map(_authority_and_path, urls))


def _authority_and_path(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    authority = parts.netloc.rpartition("@")[2].lower()
    default = ":80" if parts.scheme.lower() == "http" else ":443"
    return authority.removesuffix(default), parts.path.rstrip("/")


def _without_fragment(url: str) -> str:
    """URL as it can be compared: as a browser opens it, scheme and host in lower case, no fragment."""
    whole = (target.resolve(url) or url).partition("#")[0]
    head, slashes, rest = whole.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{head.lower()}{slashes}{authority.lower()}{slash}{path}"


def _matches(pattern: str, host: str, where: str) -> bool:
    if "/" in pattern or ("*" in pattern and not pattern.startswith("*.")):
        return fnmatchcase(where, pattern)
    name = pattern.removeprefix("*").strip(".")
    return host == name or host.endswith("." + name)
