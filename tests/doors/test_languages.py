"""The language of a page is the one that the reader prefers."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.doors.languages import NAMES, Languages, choose, period
from tracker.doors.pages import templates_folder
from tracker.model import Language


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("de-AT,de;q=0.9,en;q=0.8", Language.DE),
        ("nl, fr-CH;q=0.3", Language.FR),
        ("fr;q=0.1, it;q=0.2", Language.IT),
        ("EN", Language.EN),
        ("de;q=0, en;q=0.1", Language.EN),
        ("en;q=0, pt", None),
        ("*", None),
        ("", None),
        ("deutsch", None),
        ("de;q=nan, it;q=0.1", Language.IT),
        ("de;q=7, it;q=0.1", Language.IT),
        ("de;level=1", Language.DE),
        (";;=,,;q=", None),
    ],
)
def test_the_range_with_the_highest_quality_among_ours_counts(header: str, language: Language | None) -> None:
    assert choose(header) is language


def test_of_equals_the_first_counts() -> None:
    assert choose("it, de, en") is Language.IT


@given(st.text(max_size=300))
def test_any_field_at_all_is_read(header: str) -> None:
    assert choose(header) in {None, *Language}


@given(st.lists(st.sampled_from(list(Language)), min_size=1, unique=True))
def test_falling_qualities_keep_their_order(languages: list[Language]) -> None:
    header = ", ".join(f"{language}-XX;q={1 - rank / 10:.1f}" for rank, language in enumerate(languages))
    assert choose(header) is languages[0]


def test_each_language_has_a_name() -> None:
    assert set(NAMES) == set(Language)


@pytest.mark.parametrize(
    ("days", "german", "italian"),
    [
        (1, "1 Tag", "1 giorno"),
        (90, "90 Tage", "90 giorni"),
        (364, "364 Tage", "364 giorni"),
        (1095, "3 Jahre", "3 anni"),
    ],
)
def test_a_period_is_said_in_days_or_in_whole_years(days: int, german: str, italian: str) -> None:
    assert period(days, Language.DE) == german
    assert period(days, Language.IT) == italian


def test_a_missing_catalogue_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Languages(tmp_path)


def test_english_is_the_source() -> None:
    languages = Languages(templates_folder() / "locale")
    assert languages.text(Language.EN, "Withdraw my consent") == "Withdraw my consent"
    assert languages.text(Language.DE, "Withdraw my consent") == "Einwilligung widerrufen"
