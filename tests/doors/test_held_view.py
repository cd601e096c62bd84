"""What is held about a person is put into words, in every language."""

from __future__ import annotations

import pytest

from tests.flows.conftest import NOW
from tracker.core.calendar import day_of
from tracker.core.held import Held
from tracker.doors.held_view import HeldView
from tracker.doors.languages import Languages
from tracker.doors.pages import templates_folder
from tracker.model import MAIL_PURPOSES, Language, LedgerContent, LedgerEvent


@pytest.mark.parametrize("language", list(Language))
def test_r47_every_event_of_the_history_has_words_of_its_own(language: Language) -> None:
    """R47: the consent history, in the person's language."""
    view = HeldView(Languages(templates_folder() / "locale"), language)
    entries = tuple(
        LedgerContent(number, event, MAIL_PURPOSES, NOW, "recipient", day_of(NOW))
        for number, event in enumerate(LedgerEvent, 1)
    )
    history = view.values(Held(history=entries))["history"]
    assert isinstance(history, list)
    said = {entry["what"] for entry in history}
    assert len(said) == len(LedgerEvent)
    english = HeldView(Languages(templates_folder() / "locale"), Language.EN).values(Held(history=entries))["history"]
    assert isinstance(english, list)
    assert language is Language.EN or said.isdisjoint(entry["what"] for entry in english)
