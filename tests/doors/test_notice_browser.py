"""The privacy notice in a real browser: narrow, enlarged, dark, in every language, and linked from every other page."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, async_playwright

from tests.doors.disclosed import TOLD
from tests.doors.public_fakes import STOP, public_door
from tests.doors.test_public_browser import SCALES, luminance
from tracker.model import Language

CHROMIUM = shutil.which("chromium")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")]
COLOURS = """selector => {
    let element = document.querySelector(selector), ground = element;
    while (getComputedStyle(ground).backgroundColor === "rgba(0, 0, 0, 0)") ground = ground.parentElement;
    return [getComputedStyle(element).color, getComputedStyle(ground).backgroundColor];
}"""


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-quic"])
        yield running
        await running.close()


@pytest.mark.parametrize(("width", "ratio"), SCALES)
async def test_the_notice_fits_loads_nothing_else_and_breaks_no_policy(
    browser: Browser, width: int, ratio: int
) -> None:
    said: list[str] = []
    loaded: list[str] = []
    async with public_door(told=TOLD) as door:
        page = await browser.new_page(viewport={"width": width, "height": 640}, device_scale_factor=ratio)
        page.on("console", lambda message: said.append(message.text))
        page.on("request", lambda request: loaded.append(request.url))
        address = f"http://127.0.0.1:{door.wire.port}/notice"
        for language in Language:
            await page.goto(f"{address}?lang={language}")
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), language
        await page.close()
    assert not said
    assert loaded == [f"{address}?lang={language}" for language in Language]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_text_of_the_notice_stands_out_from_its_ground(browser: Browser, scheme: str) -> None:
    """WCAG 2.2, 1.4.3: a contrast of at least 4.5 to 1."""
    async with public_door(told=TOLD) as door:
        page = await browser.new_page(color_scheme="dark" if scheme == "dark" else "light")
        await page.goto(f"http://127.0.0.1:{door.wire.port}/notice")
        for selector in ("h1", "h2", "main p", "li", "dt", "dd", "section a", "footer p", "nav a"):
            ink, ground = (luminance(colour) for colour in await page.evaluate(COLOURS, selector))
            assert (max(ink, ground) + 0.05) / (min(ink, ground) + 0.05) >= 4.5, selector
        await page.close()


async def test_other_pages_lead_to_the_notice_by_keyboard_in_the_language_chosen(browser: Browser) -> None:
    async with public_door(told=TOLD) as door:
        page = await browser.new_page(java_script_enabled=False, locale="en-GB")
        await page.goto(f"http://127.0.0.1:{door.wire.port}/privacy/{STOP}?lang=it")
        await page.focus('footer a[href^="/notice"]')
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/notice?lang=it")
        assert (await page.inner_text("h1")).startswith("Informativa")
        await page.close()
