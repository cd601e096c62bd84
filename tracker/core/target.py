"""Reads a link's value as a browser would open it, in the pure ASCII of a Location header.

Follows the WHATWG HTML standard (13.2.5.72, character references in attributes) and the WHATWG URL standard (4.4,
basic URL parser), for http and https only. The law: what is not certain is None, so that the link is left alone; and
nothing is changed but what a browser itself would change before it sends the request.
"""

from __future__ import annotations

import html.entities
import re
from hashlib import blake2b
from typing import Final
from urllib.parse import unquote, unquote_to_bytes

import idna

from tracker.core.address import contains_address
from tracker.model import Link, LinkNumber

_REFERENCE: Final = re.compile(
    r"&(?:#(?P<decimal>[0-9]++);?|#[xX](?P<hex>[0-9A-Fa-f]++);?|(?P<name>[A-Za-z][A-Za-z0-9]*+;?))"
)
_LEGACY: Final = frozenset(name for name in html.entities.html5 if not name.endswith(";"))
# 13.2.5.80: references to C1 controls mean what Windows-1252 has there
_C1: Final = {
    code: bytes([code]).decode("cp1252") for code in range(0x80, 0xA0) if code not in (0x81, 0x8D, 0x8F, 0x90, 0x9D)
}

_C0_OR_SPACE: Final = "".join(map(chr, range(0x21)))
_TAB_OR_NEWLINE: Final = str.maketrans("", "", "\t\n\r")
_UNCERTAIN: Final = re.compile("[\x00\x80-\x9f\ud800-\udfff\ufffd]")
_WEB: Final = re.compile(r"[Hh][Tt][Tt][Pp][Ss]?:")
_URL: Final = re.compile(
    r"(?P<scheme>[Hh][Tt][Tt][Pp][Ss]?)://(?P<user>(?:[^/?#\\]*@)?)(?P<host>\[[0-9A-Fa-f:.]++\]|[^/?#\\@:\[\]]++)"
    r"(?P<port>(?::[0-9]*+)?)(?P<rest>(?:[/?#](?s:.*+))?)"
)
_ASCII_HOST: Final = re.compile(r"[A-Za-z0-9._~-]++")
_NOT_SENT: Final = re.compile("[\x00-\x20\x7f-\U0010ffff]")
_SAFE: Final = re.compile(r"[\x21-\x7e]++")

HIDDEN: Final = "..."
"""Stands for what is not reported of a path."""
LONGEST_PATH: Final = 200
_NUMBERS: Final = 1 << 47
_PATH_ENDS: Final = re.compile(r"[?#]")
_UUID: Final = re.compile(r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}")
_RUN: Final = re.compile(r"[A-Za-z0-9]{10,}")
_TURN: Final = re.compile(
    r"[a-z](?=[A-Z0-9])|[A-Z](?=[0-9])|[0-9](?=[A-Za-z])"
)  # from one kind of character to another
_SEPARATOR: Final = re.compile(r"[^A-Za-z0-9]+")
_HEXADECIMAL: Final = re.compile(r"[0-9A-Fa-f]+")
_ALL_KINDS: Final = re.compile(r"(?=[^a-z]*[a-z])(?=[^A-Z]*[A-Z])[^0-9]*[0-9]")


def read(raw: bytes, charset: str) -> str | None:
    """The http(s) URL that a browser opens for the attribute value RAW in CHARSET, as printable ASCII.

    None for other schemes, relative links, and whatever is not certain to be read alike everywhere.
    """
    text = attribute_text(raw, charset)
    return None if text is None else resolve(text)


def attribute_text(raw: bytes, charset: str) -> str | None:
    """The attribute value RAW as text, its character references decoded; None when it is not text in CHARSET."""
    if raw.isascii():
        text = raw.decode("ascii")
    else:
        decoded = _decode(raw, charset)
        if decoded is None:
            return None
        text = decoded
    return _REFERENCE.sub(_referenced, text) if "&" in text else text


def is_web(text: str) -> bool:
    """Whether TEXT, an attribute's text, is an absolute URL with the scheme http or https."""
    return _WEB.match(_trimmed(text)) is not None


def resolve(text: str) -> str | None:
    """The http(s) URL that a browser opens for TEXT, as printable ASCII; None as for `read`."""
    url = _trimmed(text)
    if _UNCERTAIN.search(url):
        return None
    parts = _URL.fullmatch(url)
    if parts is None:
        return None
    host = parts["host"]
    if not host.startswith("[") and not _ASCII_HOST.fullmatch(host):
        ascii_host = _host_to_ascii(host)
        if ascii_host is None:
            return None
        url = f"{parts['scheme']}://{parts['user']}{ascii_host}{parts['port']}{parts['rest']}"
    if not _SAFE.fullmatch(url):
        url = _NOT_SENT.sub(_percent_encoded, url)
    return url


def authority_host(url: str) -> str:
    """The host of URL (as `resolve` returns it) in lower case, without user name and port; IPv6 without brackets."""
    parts = _URL.fullmatch(url)
    return parts["host"].strip("[]").lower() if parts else ""


def report(url: str) -> Link:
    """URL as figures name it: host and path, without the query, addresses and whatever looks like a secret masked.

    The number is an unkeyed digest of that name, so that the copies of a campaign agree on it.
    """
    parts = _URL.fullmatch(url)
    path = _PATH_ENDS.split(parts["rest"], maxsplit=1)[0] if parts else ""
    host = authority_host(url)
    masked = "/".join(map(_reported, path.split("/"))) or "/"
    if contains_address(host + masked):
        masked = "/" + HIDDEN
    digest = blake2b(f"{host}{masked}".encode(), digest_size=8, person=b"link number").digest()
    number = LinkNumber(int.from_bytes(digest, "big") % (_NUMBERS - 1) + 1)
    shown = masked if len(masked) <= LONGEST_PATH else masked[:LONGEST_PATH] + HIDDEN
    return Link(number, host, shown)


def _reported(segment: str) -> str:
    return HIDDEN if contains_address(segment) or _looks_secret(unquote(segment)) else segment


def _looks_secret(segment: str) -> bool:
    """Whether SEGMENT is something nobody would say: a UUID, digits without end, letters and digits at random.

    Rather a name too many than a password reset link in the figures.
    """
    if len(segment) < 10:
        return False
    if _UUID.search(segment):
        return True
    for run in _RUN.findall(segment):
        turns = len(_TURN.findall(run))
        if len(run) >= 20 or (len(run) >= 14 and run.isdecimal()) or (len(run) >= 10 and turns >= 3):
            return True
        if len(run) >= 12 and turns and _HEXADECIMAL.fullmatch(run):
            return True
    turns = len(_TURN.findall(_SEPARATOR.sub("", segment)))
    return len(segment) >= 20 and turns * 4 >= len(segment) and _ALL_KINDS.match(segment) is not None


def _trimmed(text: str) -> str:
    return text.strip(_C0_OR_SPACE).translate(_TAB_OR_NEWLINE)


def _decode(raw: bytes, charset: str) -> str | None:
    if charset.lower() in ("", "us-ascii", "ascii"):
        charset = "utf-8"  # 8-bit text that calls itself ASCII is UTF-8 nearly always
    try:
        return raw.decode(charset)
    except (LookupError, UnicodeError):
        return None


def _referenced(found: re.Match[str]) -> str:
    """What a character reference in an attribute stands for."""
    name = found["name"]
    if name is None:
        digits = found["decimal"]
        return _numbered(int(digits) if digits and len(digits) < 10 else int(found["hex"] or "FFFFFFFF", 16))
    if name.endswith(";"):
        if name in html.entities.html5:
            return html.entities.html5[name]
        return found.group()  # a legacy name may begin it, but is followed by a letter, a digit or ";"
    follows = found.string[found.end() : found.end() + 1]
    return html.entities.html5[name] if name in _LEGACY and follows != "=" else found.group()


def _numbered(code: int) -> str:
    if code in _C1:
        return _C1[code]
    if code == 0 or code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        return "\ufffd"
    return chr(code)


def _host_to_ascii(host: str) -> str | None:
    """HOST as browsers look it up: UTS #46, non-transitional, as the URL standard has it (section 3.3)."""
    try:
        text = unquote_to_bytes(host).decode("utf-8") if "%" in host else host
        mapped = idna.uts46_remap(text, std3_rules=False, transitional=False)
        labels = [
            label if label.isascii() else "xn--" + label.encode("punycode").decode() for label in mapped.split(".")
        ]
    except (UnicodeError, idna.IDNAError):
        return None
    ascii_host = ".".join(labels)
    return ascii_host if _ASCII_HOST.fullmatch(ascii_host) else None


def _percent_encoded(found: re.Match[str]) -> str:
    return "".join(f"%{octet:02X}" for octet in found.group().encode())
