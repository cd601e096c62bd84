"""The notice that an installation begins with: it lets reps watch only where it was asked for, and says so then."""

from __future__ import annotations

import pytest

from tracker.config import Settings
from tracker.installation import first_notices
from tracker.model import Feature, Language, Notice
from tracker.told import told

SETTINGS = Settings(controller="Werkstatt Nord GmbH", contact="privacy@werkstatt-nord.example")
MOMENT = {
    Language.DE: "in dem Moment",
    Language.EN: "at the moment",
    Language.FR: "au moment où",
    Language.IT: "nel momento in",
}


def test_by_default_nobody_may_watch_and_the_text_says_nothing_of_it() -> None:
    notices = first_notices(SETTINGS)
    assert {notice.language for notice in notices} == set(Language)
    for notice in notices:
        assert notice.features == frozenset()
        assert MOMENT[notice.language] not in notice.text


def test_a_notice_that_lets_reps_watch_says_so_in_every_language() -> None:
    for notice, plain in zip(first_notices(SETTINGS, live=True), first_notices(SETTINGS), strict=True):
        assert notice.features == {Feature.LIVE}
        assert MOMENT[notice.language] in notice.text
        assert notice.text != plain.text


@pytest.mark.parametrize("live", [False, True])
def test_the_doctor_compares_each_with_its_own_kind(live: bool) -> None:
    def found(notices: tuple[Notice, ...], days: int) -> list[bool]:
        return [finding.fine for finding in told(notices, SETTINGS.model_copy(update={"retention_days": days}))]

    notices = first_notices(SETTINGS, live=live)
    assert found(notices, SETTINGS.retention_days) == [True] * 3
    assert found(notices, SETTINGS.retention_days + 1) == [True, True, False]
