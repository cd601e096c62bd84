"""A Chromium for tests that look at messages as mail programs draw them: no network, no scripts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.screen import SCREEN, Pictures, Screen

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("needs Debian's chromium")
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-quic", "--force-color-profile=srgb", "--disable-lcd-text"]
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield running
        running.close()


@pytest.fixture(scope="module")
def screen(browser: Browser) -> Screen:
    """A page that shows bodies of messages."""
    return Screen(browser.new_page(viewport=SCREEN, java_script_enabled=False))


@pytest.fixture(scope="module")
def pictures(browser: Browser) -> Pictures:
    """A page that reads pictures of the other."""
    page: Page = browser.new_page()
    return Pictures(page)
