"""What a person who asks must be told beside the data names the periods in force and the controller's own words."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import cast

import pytest

from tracker.core.disclosure import Disclosure, Periods, Wording
from tracker.doors.about import about
from tracker.doors.languages import Languages
from tracker.doors.pages import templates_folder
from tracker.model import Language

PERIODS = Periods(retention_days=91, consent_days=365, pending_days=30, proof_days=1095, backup_days=35)
BARE = Disclosure("Nord GmbH", "privacy@nord.example", "https://t.example.com", Language.DE, PERIODS)
LANGUAGES = Languages(templates_folder() / "locale")


@pytest.mark.parametrize("language", list(Language))
def test_r47_it_says_who_what_for_who_sees_it_how_long_whence_and_what_rights(language: Language) -> None:
    """R47: Art. 15(1)(a) to (h), in the person's language."""
    said = about(BARE, LANGUAGES, language)
    assert set(said) == {
        "language", "controller", "contact", "purposes", "seen_by", "kept", "source", "decisions", "rights",
    }  # fmt: skip
    assert re.findall(r"\d+", " ".join(map(str, cast(list[str], said["kept"])))) == ["91", "91", "1", "3"]
    assert "https://t.example.com/privacy" in str(said["rights"])
    assert "Nord GmbH" in str(said["seen_by"])
    assert "%(" not in str(said)


def test_a_system_that_is_told_is_named_and_otherwise_nobody() -> None:
    alone = about(BARE, LANGUAGES, Language.EN)
    told = about(replace(BARE, told_system="crm"), LANGUAGES, Language.EN)
    assert "passes it on to nobody else" in str(alone["seen_by"])
    assert "also passes it on to the system “crm”" in str(told["seen_by"])
    assert "nobody" not in str(told["seen_by"])


def test_restriction_is_offered_and_the_view_of_one_person_is_told() -> None:
    """R40: Art. 15(1)(e) and (h)."""
    said = about(BARE, LANGUAGES, Language.EN)
    assert "To correct something, to have its use restricted, or to object, write to privacy@nord.example." in str(said)
    assert "no scores are made. Whoever writes to you can look up singly" in str(said["decisions"])
    assert "profile" not in str(said)


def test_the_controllers_own_words_are_told_where_there_are_any() -> None:
    told = replace(
        BARE,
        data_protection_officer="Officer, dpo@nord.example",
        data_recipients=Wording(((Language.DE, "Rechenzentrum Süd"), (Language.FR, "Centre Sud"))),
        transfers=Wording(((None, "none"),)),
    )
    french = about(told, LANGUAGES, Language.FR)
    assert french["data_protection_officer"] == "Officer, dpo@nord.example"
    assert french["recipients"] == "Centre Sud"
    assert french["transfers"] == "none"
    assert about(told, LANGUAGES, Language.IT)["recipients"] == "Rechenzentrum Süd"
