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


SAID = {
    Language.DE: (
        "einem Menschen oder einem Programm",
        "danach verworfen",
        "Alle anderen",
        "Widerspruch",
        "§ 25 Abs. 1",
    ),
    Language.EN: ("a person or a program", "then discarded", "All others", "objection", "section 25(1)"),
    Language.FR: ("d'une personne ou d'un programme", "puis supprimées", "Tous les autres", "d'opposition", "art. 82"),
    Language.IT: ("una persona o un programma", "poi eliminati", "Tutti gli altri", "opposizione", "art. 122"),
}
"""What is stored of each, what is looked at, who sees it, a right, and the law on devices."""


@pytest.mark.parametrize("live", [False, True])
def test_r35_the_text_tells_the_verdict_the_look_at_the_address_who_sees_it_and_the_law(live: bool) -> None:
    for notice in first_notices(SETTINGS, live=live):
        assert [said for said in SAID[notice.language] if said not in notice.text] == []
        assert notice.text.count("90 ") == 2  # what was measured, and that it was sent


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
