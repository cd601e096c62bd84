"""The recipient's pages in a real browser: without scripts, narrow, enlarged, in the dark, in every language."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from tests.doors.disclosed import TOLD
from tests.doors.public_fakes import STOP, public_door
from tracker.model import MAIL_PURPOSES, Language

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
    pytest.mark.asyncio(loop_scope="module"),
]
PRIVACY, NOTICE = f"/privacy/{STOP}", "/notice"
PAGES = [PRIVACY, NOTICE]
TEXTS = {
    PRIVACY: ("h1", "main p", ".who", ".act p", "li", "button", "section a", "footer p", "footer a", "nav a"),
    NOTICE: ("h1", "h2", "main p", "li", "dt", "dd", "section a", "footer p", "nav a"),
}
COLOURS = """selector => {
    let element = document.querySelector(selector), ground = element;
    while (getComputedStyle(ground).backgroundColor === "rgba(0, 0, 0, 0)") ground = ground.parentElement;
    return [getComputedStyle(element).color, getComputedStyle(ground).backgroundColor];
}"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-quic"]
        running = await playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield running
        await running.close()


async def test_one_press_of_the_button_withdraws_without_scripts(browser: Browser) -> None:
    """R6: without JavaScript; nothing happens before the press."""
    async with public_door() as door:
        page = await browser.new_page(java_script_enabled=False, locale="de-DE")
        await page.goto(f"http://127.0.0.1:{door.wire.port}{PRIVACY}")
        assert not door.consents.withdrawn
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/withdraw")
        assert await page.inner_text("h1") == "Ihre Einwilligung ist widerrufen"
        await page.close()
    assert [purposes for purposes, _ in door.consents.withdrawn] == [MAIL_PURPOSES]


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize(("width", "ratio"), [(1280, 1), (320, 1), (320, 4)])
async def test_a_page_fits_loads_nothing_else_and_breaks_no_policy(
    browser: Browser, path: str, width: int, ratio: int
) -> None:
    """320 CSS pixels are also what 400 % zoom leaves of 1280 (WCAG 2.2, 1.4.10)."""
    said: list[str] = []
    loaded: list[str] = []
    async with public_door(told=TOLD) as door:
        page = await browser.new_page(viewport={"width": width, "height": 640}, device_scale_factor=ratio)
        page.on("console", lambda message: said.append(message.text))
        page.on("request", lambda request: loaded.append(request.url))
        address = f"http://127.0.0.1:{door.wire.port}{path}"
        for language in Language:
            await page.goto(f"{address}?lang={language}")
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), language
        await page.close()
    assert not said
    assert loaded == [f"{address}?lang={language}" for language in Language]


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_text_stands_out_from_its_ground(browser: Browser, path: str, scheme: str) -> None:
    """WCAG 2.2, 1.4.3: a contrast of at least 4.5 to 1."""
    async with public_door(told=TOLD) as door:
        page = await browser.new_page(color_scheme="dark" if scheme == "dark" else "light")
        await page.goto(f"http://127.0.0.1:{door.wire.port}{path}")
        for selector in TEXTS[path]:
            ink, ground = (luminance(colour) for colour in await page.evaluate(COLOURS, selector))
            assert (max(ink, ground) + 0.05) / (min(ink, ground) + 0.05) >= 4.5, selector
        await page.close()


async def test_other_pages_lead_to_the_notice_by_keyboard_in_the_language_chosen(browser: Browser) -> None:
    async with public_door(told=TOLD) as door:
        page = await browser.new_page(java_script_enabled=False, locale="en-GB")
        await page.goto(f"http://127.0.0.1:{door.wire.port}{PRIVACY}?lang=it")
        await page.focus('footer a[href^="/notice"]')
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/notice?lang=it")
        assert (await page.inner_text("h1")).startswith("Informativa")
        await page.close()


def luminance(colour: str) -> float:
    """Relative luminance of `rgb(r, g, b)` (WCAG 2.2, glossary)."""
    channels = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
