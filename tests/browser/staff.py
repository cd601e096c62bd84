"""Somebody who signs in to the dashboard, at a browser that runs no scripts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from playwright.sync_api import Browser, BrowserContext, Page

from tests.browser.test_axe import broken, picture
from tests.browser.tour import Stop
from tests.doors.dashboard_world import PASSWORD
from tests.harness import Installation
from tracker.doors.languages import Languages
from tracker.doors.pages import templates_folder
from tracker.model import Language

_FOLDER = templates_folder()
SAID = Languages(_FOLDER / "locale", _FOLDER / "dashboard" / "locale")


@dataclass
class Visitor:
    """Somebody at a page of the dashboard."""

    tracker: Installation
    context: BrowserContext
    page: Page
    language: Language
    axe: str
    seen: set[str] = field(default_factory=set)
    faults: list[Any] = field(default_factory=list)

    @classmethod
    @contextmanager
    def at(cls, browser: Browser, tracker: Installation, language: Language, axe: str) -> Iterator[Self]:
        """One in a context of their own."""
        # axe-core comes by the debugging protocol, which needs scripts on; the pages' own policy allows them none.
        context = browser.new_context(locale=language.value)
        context.add_init_script(axe)
        yield cls(tracker, context, context.new_page(), language, axe)
        context.close()

    def open(self, path: str) -> None:
        self.page.goto(f"{self.tracker.dashboard_url}{path}")

    def press(self, selector: str) -> None:
        with self.page.expect_navigation():
            self.page.click(selector)

    def said(self, english: str) -> str:
        return SAID.text(self.language, english)

    def examine(self, template: str, name: str) -> None:
        """The page of TEMPLATE is open; axe-core finds nothing, and pictures are taken when they are wanted."""
        self.seen.add(template)
        assert self.page.locator("html").get_attribute("lang") == self.language
        self.faults += [(name, *one) for one in broken(self.page, self.language)]
        picture(self.page, Stop(template, f"staff-{name}"), self.language)

    def sign_in_as(self, login: str, password: str = PASSWORD) -> None:
        self.open("/sign-in")
        self.page.fill("#login", login)
        self.page.fill("#password", password)
        self.press("main button")
