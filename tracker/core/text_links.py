"""Finds http(s) URLs in plain text, as mail programs make links of them.

The law: a URL is taken only where programs agree on its first and its last character; whatever else looks like one is
left, with its reason. That leaves out URLs that go on in the next line, brackets that do not match, and characters
beyond ASCII that no URL and no sentence has there. Time is linear in the input.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tracker.core.charset import View
from tracker.core.links import holds_placeholder
from tracker.model import Left

_CHARACTER: Final = rb"[!#-;=?-~]"
"""Of a URL as written, or of a placeholder in it: what no program ends a link before, of all that is ASCII."""
_URL: Final = re.compile(rb"(?i:https?)://" + _CHARACTER + rb"*+")
_SCHEME_ALONE: Final = re.compile(r"(?i:https?)://\Z")
_NO_CHARACTER: Final = re.compile(rb"[^!#-;=?-~]")
_LONGEST: Final = 2_000
"""Octets of a URL beyond its first letter that is not ASCII."""
_LOOKED_BACK: Final = 256
"""Octets before a URL."""

# --- where one may begin ---

_BEFORE: Final = frozenset(b"(<[>\"'*_~|`:,;!")
"""What may stand right before a URL, beside blanks and whatever is not ASCII."""
_OTHER_ADDRESS: Final = re.compile(rb"(?i)www\.|@|:/")
_MARKUP: Final = re.compile(rb"=(?:3[Dd])?[\"']?\Z")
_ASCII_AGAIN: Final = (b"\x1b(B", b"\x1b(J")
"""How two-byte text ends in ISO-2022-JP."""

# --- where one ends ---

_SENTENCE: Final = frozenset(".,;:!?'")
_CLOSING: Final = {")": "(", "]": "["}
_AROUND: Final = frozenset("'*_~|`")
"""What people put on both sides of a URL."""
_UNCERTAIN: Final = re.compile(
    r"[{}|\\^`]"
    r"|[*~-]\Z"  # some programs take it along
    r"|&(?:gt|lt|quot|nbsp|amp)\Z"
    r"|[^/=?&#%:](?i:https?)://"  # two URLs without a blank between them
)
_PLACEHOLDER_FOLLOWS: Final = b"<%"
_PUNCTUATION: Final = frozenset({"Po", "Ps", "Pe", "Pi", "Pf", "Pd", "Zs"})
_INTERNATIONAL: Final = re.compile("[!#-;=?-~\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0370-\u052f]*+")
"""ASCII, and the letters of Latin, Greek and Cyrillic: scripts in which words have blanks between them."""

# --- whether it goes on in the next line ---

_LONG_LINE: Final = 60
"""Octets; shorter lines are not broken by programs, only by people, who break after a word."""
_LINE_END: Final = re.compile(rb"(?P<soft> ?)\r?\n")
_QUOTED: Final = re.compile(rb"(?:> ?)*")
"""How quoted lines begin (RFC 3676, section 4.5); every line begins so, if with nothing."""
_NEXT: Final = re.compile(rb"[ \t]*+(?P<token>[A-Za-z0-9/?=&%#._~+-][^\x00-\x20<>\"]*+)(?P<more>[^\r\n]?+)")
_NUMBER: Final = re.compile(rb"(?:[0-9]{1,3}|[A-Za-z])[.):]\Z")
_WORD: Final = re.compile(rb"[A-Za-z\x80-\xff'-]++[.,;:!?]*+\Z")
_ALNUM: Final = re.compile(rb"[A-Za-z0-9]")
_IN_URLS: Final = re.compile(rb"[/?=&%#]")
_ADDRESS_BEGINS: Final = re.compile(rb"(?i:https?://|www\.)")


@dataclass(frozen=True, slots=True)
class TextLink:
    """Something that looks like a URL."""

    start: int
    """In the text of the view."""
    end: int
    found: str | Left
    """The URL as written; or why it is left."""


def scan(view: View, *, flowed: bool = False, delsp: bool = False) -> Iterator[TextLink]:
    """The URLs in VIEW, a plain text, in order.

    FLOWED, DELSP: as the type says (RFC 3676), a line that ends in a blank goes on in the next, without the blank.
    """
    text = view.text
    at = line = 0
    while (found := _next(text, at)) is not None:
        line = max(line, text.rfind(b"\n", at, found.start()) + 1)
        end, verdict = _read(view, found, line, joined=flowed and delsp)
        if verdict is not None:
            yield TextLink(found.start(), end, verdict)
        at = max(end, found.start() + 1)


def _next(text: bytes, at: int) -> re.Match[bytes] | None:
    """The first URL in TEXT from AT on. What all of them have in common is found faster than a pattern."""
    while (mark := text.find(b"://", at)) >= 0:
        scheme = text[max(at, mark - 5) : mark].lower()
        if scheme.endswith((b"http", b"https")):
            return _URL.match(text, mark - (5 if scheme.endswith(b"s") else 4))
        at = mark + 3
    return None


def _read(view: View, found: re.Match[bytes], line: int, *, joined: bool) -> tuple[int, str | Left | None]:
    """Where what was FOUND ends, and the URL; or why it is left; None where it is none."""
    text, (start, stop) = view.text, found.span()
    if not _may_begin(text, start, line, joined=joined):
        return stop, Left.UNREADABLE
    written = found.group().decode("ascii")
    after = text[stop : stop + 1]
    if after >= b"\x80" or after == b"\x1b":
        longer = _with_letters(view, found.start(), stop)
        if longer is None:
            return stop, Left.UNREADABLE
        stop, written = longer
        after = text[stop : stop + 1]
    elif after and after not in b' \t\r\n\f\v<>"':
        return stop, Left.UNREADABLE
    if text.startswith(_PLACEHOLDER_FOLLOWS, stop):
        return stop, Left.PLACEHOLDER
    url = _without_sentence(written, text[start - 1 : start].decode("latin-1") if start else "")
    if _SCHEME_ALONE.match(url):
        return stop, None
    end = stop - (len(written) - len(url))  # what was taken off is ASCII
    if _is_enclosed(text, start):
        return stop, url if after == b">" and url == written and _is_certain(url) else _why_not(url)
    if not _is_certain(url):
        return stop, _why_not(written)
    if _goes_on(text, line, stop, joined=joined):
        return stop, Left.UNREADABLE
    return end, url


def _may_begin(text: bytes, start: int, line: int, *, joined: bool) -> bool:
    """Whether programs take a link to begin at START, in the line that begins at LINE."""
    if joined and not text[line:start].strip(b"> "):  # the first word of a line may belong to the last of another
        before = _softly_broken(text, line)
        if before is not None:
            return before >= 0x80 or before in _BEFORE or before in b" \t"
    if start == line or text.endswith(_ASCII_AGAIN, line, start):
        return True
    before = text[start - 1]
    if before <= 0x20 or before >= 0x80:
        return True
    if before not in _BEFORE:
        return False
    run = _NO_CHARACTER.split(text[max(line, start - _LOOKED_BACK) : start])[-1]
    return not _OTHER_ADDRESS.search(run) and not _MARKUP.search(text, max(line, start - 4), start)


def _softly_broken(text: bytes, line: int) -> int | None:
    """The octet that the soft break before LINE (RFC 3676, with DelSp) puts right before the line; None without one."""
    end = line - 1 - (text[line - 2 : line - 1] == b"\r")
    if end < 2 or text[end - 1 : end] != b" " or text[end - 2 : end - 1] == b"\n":
        return None
    return None if text.startswith(b"-- ", end - 3) and text[end - 4 : end - 3] in (b"", b"\n") else text[end - 2]


def _with_letters(view: View, start: int, stop: int) -> tuple[int, str] | None:
    """End and text of a URL whose ASCII part goes from START to STOP, where a character beyond ASCII follows."""
    raw, charset = (view.text, "utf-8") if view.codec is not None else (view.body, view.charset or "utf-8")
    if charset.lower() in ("us-ascii", "ascii"):
        charset = "utf-8"
    try:
        rest = raw[stop : stop + _LONGEST].decode(charset, "replace")
        more = _INTERNATIONAL.match(rest)
        size = 0 if more is None else more.end()
        if size and view.text[stop] != 0x1B:
            octets = len(rest[:size].encode(charset))
            if raw[stop : stop + octets].decode(charset) != rest[:size]:
                return None
        else:
            size = octets = 0
    except (LookupError, UnicodeError):
        return None
    follows = rest[size : size + 1]
    if not follows and stop + _LONGEST < len(raw):
        return None
    if follows and not follows.isspace() and follows not in '<>"' and unicodedata.category(follows) not in _PUNCTUATION:
        return None
    return stop + octets, raw[start:stop].decode("ascii") + rest[:size]


def _without_sentence(written: str, before: str) -> str:
    """WRITTEN without what belongs to the sentence or to the brackets around it; BEFORE: what stands before it."""
    surplus = {closing: written.count(closing) - written.count(opening) for closing, opening in _CLOSING.items()}
    around = before if before in _AROUND else ""
    end = len(written)
    while end:
        last = written[end - 1]
        if surplus.get(last, 0) > 0:
            surplus[last] -= 1
        elif last == around:
            around = ""
        elif last not in _SENTENCE:
            break
        end -= 1
    return written[:end]


def _is_enclosed(text: bytes, start: int) -> bool:
    """Whether a URL stands in angle brackets, as RFC 3986, appendix C, has it."""
    return text[start - 1 : start] == b"<" or text[max(0, start - 5) : start].upper() == b"<URL:"


def _is_certain(url: str) -> bool:
    """Whether all programs would take URL as a whole."""
    if _UNCERTAIN.search(url, 1):
        return False
    depth = {"(": 0, "[": 0}
    for bracket in re.findall(r"[()\[\]]", url):
        opening = _CLOSING.get(bracket, bracket)
        depth[opening] += 1 if bracket == opening else -1
        if depth[opening] < 0:
            return False
    return not any(depth.values())


def _why_not(written: str) -> Left:
    return Left.PLACEHOLDER if holds_placeholder(written) else Left.UNREADABLE


def _goes_on(text: bytes, line: int, stop: int, *, joined: bool) -> bool:
    """Whether the line that begins at LINE was broken at STOP, where a URL ends, in the middle of that URL."""
    broken = _LINE_END.match(text, stop)
    if broken is None:
        return False
    quoted, following = _QUOTED.match(text, line), _QUOTED.match(text, broken.end())
    if quoted is None or following is None or quoted[0].count(b">") != following[0].count(b">"):
        return False
    begins = following.end()
    if broken["soft"]:
        return joined and not text.startswith((b"-- \r\n", b"-- \n"), begins) and begins < len(text)
    rest = _NEXT.match(text, begins)
    if rest is None or _ADDRESS_BEGINS.match(rest["token"]) or not _ALNUM.search(rest["token"]):
        return False
    token, more = rest["token"], rest["more"]
    if more and _NUMBER.match(token):
        return False
    if _IN_URLS.search(token.rstrip(b".,;:!?")) or text[stop - 1] in b"=&%-":
        return True
    return stop - line >= _LONG_LINE and not (more and _WORD.match(token))
