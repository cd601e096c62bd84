"""Takes our control headers out of a message, byte for byte, and reads what they and the head say about the copies."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.errors import HeaderParseError
from email.header import decode_header
from typing import Final

from tracker.core import headers
from tracker.model import Language

LONGEST: Final = 200
"""Characters of a value that are kept."""
LONGEST_RAW: Final = 4_000
"""Octets of a value that are read."""
OFF: Final = b"x-tracker"
LABEL, CAMPAIGN, REFERENCE = b"x-tracker-label", b"x-tracker-campaign", b"x-tracker-reference"
OWNER, LANGUAGE = b"x-tracker-owner", b"x-tracker-language"

_FIELD: Final = re.compile(
    rb"(?mi)^(x-tracker(?:-label|-campaign|-reference|-owner|-language)?)[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)(?:\n|\Z)"
)
_ONE_FIELD: Final = rb"(?mi)^%b[ \t]*+:([^\n]*(?:\n[ \t][^\n]*)*)"
_END_OF_HEADER: Final = re.compile(rb"(?:\A|\n)\r?\n")
_TURNS_TEXT: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True, slots=True)
class ControlNames:
    """Which headers of a sender's own programs say the same as ours, and where the label comes from."""

    campaign_header: str | None = None
    reference_header: str | None = None
    label_from_subject: bool = True


@dataclass(frozen=True, slots=True)
class Controls:
    """What a message says about its copies; a value that cannot be read counts as none, so that mail flows."""

    off: bool = False
    label: str | None = field(default=None, repr=False)
    campaign: str | None = None
    reference: str | None = None
    owner: str | None = field(default=None, repr=False)
    language: Language | None = None


@dataclass(frozen=True, slots=True)
class Marked:
    """A message without our control headers, and the values these had, by lower-case name."""

    message: bytes
    values: Mapping[bytes, Sequence[bytes]]


def without_controls(message: bytes) -> Marked:
    """MESSAGE without our control headers; every other octet stays, and without any it is the same object."""
    head = _head(message)
    values: dict[bytes, list[bytes]] = {}
    kept: list[bytes] = []
    at = 0
    for match in _FIELD.finditer(message, 0, head):
        values.setdefault(match[1].lower(), []).append(match[2])
        kept.append(message[at : match.start()])
        at = match.end()
    return Marked(b"".join((*kept, message[at:])) if values else message, values)


def controls_of(marked: Marked, names: ControlNames, *, heeded: bool) -> Controls:
    """What MARKED says; unless it is HEEDED nothing but its subject counts."""
    head = _head(marked.message)

    def field_of(name: bytes) -> str | None:
        found = re.finditer(_ONE_FIELD % re.escape(name), memoryview(marked.message)[:head])
        return _text([match[1] for match in found])

    subject = field_of(b"subject") if names.label_from_subject else None
    if not heeded:
        return Controls(label=subject)

    def said(ours: bytes, theirs: str | None = None) -> str | None:
        value = _text(marked.values[ours]) if ours in marked.values else None
        return value if value is not None or theirs is None else field_of(theirs.encode())

    language = (said(LANGUAGE) or "").lower()
    return Controls(
        off=(said(OFF) or "").lower() == "off",
        label=said(LABEL) or subject,
        campaign=said(CAMPAIGN, names.campaign_header),
        reference=said(REFERENCE, names.reference_header),
        owner=said(OWNER),
        language=Language(language) if language in set(Language) else None,
    )


def _head(message: bytes) -> int:
    """Where the header block of MESSAGE ends, its last line end included."""
    end = _END_OF_HEADER.search(message)
    if end is None:
        return len(message)
    return end.start() + 1 if message[end.start() : end.start() + 1] == b"\n" else 0


def _text(values: Sequence[bytes]) -> str | None:
    """The one value as text, decoded (RFC 2047); None where there is none, several, or one that cannot be read."""
    if len(values) != 1 or len(values[0]) > LONGEST_RAW:
        return None
    try:
        plain = headers.unfolded(values[0]).decode()
        if "=?" in plain:
            parts = decode_header(plain)
            plain = "".join(
                part if isinstance(part, str) else part.decode(charset or "ascii") for part, charset in parts
            )
    except (HeaderParseError, ValueError, LookupError):
        return None
    shown = plain if plain.isprintable() else "".join(each for each in plain if _is_shown(each))
    shown = shown.strip()
    return shown[:LONGEST] or None


def _is_shown(character: str) -> bool:
    return unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp") and character not in _TURNS_TEXT
