"""One person's way through everything, in a real Chromium without scripts: asked, measured, seen, stopped, erased."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.test_asking import asked, state
from tests.e2e.mail import OFFER, link, pixel, stop
from tests.harness import Installation
from tests.mailserver import MailServer
from tracker.doors.languages import Languages
from tracker.doors.pages import templates_folder
from tracker.model import Language

pytestmark = pytest.mark.browser
FIREFOX = {"User_Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"}
SAID = Languages(templates_folder() / "locale")


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory, mails: MailServer) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("life") / "tracker"
    with Installation.made(folder, TRACKER_SMTP_NEXT_HOP=mails.next_hop) as running:
        yield running


@pytest.fixture(params=list(Language))
def language(request: pytest.FixtureRequest) -> Language:
    return Language(request.param)


@pytest.fixture
def page(browser: Browser, language: Language) -> Iterator[Page]:
    context = browser.new_context(java_script_enabled=False, locale=language.value)
    yield context.new_page()
    context.close()


def press(page: Page, selector: str) -> None:
    with page.expect_navigation():
        page.click(selector)


def reads(page: Page, language: Language, heading: str) -> None:
    """The page that is open has HEADING, in LANGUAGE."""
    assert page.locator("html").get_attribute("lang") == language
    assert page.inner_text("h1") == SAID.text(language, heading)


def test_the_whole_life_of_one_person(page: Page, tracker: Installation, mails: MailServer, language: Language) -> None:
    """R6, R9, R47, R48, R49, R51: each step by a page of ours and a mail that really came, none by a script."""
    address = f"life-{language}@recipients.example"
    page.goto(asked(page, tracker, mails, address, language))
    reads(page, language, "May opens and clicks in our e-mail be measured?")
    page.check("input[value=open]")
    page.check("input[value=click]")
    press(page, "button[value=yes]")
    reads(page, language, "Thank you: your yes is recorded")

    sent = tracker.rewrite(OFFER, address)
    assert sent.headers["Tracker-Purposes"] == "click, open"
    image = tracker.public("GET", pixel(sent), **FIREFOX)
    target = tracker.public("GET", link(sent), **FIREFOX).headers["Location"]

    page.goto(f"{tracker.public_url}{stop(sent)}?lang={language}")
    reads(page, language, "Opens and clicks in our e-mail")
    press(page, "input[value=click] + button")
    reads(page, language, "Clicks are no longer measured")
    page.go_back()
    press(page, "a[href^='/privacy']")
    reads(page, language, "See what is stored about you")
    page.fill("#address", address)
    before = len(mails.received)
    press(page, "main button")
    reads(page, language, "Please look into your mailbox")
    mail = mails.wait_for(before + 1)[before]
    assert mail.recipients == (address,)
    assert mail.message["Subject"] == SAID.text(language, "Your link to what is stored about you")

    page.goto(mail.links[0])
    press(page, "main button")
    reads(page, language, "What is stored about you")
    assert page.locator("#events + div tbody tr").count() == 1, "the click went with the consent to it"
    assert page.locator("#history + div tbody tr").count() == 2
    with page.expect_download() as download:
        page.click("form[action^='/me/export.json'] button")
    taken = json.loads(download.value.path().read_bytes())
    assert [one["purpose"] for one in taken["events"]] == ["open"]
    press(page, "a[href^='/me/erase']")
    press(page, "main form button")
    reads(page, language, "It is erased")
    page.goto(f"{tracker.public_url}/me?lang={language}")
    reads(page, language, "Your time on this page is over")

    assert tracker.rewrite(OFFER, address).body == OFFER
    assert not state(tracker, address)["grants"]
    assert tracker.public("GET", pixel(sent), **FIREFOX).body == image.body
    assert tracker.public("GET", link(sent), **FIREFOX).headers["Location"] == target
