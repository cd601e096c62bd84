"""Picks the text that a question is asked under: of the notices in force the newest, in the fitting language."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from tracker.model import Language, Notice

_NUMBER: Final = re.compile(r"([0-9]+)")


def newest_version(notices: Iterable[Notice]) -> str | None:
    """The highest version among NOTICES that is in force, numbers in it compared as numbers; None: there is none."""
    versions = {notice.version for notice in notices if notice.superseded_day is None}
    return max(versions, key=_in_order, default=None)


def in_language(notices: Iterable[Notice], version: str, *languages: Language) -> Notice | None:
    """The notice of VERSION in the first of LANGUAGES that there is, else in any; None when it is not in force."""
    there = {notice.language: notice for notice in notices if notice.version == version}
    if not there or any(notice.superseded_day is not None for notice in there.values()):
        return None
    return next((there[language] for language in (*languages, *sorted(there)) if language in there), None)


def _in_order(version: str) -> list[tuple[bool, int, str]]:
    # re.split with a group gives text and number in turns, so that like is compared with like.
    parts = enumerate(_NUMBER.split(version))
    return [(place % 2 == 1, int(part) if place % 2 else 0, part) for place, part in parts]
