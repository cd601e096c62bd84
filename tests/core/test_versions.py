"""The text that people are asked to agree to is the newest in force, in their language where there is one."""

from __future__ import annotations

from tracker.core.versions import in_language, newest_version
from tracker.model import Day, Language, Notice


def notice(version: str, language: Language = Language.DE, superseded: int | None = None) -> Notice:
    return Notice(version, language, "text", superseded_day=None if superseded is None else Day(superseded))


def test_numbers_in_a_version_count_as_numbers() -> None:
    assert newest_version([notice("2026-9"), notice("2026-10"), notice("2025-99")]) == "2026-10"
    assert newest_version([notice("v2"), notice("v10"), notice("a"), notice("7")]) == "v10"
    assert newest_version([notice("²"), notice("1")]) == "²"


def test_what_was_superseded_is_not_asked_under() -> None:
    assert newest_version([notice("2026-1"), notice("2026-2", superseded=20_000)]) == "2026-1"
    assert newest_version([notice("2026-1", superseded=20_000)]) is None
    assert newest_version([]) is None


def test_the_first_language_that_there_is_counts() -> None:
    there = [notice("1", Language.FR), notice("1", Language.EN), notice("2", Language.IT)]
    assert in_language(there, "1", Language.DE, Language.EN) == notice("1", Language.EN)
    assert in_language(there, "1", Language.FR, Language.EN) == notice("1", Language.FR)
    assert in_language(there, "1", Language.DE, Language.IT) == notice("1", Language.EN)
    assert in_language(there, "3", Language.DE) is None
    assert in_language([notice("1", superseded=5)], "1", Language.DE) is None
