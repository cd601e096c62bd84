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
_ALL_KINDS: Final = re.compile(r"(?=[^a-z]*[a-z])(?=[^A-Z]*[A-Z])[^0-9]*[0-9]")
_UUID: Final = re.compile(r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}")
_HEXADECIMAL: Final = re.compile(r"(?=[0-9]*[A-Fa-f])(?=[A-Fa-f]*[0-9])[0-9A-Fa-f]+")
_WORDS: Final = re.compile(r"[0-9]{0,4}[A-Z]?[a-z]+(?:[A-Z][a-z]{2,})*[0-9]{0,4}[a-z]*|[A-Z]+[0-9]{0,4}")
_VOWEL: Final = re.compile(r"[AEIOUYaeiouy]")


def masked_path(path: str) -> str:
    """PATH (of a URL, without query and fragment) with "..." for each address and for whatever looks like a secret."""
    masked = "/".join([_masked(segment) if len(segment) >= 6 else segment for segment in path.split("/")])
    return "/" + HIDDEN if contains_address(masked) else masked


def _masked(segment: str) -> str:
    text = unquote(segment) if "%" in segment else segment
    if contains_address(text) or _is_random(text):
        return HIDDEN
    if text != segment:
        return HIDDEN if any(map(_is_secret, _RUN.findall(text))) else segment
    return _RUN.sub(lambda run: HIDDEN if _is_secret(run.group()) else run.group(), segment)


def _is_random(segment: str) -> bool:
    """Whether SEGMENT as a whole is a UUID, or like base64url: all kinds of characters in quick turns."""
    if _UUID.search(segment):
        return True
    return (
        len(segment) >= 20 and len(_TURN.findall(segment)) * 4 >= len(segment) and _ALL_KINDS.match(segment) is not None
    )


def _is_secret(run: str) -> bool:
    """Whether RUN, letters and digits without a break, is nothing that anybody would say."""
    if run.isdecimal():
        return len(run) >= 14
    if len(run) >= 12 and _HEXADECIMAL.fullmatch(run):
        return True
    if _WORDS.fullmatch(run):
        return len(run) >= 32 or (len(run) >= 16 and len(_VOWEL.findall(run)) * 4 < len(run))
    return len(run) >= 20 or len(_TURN.findall(run)) >= 3
