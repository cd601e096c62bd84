"""Asking and answering in a real Chromium: scripts off, with the keyboard, in every language, at every width."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, ViewportSize

from tests.harness import Installation
from tests.mailserver import MailServer
from tracker.model import Language

pytestmark = pytest.mark.browser
SIZES: tuple[ViewportSize, ...] = ({"width": 1280, "height": 900}, {"width": 320, "height": 640})
"""320 is also what 400 % zoom leaves of 1280 (WCAG 2.2, 1.4.10)."""
PICTURES = os.environ.get("TRACKER_PICTURES", "")
"""A folder to put pictures of the pages into, for a person to look at."""


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory, mails: MailServer) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("asking") / "tracker"
    with Installation.copied(folder, TRACKER_SMTP_NEXT_HOP=mails.next_hop) as running:
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(java_script_enabled=False)
    yield page
    page.close()


def asked(page: Page, tracker: Installation, mails: MailServer, address: str, language: Language) -> str:
    """Fill in /ask with the keyboard alone; the link that comes."""
    before = len(mails.received)
    page.goto(f"{tracker.public_url}/ask?lang={language}")
    for key in ("Tab", "Space", "Tab", "Space", "Tab"):
        page.keyboard.press(key)
    page.keyboard.type(address)
    page.keyboard.press("Tab")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    [url] = mails.wait_for(before + 1)[before].links
    return url


def state(tracker: Installation, address: str) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = tracker.api("POST", "/v1/consents/lookup", {"address": address}).json
    return found


@pytest.mark.parametrize("language", list(Language))
def test_r6_yes_with_the_keyboard_and_without_scripts(
    page: Page, tracker: Installation, mails: MailServer, language: Language
) -> None:
    """R6: pages work without JavaScript; nothing happens until a button is pressed."""
    address = f"yes-{language}@example.org"
    page.goto(asked(page, tracker, mails, address, language) + f"?lang={language}")
    assert page.get_attribute("html", "lang") == language
    assert not state(tracker, address)["history"]
    for key in ("Tab", "Space", "Tab", "Space", "Tab"):
        page.keyboard.press(key)
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert page.locator("main ul li").count() == 2
    assert {one["purpose"] for one in state(tracker, address)["grants"]} == {"open", "click"}


@pytest.mark.parametrize("language", list(Language))
def test_no_is_one_press(page: Page, tracker: Installation, mails: MailServer, language: Language) -> None:
    address = f"no-{language}@example.org"
    page.goto(asked(page, tracker, mails, address, language) + f"?lang={language}")
    page.click("button[value=no]")
    assert page.locator("h1").count() == 1
    assert {one["purpose"] for one in state(tracker, address)["suppressed"]} == {"open", "click"}


def test_r4_pressing_yes_without_a_tick_says_so_and_grants_nothing(
    page: Page, tracker: Installation, mails: MailServer
) -> None:
    """R4: in a browser, too, the form as it comes grants nothing."""
    page.goto(asked(page, tracker, mails, "untouched@example.org", Language.DE))
    assert not page.is_checked("input[value=open]")
    assert not page.is_checked("input[value=click]")
    page.click("button[value=yes]")
    assert page.get_by_role("alert").count() == 1
    assert not state(tracker, "untouched@example.org")["history"]


def test_yes_and_no_have_the_same_weight(page: Page, tracker: Installation, mails: MailServer) -> None:
    """LAW.md section 3: neither button is larger, brighter or easier to reach than the other."""
    url = asked(page, tracker, mails, "weight@example.org", Language.DE)
    for size in SIZES:
        page.set_viewport_size(size)
        page.goto(url)
        yes, no = (page.locator(f"button[value={value}]").bounding_box() for value in ("yes", "no"))
        assert yes is not None
        assert no is not None
        assert (yes["width"], yes["height"]) == (no["width"], no["height"])
    names = page.locator(".answers button").evaluate_all(
        "all => all.map(one => ['color', 'backgroundColor', 'borderTopColor', 'fontSize', 'fontWeight']"
        ".map(name => getComputedStyle(one)[name]).join())"
    )
    assert len(names) == 2
    assert names[0] == names[1]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: str(size["width"]))
def test_the_pages_fit_load_nothing_else_and_break_no_policy(
    browser: Browser, tracker: Installation, mails: MailServer, size: ViewportSize, scheme: str
) -> None:
    said: list[str] = []
    loaded: list[str] = []
    page = browser.new_page(viewport=size, color_scheme="dark" if scheme == "dark" else "light")
    url = asked(page, tracker, mails, f"fits-{size['width']}-{scheme}@example.org", Language.DE)
    page.on("console", lambda message: said.append(message.text))
    page.on("request", lambda request: loaded.append(request.url))
    visited = []
    for name, address in (("ask", f"{tracker.public_url}/ask"), ("question", url)):
        for language in Language:
            visited.append(f"{address}?lang={language}")
            page.goto(visited[-1])
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (name, language)
            _picture(page, f"{name}-{language}-{size['width']}-{scheme}")
    assert loaded == visited
    page.click("button[value=yes]")
    _picture(page, f"nothing-ticked-{size['width']}-{scheme}")
    page.check("input[value=open]")
    page.click("button[value=yes]")
    _picture(page, f"answered-{size['width']}-{scheme}")
    page.goto(url)
    _picture(page, f"spent-{size['width']}-{scheme}")
    assert [text for text in said if "410" not in text and "422" not in text] == []  # Chromium reports the statuses
    page.close()


def _picture(page: Page, name: str) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True)
