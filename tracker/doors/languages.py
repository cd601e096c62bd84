"""Knows the languages of the pages: reads their catalogues, and picks one as RFC 9110 section 12.5.4 says.

English is the language of the texts themselves; each other language is one file `templates/locale/<language>.po`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from math import inf
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

from babel.dates import format_timedelta
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po

from tracker.model import Language

SOURCE: Final = Language.EN
NAMES: Final[Mapping[Language, str]] = MappingProxyType(
    {Language.DE: "Deutsch", Language.EN: "English", Language.FR: "Français", Language.IT: "Italiano"}
)
"""Each language as its own speakers call it."""
MOST_RANGES: Final = 30
_DAYS_OF_A_YEAR: Final = 365


class Languages:
    """The catalogues, read once at start."""

    def __init__(self, folder: Path, more: Path | None = None) -> None:
        """Read FOLDER's catalogues, and those that MORE has beside them.

        Raises OSError or babel's PoFileError when one of FOLDER's is missing or any is damaged.
        """
        self._texts: dict[Language, Mapping[str, str]] = {
            language: _read(folder / f"{language}.po") for language in Language if language is not SOURCE
        }
        for file in sorted(more.glob("*.po")) if more is not None else ():
            language = Language(file.stem)
            self._texts[language] = MappingProxyType({**self._texts[language], **_read(file)})

    def text(self, language: Language, english: str) -> str:
        """ENGLISH in LANGUAGE; as it stands where there is no translation (a test sees to it that there is)."""
        return english if language is SOURCE else self._texts[language].get(english, english)


def choose(accept_language: str) -> Language | None:
    """The language that an Accept-Language field prefers among ours; None when it prefers none."""
    best: Language | None = None
    best_quality = 0.0  # a range with q=0 says "not this one"
    for part in accept_language.split(",", MOST_RANGES)[:MOST_RANGES]:
        tag, quality = _range(part)
        language = _language(tag)
        if language is not None and quality > best_quality:
            best, best_quality = language, quality
    return best


def period(days: int, language: Language) -> str:
    """DAYS in words: `90 days`, or whole years where they are."""
    # An infinite threshold makes Babel use that unit and no larger or smaller one.
    unit: Literal["year", "day"] = "day" if days % _DAYS_OF_A_YEAR else "year"
    return format_timedelta(timedelta(days=days), granularity=unit, threshold=inf, locale=language.value)


def _read(file: Path) -> Mapping[str, str]:
    with file.open("rb") as stream:
        catalog: Catalog = read_po(stream, abort_invalid=True)
    return MappingProxyType(
        {
            message.id: message.string
            for message in catalog
            if isinstance(message.id, str) and isinstance(message.string, str) and message.string and not message.fuzzy
        }
    )


def _range(part: str) -> tuple[str, float]:
    tag, _, parameter = part.partition(";")
    name, _, value = parameter.partition("=")
    return tag.strip().lower(), _quality(value.strip()) if name.strip().lower() == "q" else 1.0


def _quality(value: str) -> float:
    try:
        quality = float(value)
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0  # also NaN


def _language(tag: str) -> Language | None:
    try:
        return Language(tag.partition("-")[0])
    except ValueError:
        return None
