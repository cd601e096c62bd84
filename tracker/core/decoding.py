"""Takes off the encodings that links and identifiers carry text in: percent, references, base64, base32, hexadecimal.

The law: time is linear, and nothing here fails. Where an encoding begins is not known, so every place is tried.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote

from tracker.core.attribute import unescape

_ROUNDS: Final = 6
"""How many layers of percent encoding and character references are taken off."""
_ESCAPED_AT: Final = re.compile(r"\\u0040|\\x40|%u0040|\+AEA-")  # JSON, JavaScript, UTF-7
_INVISIBLE: Final = frozenset({"Cf", "Mn", "Me"})
_INVISIBLE_LETTERS: Final = frozenset("\u115f\u1160\u3164\uffa0\u2800")

_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{11,}")
_BASE32: Final = re.compile(r"[A-Z2-7]{13,}|[a-z2-7]{13,}")
HEXADECIMAL: Final = re.compile(r"[0-9A-Fa-f]{12,}")
"""A run of digits that may stand for text."""
_TO_STANDARD: Final = str.maketrans("-_", "+/")


def layers(text: str) -> Iterator[str]:
    """TEXT, and what is below its percent encoding and character references; each without invisible characters, too."""
    for _ in range(_ROUNDS):
        yield text
        if not text.isascii():
            compatible = unicodedata.normalize("NFKC", text)  # U+FF20 is an "@", too
            if compatible != text:
                yield compatible
            visible = _visible(compatible)
            if visible != compatible:
                yield visible
            text = visible
        inner = unquote(unescape(_ESCAPED_AT.sub("@", text)))
        if inner == text:
            return
        text = inner


def from_hexadecimal(text: str) -> Iterator[tuple[bytes, bool]]:
    """The octets that runs of hexadecimal digits in TEXT may stand for, and whether that is the whole run."""
    for run in HEXADECIMAL.findall(text):
        for skipped in (0, 1):
            digits = run[skipped:]
            yield binascii.unhexlify(digits[: len(digits) // 2 * 2]), len(digits) == len(run) and len(run) % 2 == 0


def from_base64(text: str) -> Iterator[tuple[bytes, bool]]:
    """The same of base64 and base64url; where a "/" is none of its letters it ends the run."""
    for run in _BASE64.findall(text):
        if run.islower() or run.isdecimal():
            continue  # words and numbers; base64 of an address has an upper-case letter where its "@" is
        letters = run.translate(_TO_STANDARD)
        for skipped in range(4):
            yield _unbase64(letters[skipped:]), skipped == 0
        if "/" in run:
            for piece in run.split("/"):
                if len(piece) >= 11 and piece != run:
                    yield _unbase64(piece.translate(_TO_STANDARD)), True


def from_base32(text: str) -> Iterator[tuple[bytes, bool]]:
    """The same of base32 in letters of one kind."""
    for run in _BASE32.findall(text):
        for skipped in range(8):
            letters = run[skipped:].upper()
            letters = letters[: len(letters) - (len(letters) % 8 in (1, 3, 6))]
            if len(letters) >= 8:
                yield base64.b32decode(letters + "=" * (-len(letters) % 8)), skipped == 0


def _unbase64(letters: str) -> bytes:
    part = letters[:-1] if len(letters) % 4 == 1 else letters
    return binascii.a2b_base64(part + "=" * (-len(part) % 4))


def _visible(text: str) -> str:
    return "".join(
        [
            one
            for one in text
            if one.isascii() or (unicodedata.category(one) not in _INVISIBLE and one not in _INVISIBLE_LETTERS)
        ]
    )
