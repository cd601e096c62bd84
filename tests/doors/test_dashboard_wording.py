"""Dates and numbers of the dashboard as each language writes them; times are UTC, on a clock of 24 hours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from tracker.core.calendar import day_of, hour_of
from tracker.doors.dashboard.screens import Wording
from tracker.model import Language

EVENING = datetime(2026, 11, 28, 23, 33, tzinfo=timezone(timedelta(hours=1)))


@pytest.mark.parametrize(
    ("language", "day", "number", "share"),
    [(Language.EN, "Nov 28, 2026", "12,345", "33%"), (Language.DE, "28.11.2026", "12.345", "33\u00a0%")],
)
def test_each_language_writes_in_its_own_way(language: Language, day: str, number: str, share: str) -> None:
    said = Wording(language)
    assert said.day(day_of(EVENING)) == day
    assert said.instant(EVENING) == f"{day}, 22:33"
    assert said.instant(EVENING.astimezone(UTC)) == f"{day}, 22:33"
    assert said.hour(hour_of(EVENING)) == f"{day}, 22:00"
    assert said.number(12_345) == number
    assert said.share(1, 3) == share
    assert said.share(0, 0) == "–"
