"""Masks what nobody should read in a path that figures show: addresses, and segments that look like secrets.

The law: rather a name too many than a password reset link in the figures.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from tracker.core.address import contains_address

HIDDEN: Final = "..."
"""Stands for what is not shown."""

_RUN: Final = re.compile(r"[A-Za-z0-9]{10,}")
_TURN: Final = re.compile(
    r"[a-z](?=[A-Z0-9])|[A-Z](?=[0-9])|[0-9](?=[A-Za-z])"
)  # from one kind of character to another
_UUID: Final = re.compile(r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}")
_HEXADECIMAL: Final = re.compile(r"(?=[0-9]*[A-Fa-f])(?=[A-Fa-f]*[0-9])[0-9A-Fa-f]+")
_PIECE: Final = re.compile(r"[A-Za-z0-9]+")
_WORDS: Final = re.compile(r"[0-9]{0,4}(?:[A-Z]?[a-z]+(?:[A-Z]{1,2}[a-z]+)*|[A-Z]+)[0-9]{0,4}[a-z]*|[0-9]+")
"""What people write: words, also run together, with a number before, behind or in between."""
_CALM: Final = re.compile(r"[a-z]+|[0-9]+|[A-Z][a-z]{3,}")
"""What may stand beside a secret without being a piece of it."""
_VOWEL: Final = re.compile(r"[AEIOUYaeiouy]")


_WORDS_ALONE: Final = re.compile(r"(?:(?:[a-z]{1,9}|[0-9]{1,9})?[/_.-])*(?:[a-z]{1,9}|[0-9]{1,9})?")
"""A path of short words and numbers: nothing in it can be a secret or an address."""


def masked_path(path: str) -> str:
    """PATH (of a URL, without query and fragment) with "..." for each address and for whatever looks like a secret."""
    if _WORDS_ALONE.fullmatch(path):
        return path
    masked = "/".join([_masked(segment) if len(segment) >= 6 else segment for segment in path.split("/")])
    return "/" + HIDDEN if contains_address(masked) else masked


def _masked(segment: str) -> str:
    text = unquote(unquote(segment)) if "%" in segment else segment
    if contains_address(text):
        return HIDDEN
    rest = _RUN.sub(lambda run: HIDDEN if _is_secret(run.group()) else run.group(), _UUID.sub(HIDDEN, text))
    pieces = _PIECE.findall(rest)
    if rest == text:
        return HIDDEN if _is_random(pieces) else segment
    return rest if text == segment and pieces and all(map(_CALM.fullmatch, pieces)) else HIDDEN


def _is_random(pieces: list[str]) -> bool:
    """Whether PIECES of a segment are together like base64url: long, and not made of words."""
    size = sum(map(len, pieces))
    return size >= 14 and sum(len(piece) for piece in pieces if not _is_said(piece)) * 4 > size


def _is_said(piece: str) -> bool:
    return _WORDS.fullmatch(piece) is not None and len(_TURN.findall(piece)) * 4 <= len(piece)


def _is_secret(run: str) -> bool:
    """Whether RUN, letters and digits without a break, is nothing that anybody would say."""
    if run.isdecimal():
        return len(run) >= 14
    if len(run) >= 12 and _HEXADECIMAL.fullmatch(run):
        return True
    if _is_said(run):
        return len(run) >= 32 or (len(run) >= 16 and len(_VOWEL.findall(run)) * 4 < len(run))
    return len(run) >= 20 or len(_TURN.findall(run)) >= 3
