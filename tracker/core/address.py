"""Finds e-mail addresses in text, in clear and in the encodings that links and identifiers carry them in.

The law: what `mask_addresses` returns contains no address as far as `contains_address` can see. Time is linear.
"""

from __future__ import annotations

import binascii
import re
import unicodedata
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote

from tracker.core.attribute import unescape

MASK: Final = "[address]"

_LOCAL: Final = r"[\w.!#$%'*+^`{|}~-]"
_PLAIN: Final = re.compile(
    r"(?:(?<!" + _LOCAL + ")" + _LOCAL + r'++|"[^"\r\n]{1,64}")'
    r"@(?!\d(?:\.\d)?x\.(?:png|jpe?g|gif|webp|svg|avif)\b)"  # logo@2x.png is a picture
    r"(?:\w[\w-]*(?:[.\u3002][\w-]+)*[.\u3002](?:xn--[\w-]+|[^\W\d_]{2,})|\[(?:IPv6:)?[0-9A-Fa-f:.]+\])"
)
_HINT: Final = re.compile(r"[@%&\\]|=40|AEA-|[^\x00-\x7f]")
"""Without one of these an address is in base64 or hexadecimal, or nowhere."""
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{11,}")
_HEX: Final = re.compile(r"[0-9A-Fa-f]{12,}")
_PRINTABLE: Final = re.compile(rb"[\x20-\x7e]{8,}")
_TO_STANDARD: Final = str.maketrans("-_", "+/")
_PARAMETER: Final = re.compile(r"([?&;][^=&?;#]*)=")
_QUOTED_PRINTABLE: Final = re.compile(r"=([0-9A-Fa-f]{2})")

_INVISIBLE: Final = re.compile("[\u00ad\u200b-\u200f\u2060-\u2064\ufeff]")
_ESCAPED_AT: Final = re.compile(r"\\u0040|\\x40|%u0040|\+AEA-")  # JSON, JavaScript, UTF-7
_ROUNDS: Final = 6
"""How many layers of percent encoding and character references are taken off."""
_DEPTH: Final = 2
"""How many layers of base64 or hexadecimal are taken off."""

_AUTHORITY: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[/\\]{2}(?:(?P<user>[^/?#\\]*)@)?[^/?#\\@]*")


def contains_address(text: str) -> bool:
    """Whether TEXT contains an e-mail address: in clear, or percent-encoded (several times, too), as character
    references, in quoted-printable, base64, base64url or hexadecimal, anywhere in it.
    """
    return _contains(text, _DEPTH)


def contains_address_in_url(url: str) -> bool:
    """Whether URL contains an e-mail address; before the host only the user name counts (RFC 3986, 3.2.1)."""
    authority = _AUTHORITY.match(url)
    if authority is None:
        return contains_address(url)
    name = (authority["user"] or "").partition(":")[0]
    return contains_address(name) or contains_address(url[authority.end() :])


def mask_addresses(text: str) -> str:
    """TEXT with "[address]" for each address; a word that hides one in an encoding goes as a whole."""
    if not contains_address(text):
        return text
    masked = _PLAIN.sub(MASK, text)
    if contains_address(masked):
        masked = re.sub(r"\S+", lambda word: MASK if contains_address(word.group()) else word.group(), masked)
    return MASK if contains_address(masked) else masked


def _contains(text: str, depth: int) -> bool:
    if _HINT.search(text):
        return any(_reads_as_address(layer, depth) for layer in _layers(text))
    return _hides_address(text, depth)


def _layers(text: str) -> Iterator[str]:
    """TEXT, and what is below its percent encoding and character references."""
    for _ in range(_ROUNDS):
        if not text.isascii():
            text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text))  # U+FF20 is an "@", too
        yield text
        inner = unquote(unescape(_ESCAPED_AT.sub("@", text)))
        if inner == text:
            return
        text = inner


def _reads_as_address(text: str, depth: int) -> bool:
    if "@" in text and _PLAIN.search(text):
        return True
    if "=40" in text:
        values = _PARAMETER.sub(r"\1 ", text)  # the "=" that follows a parameter's name encodes nothing
        if _PLAIN.search(values.replace("=40", "@")) or _PLAIN.search(_unquoted_printable(values)):
            return True
    return _hides_address(text, depth)


def _unquoted_printable(text: str) -> str:
    return _QUOTED_PRINTABLE.sub(lambda found: chr(int(found[1], 16)), text)


def _hides_address(text: str, depth: int) -> bool:
    """Whether there is an address in the base64 or hexadecimal in TEXT, wherever in a run of it the encoding begins."""
    return depth > 0 and any(
        _contains(said, depth - 1)
        for octets in (*_from_hexadecimal(text), *_from_base64(text))
        for said in _said(octets)
    )


def _from_hexadecimal(text: str) -> Iterator[bytes]:
    if "40" in text:
        for run in _HEX.findall(text):
            for skipped in (0, 1):
                digits = run[skipped:]
                yield binascii.unhexlify(digits[: len(digits) // 2 * 2])


def _from_base64(text: str) -> Iterator[bytes]:
    for run in _BASE64.findall(text):
        if run.islower() or run.isupper() or run.isdecimal():
            continue  # words and numbers; base64 of any text has letters of both kinds
        letters = run.translate(_TO_STANDARD)
        for skipped in range(4):
            part = letters[skipped:]
            part = part[:-1] if len(part) % 4 == 1 else part
            yield binascii.a2b_base64(part + "=" * (-len(part) % 4))


def _said(octets: bytes) -> Iterator[str]:
    """What OCTETS may say, if they are text at all: random ones hardly ever say anything."""
    octets = octets.replace(b"\0", b"")  # UTF-16
    if b"@" in octets:
        yield octets.decode("utf-8", "replace")
    for printable in _PRINTABLE.findall(octets):
        yield printable.decode("ascii")
