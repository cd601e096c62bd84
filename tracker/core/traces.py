"""Recognises one known address where no pattern would: taken apart, reversed, in base32, as a digest.

The law: what many copies have in common is read once; for each recipient it is only searched.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import idna

from tracker.core.decoding import from_base32, from_base64, from_hexadecimal, layers

NEAR: Final = 20
"""Characters between local part and domain of what is still one address."""
SHORTEST_LOCAL_PART: Final = 3
"""Characters; shorter ones occur everywhere, and count only right beside their domain."""
_SHORTEST_SQUASHED: Final = 6
_DEPTH: Final = 2
"""How many layers of base64, base32 or hexadecimal are taken off."""
_DIGEST_OCTETS: Final = 8
"""Of a digest, for many links carry it shortened."""
_TEXT: Final = re.compile(rb"[\x20-\x7e\x80-\xff]{6,}")
_NO_LETTERS: Final = re.compile(r"[\W_]+")
_DIGESTS: Final = (hashlib.md5, hashlib.sha1, hashlib.sha256, hashlib.sha512)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a text says in all its layers, case-folded, and the octets that are encoded in it."""

    text: str
    """The layers, one a line."""
    octets: bytes


def read(texts: Iterable[str]) -> Reading:
    """All that TEXTS say; time is linear in them."""
    said: dict[str, None] = {}
    octets: list[bytes] = []
    for text in texts:
        for one in _said(text, _DEPTH, octets):
            said[one] = None
    return Reading("\n".join(said), b"\n".join(octets))


class Traces:
    """How one recipient's address may show; made for one recipient and dropped with it."""

    def __init__(self, normalised: str) -> None:
        """NORMALISED: as `pseudonym.normalise` returns it."""
        self._address = normalised
        local, _, domain = normalised.rpartition("@")
        self._local = local[1:-1] if local.startswith('"') else local
        self._domain = domain
        unicode_domain = _unicode(domain)
        self._domains = (domain,) if unicode_domain == domain else (domain, unicode_domain)

    def shown(self, reading: Reading) -> bool:
        """Whether READING says or hides the address."""
        return any(_near(reading.text, *pair) for pair in self._pairs) or (
            len(reading.octets) >= _DIGEST_OCTETS and any(digest in reading.octets for digest in self._digests)
        )

    @cached_property
    def _pairs(self) -> tuple[tuple[str, str], ...]:
        """Local part and domain, as written, run together, and backwards."""
        pairs = [(self._local, domain) for domain in self._domains]
        local = _NO_LETTERS.sub("", self._local)
        squashed = [(local, _NO_LETTERS.sub("", domain)) for domain in self._domains]
        dotted = [(local, _NO_LETTERS.sub("", domain.replace(".", "dot"))) for domain in self._domains]
        pairs += [
            pair
            for pair in squashed + dotted
            if len(pair[0]) >= SHORTEST_LOCAL_PART and len(pair[1]) >= _SHORTEST_SQUASHED
        ]
        return tuple(dict.fromkeys(pairs + [(one[::-1], other[::-1]) for one, other in pairs]))

    @cached_property
    def _digests(self) -> tuple[bytes, ...]:
        local = self._address.rpartition("@")[0]
        spelled = [f"{local}@{domain}" for domain in self._domains]
        spelled += [one.upper() for one in spelled]
        return tuple(
            make(one.encode(), usedforsecurity=False).digest()[:_DIGEST_OCTETS] for one in spelled for make in _DIGESTS
        )


def _near(text: str, local: str, domain: str) -> bool:
    """Whether LOCAL and DOMAIN stand near each other in a line of TEXT."""
    if not local or local not in text:
        return False
    if len(local) < SHORTEST_LOCAL_PART:
        beside = r"(?:_|[^\w.\n]){1,3}"
        pattern = rf"(?<![^\W_]){re.escape(local)}(?:{beside}|\.=|[\W_]{{1,3}}at[\W_]{{1,3}}){re.escape(domain)}"
        return re.search(pattern, text) is not None
    around = NEAR + len(local)
    at = text.find(domain)
    while at >= 0:
        end = at + len(domain)
        before = text[max(0, at - around) : at].rpartition("\n")[2]
        after = text[end : end + around].partition("\n")[0]
        if local in before or local in after:
            return True
        at = text.find(domain, end)
    return False


def _said(text: str, depth: int, octets: list[bytes]) -> Iterator[str]:
    """The layers of TEXT, as written and run together; what was encoded in them goes to OCTETS, too."""
    for layer in layers(text):
        folded = _folded(layer)
        yield folded
        yield _NO_LETTERS.sub("", folded)
        if depth == 0:
            continue
        for decode in (from_hexadecimal, from_base64, from_base32):
            for found, _ in decode(layer):
                octets.append(found)
                for run in _TEXT.findall(found.replace(b"\0", b"")):
                    yield from _said(run.decode("utf-8", "replace"), depth - 1, octets)


def _folded(text: str) -> str:
    """TEXT as `pseudonym.normalise` folds it, in one line."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())
    return text.lower().replace("\n", " ")


def _unicode(domain: str) -> str:
    if "xn--" not in domain:
        return domain
    try:
        return idna.decode(domain)
    except (idna.IDNAError, UnicodeError):
        return domain
