"""The pages of a person in a real browser: no scripts, keyboard alone, 320 pixels, dark and light, four languages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize

from tests.e2e.mail import OFFER, link, pixel, stop
from tests.harness import Installation, Reply
from tests.mailserver import MailServer
from tracker.model import Language

pytestmark = pytest.mark.browser

NARROW: ViewportSize = {"width": 320, "height": 640}
"""What is left of a usual window at 400 % zoom (WCAG 1.4.10)."""
FIREFOX = {"User_Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"}
_LEVELS = "() => [...document.querySelectorAll('h1, h2, h3')].map(heading => Number(heading.tagName[1]))"
_NAMELESS = """() => [...document.querySelectorAll('button, a, input:not([type=hidden]), [role=region]')].filter(one =>
    !(one.textContent.trim() || one.labels?.length || one.getAttribute('aria-labelledby'))).map(one => one.outerHTML)"""
_CONTRAST = """() => {
    const rgb = text => (text.match(/[\\d.]+/g) ?? []).map(Number);
    const linear = v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const light = ([r, g, b]) => [r, g, b].map(v => linear(v / 255)).reduce((sum, v, i) =>
        sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const ground = one => { for (let at = one; at; at = at.parentElement) {
        const found = rgb(getComputedStyle(at).backgroundColor); if (found.length === 3 || found[3] > 0) return found; }
        return [255, 255, 255]; };
    return [...document.querySelectorAll('main *, footer *')].filter(one => [...one.childNodes].some(node =>
        node.nodeType === 3 && node.data.trim())).map(one => { const [a, b] =
        [light(rgb(getComputedStyle(one).color)), light(ground(one))].sort((x, y) => y - x);
        return [(a + 0.05) / (b + 0.05), one.outerHTML.slice(0, 80)]; }).filter(([ratio]) => ratio < 4.5); }"""


@pytest.fixture
def tracker(tmp_path: Path, mail_server: MailServer) -> Iterator[Installation]:
    installation = Installation.copied(tmp_path / "tracker", TRACKER_SMTP_NEXT_HOP=mail_server.next_hop)
    with installation:
        yield installation
    installation.kill()


@pytest.fixture(params=["light", "dark"])
def person(request: pytest.FixtureRequest, browser: Browser) -> Iterator[BrowserContext]:
    """A browser that runs no scripts, in a window as narrow as at 400 % zoom."""
    context = browser.new_context(viewport=NARROW, java_script_enabled=False, color_scheme=request.param)
    yield context
    context.close()


def measured(tracker: Installation, address: str) -> Reply:
    assert tracker.grant(address, reference="crm-17").status == 201
    sent = tracker.rewrite(OFFER, address, Tracker_Label="Angebot mit einem recht langen Betreff, wie er vorkommt")
    for path in (pixel(sent), link(sent)):
        tracker.public("GET", path, **FIREFOX)
    tracker.until_written()
    return sent


def fits(page: Page) -> None:
    """The page reads well as it stands: nothing to scroll sideways, headings in order, names, contrast."""
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"], page.url
    levels = page.evaluate(_LEVELS)
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert page.evaluate(_NAMELESS) == []
    assert page.evaluate(_CONTRAST) == []


def press(page: Page, selector: str) -> None:
    """Go to the element by the Tab key, as somebody without a mouse does, and press Enter; another page comes."""
    go_to(page, selector)
    enter(page)


def go_to(page: Page, selector: str) -> None:
    """Press Tab until the element has the focus, and shows it."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
            return
    raise AssertionError(f"no way to {selector} by the Tab key")


def enter(page: Page) -> None:
    with page.expect_navigation():
        page.keyboard.press("Enter")


@pytest.mark.parametrize("language", list(Language))
def test_the_whole_way_by_keyboard_alone(
    tracker: Installation, mail_server: MailServer, person: BrowserContext, language: Language
) -> None:
    """R47, R48, R49: prove the mailbox, see, take along, switch off, erase."""
    address = f"anna-{language}@recipients.example"
    sent = measured(tracker, address)
    page = person.new_page()
    page.goto(f"{tracker.public_url}{stop(sent)}?lang={language}")
    fits(page)
    press(page, f'a[href="/privacy?lang={language}"]')
    fits(page)
    page.focus("#address")
    page.keyboard.type(address)
    enter(page)
    fits(page)
    (url,) = [url for url in mail_server.wait_for(1)[0].links if "/me/" in url]

    page.goto(url + f"?lang={language}")
    fits(page)
    press(page, "main button")
    assert page.url.endswith(f"/me?lang={language}")
    assert page.locator("html").get_attribute("lang") == language
    assert page.locator("table").count() == 3
    fits(page)
    go_to(page, 'form[action^="/me/export.json"] button')
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert len(json.loads(download.value.path().read_bytes())["events"]) == 2
    press(page, 'form[action^="/me/withdraw"] input[value="open"] + button')
    assert page.locator('[role="status"]').count() == 1
    assert page.locator("table").first.locator("tbody tr").count() == 1
    fits(page)
    press(page, 'a[href^="/me/erase"]')
    fits(page)
    press(page, "main button")
    fits(page)
    page.goto(f"{tracker.public_url}/me?lang={language}")
    assert page.locator("table").count() == 0
    fits(page)


def test_a_wrong_address_is_told_to_who_does_not_see_it(tracker: Installation, person: BrowserContext) -> None:
    page = person.new_page()
    page.goto(f"{tracker.public_url}/privacy")
    page.focus("#address")
    page.keyboard.type("anna")
    enter(page)
    assert page.locator('[role="alert"]').count() == 1
    described = page.locator("#address").get_attribute("aria-describedby")
    assert page.locator(f"#{described}").inner_text().strip()
    fits(page)
