"""Checks a text before people agree to it: readable, printable, and saying who asks."""

from __future__ import annotations

import re
from typing import Final

from tracker.model import BadNotice

LONGEST: Final = 100_000
"""Octets."""
_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_URL: Final = re.compile(r"https?://\S+")
_NUMBER: Final = re.compile(r"[0-9]+")


def checked_version(version: str) -> str:
    """VERSION, if it can name one. Raises BadNotice."""
    if not _VERSION.fullmatch(version):
        raise BadNotice("version: 1 to 32 of A-Z a-z 0-9 . _ -, such as 2027-1")
    return version


def checked_text(octets: bytes, controller: str) -> str:
    """The text in OCTETS, which names the CONTROLLER (GDPR recital 42: who it is must be known). Raises BadNotice."""
    if len(octets) > LONGEST:
        raise BadNotice(f"the text is longer than {LONGEST} octets")
    try:
        text = octets.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadNotice("the text is not UTF-8") from None
    if not text.strip():
        raise BadNotice("the text is empty")
    if not all(character.isprintable() or character in "\r\n\t" for character in text):
        raise BadNotice("the text holds characters that cannot be printed")
    if not names(text, controller):
        raise BadNotice("the text does not name the controller as the setting `controller` does")
    return text


def names(text: str, controller: str) -> bool:
    """Whether TEXT says that the CONTROLLER asks, whatever the case and the blanks in between."""
    return _words(controller) in _words(text)


def kept_longer(text: str, ours: str) -> tuple[int, int] | None:
    """The first period that TEXT promises and OURS, our text made from today's settings, exceeds: both in days.

    Only lines that say the same in both are compared, so that the text of an earlier release is too; None when none of
    them has such a period. Whatever else TEXT says only people can compare.
    """
    today = {_NUMBER.sub("#", line): line for line in _URL.sub("", ours).splitlines()}
    for line in _URL.sub("", text).splitlines():
        same = today.get(_NUMBER.sub("#", line), line)
        for said, now in zip(map(int, _NUMBER.findall(line)), map(int, _NUMBER.findall(same)), strict=True):
            if now > said:
                return said, now
    return None


def _words(text: str) -> str:
    return " ".join(text.casefold().split())
