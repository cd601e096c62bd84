"""A Chromium for tests that look at messages as mail programs draw them: no network, no scripts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.screen import SCREEN, Pictures, Screen
from tests.mailserver import MailServer
from tests.mailserver import mail_server as running_mail_server

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
def mails() -> Iterator[MailServer]:
    """A real SMTP server for what the tracker mails itself, one for all tests of a module."""
    with running_mail_server() as server:
        yield server


@pytest.fixture(scope="module")
def screen(browser: Browser) -> Screen:
    """A page that shows bodies of messages."""
    return Screen(browser.new_page(viewport=SCREEN, java_script_enabled=False))


@pytest.fixture(scope="module")
def pictures(browser: Browser) -> Pictures:
    """A page that reads pictures of the other."""
    page: Page = browser.new_page()
    return Pictures(page)
