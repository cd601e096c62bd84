"""The privacy notice and the record of processing say all that the law asks for, as settings have it, or nothing."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from html import unescape

import pytest

from tests.doors.disclosed import TOLD
from tracker.core.disclosure import Disclosure, Periods, Wording
from tracker.core.inventory import CATEGORIES, About
from tracker.doors.languages import period
from tracker.doors.pages import Pages, Site
from tracker.doors.plain_text import WIDTH, plain_text
from tracker.doors.statements import BASES, STAFF_BASIS, Statements
from tracker.model import IncompleteNotice, Language

PAGES = Pages(Site(TOLD.controller, TOLD.contact, TOLD.public_url, 91, 731, 1097))
TODAY = date(2026, 11, 23)
REQUIRED = (
    "controller_address", "data_protection_officer", "supervisory_authority", "purposes", "data_recipients", "hosting",
    "transfers",
)  # fmt: skip


def notice(language: Language, told: Disclosure = TOLD) -> str:
    return words(PAGES.render("notice.html", language, Statements(PAGES, told).notice(language)))


def record(language: Language, told: Disclosure = TOLD) -> str:
    return words(PAGES.render("art30.html", language, Statements(PAGES, told).record(language, TODAY)))


def words(page: str) -> str:
    """The text of PAGE in one line."""
    main = page.partition("<main>")[2].partition("</main>")[0]
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", main)).split())


def spoken(days: int, language: Language) -> str:
    """DAYS as `words` gives them."""
    return " ".join(period(days, language).split())


def translated(english: str, language: Language) -> str:
    return " ".join(PAGES.languages.text(language, english).split())  # as the text of a page is compared


@pytest.mark.parametrize("language", list(Language))
def test_the_notice_holds_every_item_of_article_13(language: Language) -> None:
    """R46: controller, officer, purposes, bases, recipients, transfers, periods, rights, withdrawal, complaint,
    no duty, no automated decision, mechanism and limits, in each language."""
    text = notice(language)
    for item in (TOLD.controller, TOLD.controller_address, TOLD.contact, TOLD.data_protection_officer):
        assert str(item) in text
    for item in ("Sales", "Host GmbH, Germany", TOLD.supervisory_authority, f"{TOLD.public_url}/privacy"):
        assert str(item) in text
    assert ("ankam" if language is Language.DE else "<arrived>") in text
    for english in (
        *BASES,
        "Nothing goes to countries outside the European Union and the European Economic Area.",
        "Nothing obliges you to agree. Without your consent you get the same mail, with plain links and without the "
        "image. No scores are made, and nothing is decided about you automatically (GDPR Art. 22). Whoever writes to "
        "you can look up singly which of their messages you opened and which links you followed.",
        "You can withdraw your consent at any time, with the link in each measured message, without login and without "
        "a reason. It works at once, for old messages too, and what was measured about you is deleted. What was done "
        "before remains lawful.",
        "If you forward a measured message, what others open or follow in it may be counted as yours.",
    ):
        assert translated(english, language) in text


@pytest.mark.parametrize("language", list(Language))
def test_the_right_to_object_stands_by_itself(language: Language) -> None:
    """GDPR Art. 21(4): clearly, and apart from any other information; some bases are a legitimate interest."""
    page = PAGES.render("notice.html", language, Statements(PAGES, TOLD).notice(language))
    (section,) = (one for one in page.split("<section>") if translated("Your right to object", language) in one)
    assert re.search(r"\b[Aa]rt\. 21\b", section)
    assert section.count("<p>") == 1
    assert any("6(1)(f)" in basis for basis in BASES)


@pytest.mark.parametrize("language", list(Language))
def test_the_basis_of_the_data_of_staff_stands_in_the_record_alone(language: Language) -> None:
    """R55: with what staff have a say in."""
    assert "BetrVG" in translated(STAFF_BASIS, language)
    assert translated(STAFF_BASIS, language) in record(language)
    assert translated(STAFF_BASIS, language) not in notice(language)


def test_the_record_names_the_system_that_is_told_and_only_then() -> None:
    said = "is told of opens and clicks of people whose consent covers that"
    told = Pages(replace(PAGES.site, told_system="crm"))
    assert said not in record(Language.EN)
    assert f"The system “crm” {said}" in words(
        told.render("art30.html", Language.EN, Statements(told, TOLD).record(Language.EN, TODAY))
    )


@pytest.mark.parametrize("language", list(Language))
def test_the_record_holds_every_item_of_article_30(language: Language) -> None:
    text = record(language)
    for letter in "abcdefg":
        assert re.search(rf"\(?\b{letter}\)", text), letter
    for item in (TOLD.controller_address, TOLD.data_protection_officer, "Sales", "Host GmbH, Germany", "WP 248"):
        assert str(item) in text
    assert "2026" in text


@pytest.mark.parametrize("language", list(Language))
def test_every_category_is_told_with_its_period_and_the_record_names_its_columns(language: Language) -> None:
    days = {name.removesuffix("_days"): getattr(TOLD.periods, name) for name in Periods.__dataclass_fields__}
    days["refusals"] = TOLD.periods.refusals_days
    periods = {name: spoken(number, language) for name, number in days.items()}
    for category in CATEGORIES:
        kept = translated(category.kept, language) % periods
        for text, meant in ((notice(language), category.about is About.RECIPIENT), (record(language), True)):
            assert (translated(category.says, language) in text) == meant
            assert not meant or kept in text
        for table, columns in category.columns.items():
            assert all(f"{table}.{column}" in record(language).split() for column in columns.split())


@pytest.mark.parametrize("name", list(Periods.__dataclass_fields__))
@pytest.mark.parametrize("language", list(Language))
def test_a_period_that_changes_changes_the_texts_and_nothing_else_in_them(language: Language, name: str) -> None:
    days = getattr(TOLD.periods, name)
    changed = replace(TOLD, periods=replace(TOLD.periods, **{name: days + 6}))
    before, after = spoken(days, language), spoken(days + 6, language)
    for text_of in (notice, record):
        text = text_of(language)
        assert text_of(language, changed) == text.replace(before, after)
        assert before in text or (name == "audit_days" and text_of is notice)


@pytest.mark.parametrize("name", REQUIRED)
def test_neither_is_made_while_a_setting_is_missing(name: str) -> None:
    gap = replace(TOLD, **{name: None})  # type: ignore[arg-type]
    for make in (notice, record):
        with pytest.raises(IncompleteNotice) as caught:
            make(Language.EN, gap)
        assert caught.value.detail == f"not set: {name}"


def test_every_gap_is_named_at_once() -> None:
    bare = Disclosure("A", "a@b.example", "https://t.example.com", Language.EN, TOLD.periods)
    assert bare.missing() == REQUIRED


def test_no_officer_and_transfers_are_said_in_words() -> None:
    told = replace(
        TOLD, data_protection_officer="none", transfers=Wording(((None, "USA, standard contractual clauses"),))
    )
    text = notice(Language.EN, told)
    assert "There is no data protection officer." in text
    assert "Economic Area: USA, standard contractual clauses" in text
    assert "Nothing goes to" not in text


def test_words_in_another_language_are_marked_as_such() -> None:
    page = PAGES.render("notice.html", Language.FR, Statements(PAGES, TOLD).notice(Language.FR))
    assert '<span lang="en">So that we know what &lt;arrived&gt;.</span>' in page
    german = PAGES.render("notice.html", Language.DE, Statements(PAGES, TOLD).notice(Language.DE))
    assert "<p>Damit wir wissen, was ankam.</p>" in german
    assert '<span lang="en">Sales</span>' in german


@pytest.mark.parametrize("language", list(Language))
def test_as_plain_text_they_say_the_same_in_short_lines(language: Language) -> None:
    for template, values in (
        ("notice.html", Statements(PAGES, TOLD).notice(language)),
        ("art30.html", Statements(PAGES, TOLD).record(language, TODAY)),
    ):
        page = PAGES.render(template, language, values)
        text = plain_text(page)
        assert all(len(line) <= WIDTH for line in text.splitlines())
        assert "<" not in text.replace("<Ltd>", "").replace("<arrived>", "")
        plain = re.sub(r"(?m)^(?:- |\d\. |=+$|-+$)", "", text)
        assert words(page).replace(" ", "") in "".join(plain.split())
