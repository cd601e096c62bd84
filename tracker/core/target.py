"""Reads a link's value as a browser would open it, in the pure ASCII of a Location header.

Follows the WHATWG URL standard (4.4, basic URL parser) for http and https only. The law: what is not certain is None,
so that the link is left alone; and nothing is changed but what a browser itself would change before it asks.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from ipaddress import IPv6Address
from typing import Final
from urllib.parse import unquote_to_bytes

import idna

from tracker.core.attribute import attribute_text
from tracker.core.masking import HIDDEN, masked_path
from tracker.model import Link, LinkNumber

LONGEST_PATH: Final = 200
"""Characters of a path that figures show."""
_NUMBERS: Final = 1 << 47

_C0_OR_SPACE: Final = "".join(map(chr, range(0x21)))
_TAB_OR_NEWLINE: Final = str.maketrans("", "", "\t\n\r")
_UNCERTAIN: Final = re.compile("[\x00\x80-\x9f\ud800-\udfff\ufffd]")
_WEB: Final = re.compile(r"[Hh][Tt][Tt][Pp][Ss]?:")
_URL: Final = re.compile(
    r"(?P<scheme>[Hh][Tt][Tt][Pp][Ss]?)://(?P<user>(?:[^/?#\\]*@)?)(?P<host>\[[0-9A-Fa-f:.]++\]|[^/?#\\@:\[\]]++)"
    r"(?P<port>(?::[0-9]*+)?)(?P<path>(?:/[^?#]*+)?)(?P<rest>(?:[?#](?s:.*+))?)"
)
"""Only what all readers split alike: no backslash and no odd number of slashes before the path."""
_LONGEST_HOST: Final = 255
_ASCII_HOST: Final = re.compile(r"[A-Za-z0-9._~-]++")
_NOT_SENT: Final = re.compile("[\x00-\x20\x7f-\U0010ffff]")


def read(raw: bytes, charset: str) -> str | None:
    """The http(s) URL that a browser opens for the attribute value RAW in CHARSET, as printable ASCII.

    None for other schemes, relative links, and whatever is not certain to be read alike everywhere.
    """
    text = attribute_text(raw, charset)
    return None if text is None else resolve(text)


def is_web(text: str) -> bool:
    """Whether TEXT, an attribute's text, is an absolute URL with the scheme http or https."""
    return _WEB.match(_trimmed(text)) is not None


def resolve(text: str) -> str | None:
    """The http(s) URL that a browser opens for TEXT, as printable ASCII; None as for `read`."""
    url = _trimmed(text)
    safe = url.isascii() and url.isprintable() and " " not in url
    if not safe and _UNCERTAIN.search(url):
        return None
    parts = _URL.fullmatch(url)
    if parts is None or not _is_port(parts["port"]):
        return None
    host = parts["host"]
    if _ASCII_HOST.fullmatch(host):
        return url if safe else _NOT_SENT.sub(_percent_encoded, url)
    if host.startswith("["):
        if not _is_ipv6(host[1:-1]):
            return None
    else:
        ascii_host = _host_to_ascii(host)
        if ascii_host is None:
            return None
        url = f"{parts['scheme']}://{parts['user']}{ascii_host}{parts['port']}{parts['path']}{parts['rest']}"
    return _NOT_SENT.sub(_percent_encoded, url)


def authority_host(url: str) -> str:
    """The host of URL (as `resolve` returns it) in lower case, without user name and port; IPv6 without brackets."""
    parts = _URL.fullmatch(url)
    return parts["host"].strip("[]").lower() if parts else ""


def report(url: str) -> Link:
    """URL (as `resolve` returns it) as figures name it: host and path without the query, secrets and addresses masked.

    The number is an unkeyed digest of that name, so that the copies of a campaign agree on it; it is never 0.
    """
    parts = _URL.fullmatch(url)
    host = parts["host"].strip("[]").lower() if parts else ""
    path = masked_path(parts["path"] if parts else "") or "/"
    digest = blake2b(f"{host}{path}".encode(), digest_size=8, person=b"link number").digest()
    number = LinkNumber(int.from_bytes(digest, "big") % (_NUMBERS - 1) + 1)
    return Link(number, host, path if len(path) <= LONGEST_PATH else path[:LONGEST_PATH] + HIDDEN)


def _trimmed(text: str) -> str:
    """TEXT without the white space that the URL parser takes out first."""
    text = text.strip(_C0_OR_SPACE)
    return text if text.isprintable() else text.translate(_TAB_OR_NEWLINE)


def _is_port(port: str) -> bool:
    return len(port) < 2 or (len(port) <= 6 and int(port[1:]) < 65536)


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


def _host_to_ascii(host: str) -> str | None:
    """HOST as browsers look it up: UTS #46, non-transitional, as the URL standard has it (section 3.3)."""
    if len(host) > _LONGEST_HOST:
        return None
    try:
        text = unquote_to_bytes(host).decode("utf-8") if "%" in host else host
        mapped = idna.uts46_remap(text, std3_rules=False, transitional=False)
        labels = [one if one.isascii() else "xn--" + one.encode("punycode").decode() for one in mapped.split(".")]
    except (UnicodeError, idna.IDNAError):
        return None
    ascii_host = ".".join(labels)
    return ascii_host if _ASCII_HOST.fullmatch(ascii_host) else None


def _percent_encoded(found: re.Match[str]) -> str:
    return "".join(f"%{octet:02X}" for octet in found.group().encode())
