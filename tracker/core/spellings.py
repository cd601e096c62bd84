"""Spells an address, and the code that stands for it, in every way in which bytes on a disk may hold them.

The law: a search folds the case of ASCII letters on both sides, so that each spelling is made once; what is found in
error is one in a billion, what is missed is a broken promise.
"""

from __future__ import annotations

import hashlib
import html
from base64 import b32encode, b64encode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import idna

from tracker.model import Pseudonym

_URLSAFE: Final = bytes.maketrans(b"+/", b"-_")
_DIGESTS: Final = ("md5", "sha1", "sha256", "sha512")


@dataclass(frozen=True, slots=True)
class Spelling:
    """One way of writing; `octets` in lower case."""

    name: str
    octets: bytes


def of_address(typed: str, normalised: str) -> tuple[Spelling, ...]:
    """The address as it was TYPED and as it is looked up (NORMALISED), in clear, encoded, and as common digests."""
    local, _, domain = normalised.rpartition("@")
    forms = {typed, normalised, f"{local}@{_unicode(domain)}"}
    forms |= {form.upper() for form in forms}
    return _unique(spelling for form in sorted(forms) for spelling in _of_text(form))


def of_pseudonyms(pseudonyms: Iterable[Pseudonym]) -> tuple[Spelling, ...]:
    """Each of PSEUDONYMS as it is stored, in hexadecimal, base64 and base32."""
    return _unique(
        spelling for name in pseudonyms for spelling in (Spelling("raw", bytes(name)), *_encoded(bytes(name)))
    )


def _of_text(text: str) -> Iterator[Spelling]:
    raw = text.encode()
    yield Spelling("in clear", raw)
    yield Spelling("percent-encoded", quote(text, safe="").encode())
    yield Spelling("percent-encoded", text.replace("@", "%40").encode())
    yield Spelling("percent-encoded twice", quote(quote(text, safe=""), safe="").encode())
    yield Spelling("character references", html.escape(text).encode())
    yield Spelling("character references", text.replace("@", "&#64;").encode())
    yield Spelling("character references", text.replace("@", "&#x40;").encode())
    yield Spelling("JSON escapes", text.replace("@", "\\u0040").encode())
    yield Spelling("quoted-printable", raw.replace(b"@", b"=40"))
    yield Spelling("backwards", text[::-1].encode())
    for name in ("utf-16-le", "utf-16-be"):
        yield Spelling("UTF-16", text.encode(name))
    yield from _encoded(raw)
    for algorithm in _DIGESTS:
        digest = hashlib.new(algorithm, raw, usedforsecurity=False).digest()
        yield Spelling(f"digest {algorithm}", digest)
        yield from (Spelling(f"digest {algorithm}", spelling.octets) for spelling in _encoded(digest))


def _encoded(raw: bytes) -> Iterator[Spelling]:
    yield Spelling("hexadecimal", raw.hex().encode())
    for shift in range(3):  # where in a group of three octets it may begin
        inner = _middle(b64encode, raw, shift, 3, 4)
        yield Spelling("base64", inner)
        yield Spelling("base64", inner.translate(_URLSAFE))
    for shift in range(5):
        yield Spelling("base32", _middle(b32encode, raw, shift, 5, 8))


def _middle(encode: Callable[[bytes], bytes], raw: bytes, shift: int, octets: int, characters: int) -> bytes:
    """What ENCODE makes of RAW wherever it begins: the characters that what stands around it does not change."""
    filled = bytes(shift) + raw
    filled += bytes(-len(filled) % octets)
    before = -(-shift * characters // octets)
    after = (shift + len(raw)) * characters // octets
    return encode(filled)[before:after]


def _unique(spellings: Iterable[Spelling]) -> tuple[Spelling, ...]:
    found: dict[bytes, Spelling] = {}
    for spelling in spellings:
        found.setdefault(spelling.octets.lower(), Spelling(spelling.name, spelling.octets.lower()))
    return tuple(found.values())


def _unicode(domain: str) -> str:
    try:
        return idna.decode(domain) if "xn--" in domain else domain
    except (idna.IDNAError, UnicodeError):
        return domain
