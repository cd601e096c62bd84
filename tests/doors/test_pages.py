"""The pages are complete in every language and load nothing from anywhere."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import replace
from datetime import date
from hashlib import sha256
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from aiohttp.test_utils import make_mocked_request
from babel.messages.extract import extract
from babel.messages.pofile import read_po

from tests.core.test_export import HELD
from tests.doors.disclosed import TOLD
from tracker.core import inventory
from tracker.core.periods import SIX_MONTHS
from tracker.doors import about, forgotten_report, held_view
from tracker.doors.ask_page import TEXTS
from tracker.doors.languages import Languages
from tracker.doors.pages import Pages, Site, templates_folder
from tracker.doors.statements import BASES, STAFF_BASIS, Statements
from tracker.model import (
    AskClosed,
    AskExpired,
    AskRetired,
    AskSpent,
    BadRequest,
    BadToken,
    Feature,
    FormTooLarge,
    IncompleteNotice,
    InvalidField,
    Language,
    NeedsOwnMail,
    NotAllowed,
    NotFound,
    Notice,
    NotJustNow,
    NotRecorded,
    PageFailed,
    StoreUnavailable,
    TrackerError,
)

ERRORS = (
    AskClosed, AskExpired, AskRetired, AskSpent, BadRequest, BadToken, FormTooLarge, IncompleteNotice, InvalidField,
    NeedsOwnMail, NotAllowed, NotFound, NotJustNow, NotRecorded, PageFailed, StoreUnavailable,
)  # fmt: skip
"""What can happen at the public door."""
SPEAKERS = (about, forgotten_report, held_view)
"""Modules that put what is held into words."""
OPTIONS = {
    "trimmed": "true",
    "newstyle_gettext": "true",
    "trim_blocks": "true",
    "lstrip_blocks": "true",
    "silent": "false",
}
FOLDER = templates_folder()
PLACEHOLDER = re.compile(r"%\(\w+\)s")
STATEMENTS = Statements(
    Pages(Site("Example & Sons <Ltd>", "privacy@example.com", "https://t.example.com", 91, 730, 1095)), TOLD
)
BOXES: dict[str, object] = {
    "purposes": {"open", "click"},
    "ticked": (),
    "problem": "Problem.",
    "notice": Notice("2026-1", Language.EN, "Text\n[ ] opens <b>"),
}
PAGES: dict[str, dict[str, object]] = {
    "privacy.html": {"action": "/privacy/x/withdraw", "query": ""},
    "mailbox.html": {"possible": True, "wrong": True, "query": "", "valid": "15 minutes", "often": 3},
    "mailbox-sent.html": {"query": "", "valid": "15 minutes", "often": 3},
    "mailbox-link.html": {"action": "/me/x", "query": "", "valid": "15 minutes", "often": 3},
    "over.html": {"which": "link", "query": "", "valid": "15 minutes"},
    "me.html": {
        **held_view.HeldView(Languages(FOLDER / "locale"), Language.EN).values(HELD),
        "query": "?lang=de",
        "form_key": "k",
        "closes": "12:15",
        "done": "withdrawn",
    },
    "erase.html": {"query": "", "form_key": "k"},
    "erased.html": {"backups": "35 days"},
    "notice.html": STATEMENTS.notice(Language.EN),
    "art30.html": STATEMENTS.record(Language.EN, date(2026, 11, 23)),
    "withdrawn.html": {"which": "all"},
    "ask.html": {"possible": True, "address": 'a"<b>@example.org', **BOXES},
    "ask-sent.html": {"period": "30 days"},
    "question.html": {"action": "/ask/x", **BOXES},
    "answered.html": {"agreed": ("open",)},
    "ask-closed.html": {"title": "Title", "meaning": "Meaning.", "remedy": "Remedy."},
    "error.html": {"title": "Title", "meaning": "Meaning.", "remedy": "Remedy."},
    "not-recorded.html": {
        "title": "Title",
        "meaning": "Meaning.",
        "remedy": "Remedy.",
        "action": "/privacy/x/withdraw",
        "purposes": ("open",),
    },
    "destination.html": {
        "url": "https://shop.example.com/a?b=1&c=2",
        "host": "shop.example.com",
        "blocked": False,
    },
}


def site(contact: str = "privacy@example.com", public_url: str = "https://t.example.com") -> Site:
    return Site("Example & Sons <Ltd>", contact, public_url, retention_days=91, consent_days=730, proof_days=1095)


def words(changed: Site, template: str, **values: object) -> str:
    """What the page of TEMPLATE says in English, in one line."""
    page = Pages(changed).render(template, Language.EN, {**PAGES[template], **values})
    return " ".join(unescape(page.partition("<main>")[2].partition("</main>")[0]).split())


def texts() -> set[str]:
    """Every English text that a page can show."""
    found = {*BASES, STAFF_BASIS, *TEXTS, *inventory.texts()}
    found |= {text for error in ERRORS for text in (error.title, error.meaning, error.remedy)}
    for template in (*FOLDER.glob("*.html"), *FOLDER.glob("parts/*.html"), *FOLDER.glob("mail/*.*")):
        with template.open("rb") as stream:
            for _, message, _, _ in extract(
                "jinja2.ext:babel_extract", stream, keywords=dict.fromkeys(("_", "gettext")), options=OPTIONS
            ):
                assert isinstance(message, str)
                found.add(message)
    return found | spoken()


def spoken() -> set[str]:
    """Every English text that code says to a recipient."""
    found = set()
    for module in SPEAKERS:
        with Path(module.__file__ or "").open("rb") as stream:
            for _, message, _, _ in extract("python", stream, keywords=dict.fromkeys(("said", "_said"))):
                assert isinstance(message, str)
                found.add(message)
    return found


@pytest.mark.parametrize("language", [language for language in Language if language is not Language.EN])
def test_each_catalogue_is_complete_and_has_nothing_left_over(language: Language) -> None:
    file = FOLDER / "locale" / f"{language}.po"
    with file.open("rb") as stream:
        catalogue = read_po(stream, abort_invalid=True)
    translated = {str(message.id): str(message.string) for message in catalogue if message.id and not message.fuzzy}
    assert set(translated) == texts()
    assert not catalogue.obsolete
    entries = len(re.findall(r"^msgid ", file.read_text(encoding="utf-8"), re.MULTILINE))
    assert entries == len(translated) + 1, "a text stands there twice"  # one more is the catalogue's own head
    for english, translation in translated.items():
        assert translation.strip()
        assert sorted(PLACEHOLDER.findall(translation)) == sorted(PLACEHOLDER.findall(english)), english


def test_no_french_line_begins_with_a_sign() -> None:
    """French puts a space before these signs, and it must be one at which no line is broken."""
    with (FOLDER / "locale" / "fr.po").open("rb") as stream:
        texts = [str(message.string) for message in read_po(stream) if message.id]
    assert any("\u00a0:" in text for text in texts)
    assert not [text for text in texts if re.search(r" [:;?!»]|« ", text)]


class Outline(HTMLParser):
    """The elements of a page, and what they point at."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize("template", list(PAGES))
def test_a_page_is_whole_semantic_and_loads_nothing(template: str, language: Language) -> None:
    answer = Pages(site()).answer(template, language, PAGES[template])
    assert answer.text is not None
    outline = Outline(answer.text)
    names = [tag for tag, _ in outline.tags]
    assert names.count("h1") == names.count("main") == names.count("title") == 1
    assert dict(outline.tags)["html"]["lang"] == language == answer.headers["Content-Language"]
    assert not {"script", "img", "link", "iframe", "object", "embed", "base"} & set(names)
    assert not any("src" in attributes or "style" in attributes for _, attributes in outline.tags)
    assert not any(name.startswith("on") for _, attributes in outline.tags for name in attributes)
    assert "url(" not in answer.text
    assert "Example &amp; Sons &lt;Ltd&gt;" in answer.text
    assert "mailto:privacy@example.com" in answer.text


def test_every_template_is_looked_at_here() -> None:
    assert {template.name for template in FOLDER.glob("*.html")} == {"base.html", *PAGES}


def test_the_policy_allows_the_one_style_and_nothing_else() -> None:
    """R59: content security policy, HSTS, nosniff."""
    answer = Pages(site()).answer("privacy.html", Language.EN, PAGES["privacy.html"])
    assert answer.text is not None
    style = answer.text.partition("<style>")[2].partition("</style>")[0]
    digest = b64encode(sha256(style.encode()).digest()).decode()
    assert answer.headers["Content-Security-Policy"].split("; ") == [
        "default-src 'none'",
        "object-src 'none'",
        f"style-src 'sha256-{digest}'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Robots-Tag"] == "noindex, nofollow"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert "Set-Cookie" not in answer.headers


def test_without_https_no_browser_is_told_to_insist_on_it() -> None:
    assert "Strict-Transport-Security" not in Pages(site(public_url="http://127.0.0.1:8080")).headers


@pytest.mark.parametrize("language", list(Language))
def test_the_page_names_the_periods_in_force(language: Language) -> None:
    text = unescape(Pages(site()).answer("privacy.html", language, PAGES["privacy.html"]).text or "")
    numbers = [int(number) for number in re.findall(r"\b\d+\b", text.partition("<main>")[2].partition("</main>")[0])]
    assert numbers == [91, 91, 2, 3, 3]


@pytest.mark.parametrize("which", ["open", "click", "all"])
def test_the_answer_to_a_withdrawal_says_what_was_withdrawn(which: str) -> None:
    page = Pages(site()).answer("withdrawn.html", Language.EN, {"which": which}).text or ""
    heading = page.partition("<h1>")[2].partition("</h1>")[0]
    expected = {"open": "Opens are no longer", "click": "Clicks are no longer", "all": "Your consent is withdrawn"}
    assert heading.startswith(expected[which])
    assert f"<title>{heading} – " in page


@pytest.mark.parametrize("template", ["privacy.html", "notice.html"])
def test_a_system_that_is_told_by_webhooks_is_named_and_only_then(template: str) -> None:
    """GDPR Art. 13(1)(e): to whom it goes, and when."""
    alone, told = words(site(), template), words(replace(site(), told_system="crm <a>"), template)
    assert "By itself this software passes it on to nobody else." in alone
    assert "to nobody else" not in told
    assert "this software also passes it on to the system “crm <a>”: once that hour is over, or as it happens" in told
    assert "it is told when your consent ends" in told
    assert "“" not in alone.partition("on to nobody else")[0]
    for text in (alone, told):
        assert "The systems that they work with can read it too" in text


@pytest.mark.parametrize(
    ("told_system", "features", "said", "unsaid"),
    [
        ("", "", ["They see it once the hour", "to nobody else"], ["as it happens", "consent ends"]),
        ("", "live webhook", ["They see it as it happens", "to nobody else"], ["once the hour", "consent ends"]),
        ("crm", "", ["They see it once the hour", "to nobody else", "If the system “crm” knows you"], ["also passes"]),
        (
            "crm",
            "webhook",
            ["also passes it on to the system “crm” once that hour is over"],
            ["nobody else", "happens."],
        ),
        ("crm", "live webhook", ["They see it as it", "system “crm” as it happens"], ["nobody else", "hour is over"]),
    ],
)
def test_who_is_asked_learns_who_sees_it_under_that_text_and_when(
    told_system: str, features: str, said: list[str], unsaid: list[str]
) -> None:
    notice = Notice("2026-1", Language.EN, "Text", frozenset(map(Feature, features.split())))
    for template in ("ask.html", "question.html"):
        text = words(replace(site(), told_system=told_system), template, notice=notice)
        seen = text.partition("who sees it")[2].partition("How long")[0]
        assert all(one in seen for one in said), seen
        assert not any(one in seen for one in unsaid), seen
        assert "That a measured message was sent to you: until 91 days after it was sent." in text


@pytest.mark.parametrize("which", ["open", "click", "all"])
def test_after_a_withdrawal_it_is_told_what_stays_and_for_how_long(which: str) -> None:
    text = words(replace(site(), proof_days=100), "withdrawn.html", which=which)
    assert "measured messages were sent to you, until 91 days after each was sent" in text
    assert "of this withdrawal, for 100 days" in text
    assert f"do not want to be measured, for {SIX_MONTHS} days, or longer" in text  # never less than six months


def test_what_becomes_of_erased_rows_is_told_by_the_database_in_use() -> None:
    for template in ("erased.html", "art30.html"):
        file, server = (words(replace(site(), own_file=own), template) for own in (True, False))
        assert re.search("database is rewritten once a day|overwritten in the file", file)
        assert "database server" not in file
        assert "he database server frees deleted rows to be overwritten" in server
        assert not re.search("rewritten|in the file", server)


@pytest.mark.parametrize("template", ["privacy.html", "ask.html", "question.html", "notice.html"])
def test_a_look_at_address_and_user_agent_is_told(template: str) -> None:
    """R35: not stored is not "not processed" (GDPR Art. 13)."""
    assert "its IP address and user agent are evaluated in memory for a moment" in words(site(), template)


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_says_what_happened_what_it_means_and_what_to_do_but_no_detail(error: type[TrackerError]) -> None:
    request = make_mocked_request("GET", "/", headers={"Accept-Language": "en"})
    answer = Pages(site()).error(request, error("anna@example.org"))
    text = unescape(answer.text or "")
    assert answer.status == error.status
    for said in (error.title.rstrip("."), error.meaning, error.remedy):
        assert said in text
    assert "anna@" not in text


@pytest.mark.parametrize(
    ("contact", "shown"),
    [
        ("https://example.com/privacy", '<a href="https://example.com/privacy" rel="noreferrer">'),
        ("Hauptstr. 1 <b>", "Hauptstr. 1 &lt;b&gt;"),
        ('"a b"@example.com', '<a href="mailto:&#34;a b&#34;@example.com">'),
    ],
)
def test_the_contact_is_a_link_where_it_can_be_one(contact: str, shown: str) -> None:
    assert shown in (Pages(site(contact)).answer("withdrawn.html", Language.EN, {"which": "all"}).text or "")


@pytest.mark.parametrize(
    ("target", "accept", "otherwise", "language"),
    [
        ("/privacy/x?lang=it", "fr", Language.DE, "it"),
        ("/privacy/x", "fr", Language.DE, "fr"),
        ("/privacy/x", "nl", Language.DE, "de"),
        ("/privacy/x?lang=xx", "", None, "en"),
    ],
)
def test_a_link_on_the_page_outranks_the_browser_and_the_browser_the_token(
    target: str, accept: str, otherwise: Language | None, language: str
) -> None:
    request = make_mocked_request("GET", target, headers={"Accept-Language": accept})
    assert Pages(site()).language_of(request, otherwise) == language
