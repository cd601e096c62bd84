"""Every page in a real Chromium under axe-core's eye: each language, light and dark, at both ends of widths.

Each language sees both widths and both colours; that every width comes in every colour, two languages show together.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal

import pytest
from playwright.sync_api import Browser, Page, ViewportSize

import tests
from tests.browser.tour import Stop, Tour, World, show
from tests.mailserver import mail_server as running_mail_server
from tracker.doors.languages import Languages
from tracker.doors.pages import templates_folder
from tracker.model import Language

pytestmark = pytest.mark.browser
TESTS = Path(tests.__path__[0])
AXE = TESTS.parent / ".venv" / "axe" / "node_modules" / "axe-core"
WIDE: Final[ViewportSize] = {"width": 1280, "height": 900}
NARROW: Final[ViewportSize] = {"width": 320, "height": 640}
LOOKS: Final[tuple[tuple[ViewportSize, Literal["light", "dark"]], ...]] = (
    (WIDE, "light"), (NARROW, "dark"), (NARROW, "light"), (WIDE, "dark")
)  # fmt: skip
"""The first two are those of German and French, the last two those of English and Italian."""
RUN = """async () => {
    // What still fades in is no text to judge yet: it would be found too pale.
    await Promise.allSettled(document.getAnimations().map(one => one.finished));
    const options = {resultTypes: ["violations"], rules: {"target-size": {enabled: true}}};
    return (await axe.run(document, options)).violations.map(one => [
        one.id, one.nodes.map(node => node.html.slice(0, 120) + " | " + node.failureSummary),
    ]);
}"""
PICTURES = os.environ.get("TRACKER_PICTURES", "")
"""A folder to put pictures of the pages into, for a person to look at."""


@pytest.fixture(scope="module")
def axe() -> str:
    """The source of axe-core, in the version that tests/tools.sh names."""
    pinned = re.findall(r"^axe=(\S+)$", (TESTS / "tools.sh").read_text(), re.MULTILINE)
    assert len(pinned) == 1
    if not (AXE / "package.json").is_file():
        pytest.skip("needs axe-core, which tests/tools.sh installs where there is npm")
    assert [json.loads((AXE / "package.json").read_text())["version"]] == pinned, "run tests/tools.sh"
    return (AXE / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_mail_server() as mails:
        world = World.made(tmp_path_factory.mktemp("tour") / "tracker", mails)
        with world.tracker:
            yield world


@pytest.fixture
def page(browser: Browser, axe: str) -> Iterator[Page]:
    """A page with axe-core in it; it comes by the debugging protocol, so that the pages' own policy stays in force."""
    context = browser.new_context()
    context.add_init_script(axe)
    yield context.new_page()
    context.close()


def broken(page: Page, language: Language | None = None) -> list[Any]:
    """The rules that the open page breaks, in each of the looks of LANGUAGE; None: in all of them."""
    found = []
    ours = slice(0, 2) if language in (Language.DE, Language.FR) else slice(2, 4)
    for size, scheme in LOOKS if language is None else LOOKS[ours]:
        page.set_viewport_size(size)
        page.emulate_media(color_scheme=scheme)
        found += [(size["width"], scheme, *one) for one in page.evaluate(RUN)]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (page.url, size)
    return found


def picture(page: Page, stop: Stop, language: Language) -> None:
    """Keep the open page in each of the looks, and as it is printed."""
    for size, scheme in LOOKS if PICTURES else ():
        page.set_viewport_size(size)
        page.emulate_media(color_scheme=scheme)
        page.screenshot(path=Path(PICTURES) / f"{stop.name}-{language}-{size['width']}-{scheme}.png", full_page=True)
    if PICTURES:
        page.emulate_media(media="print", color_scheme="light")
        page.screenshot(path=Path(PICTURES) / f"{stop.name}-{language}-print.png", full_page=True)
        page.emulate_media(media="screen")


@pytest.mark.parametrize("language", list(Language))
def test_no_page_breaks_a_rule_of_axe(world: World, page: Page, language: Language) -> None:
    """R6: accessible pages; every template is visited, so that a new page cannot be forgotten."""
    folder = templates_folder()
    said = Languages(folder / "locale")
    visited = set()
    violations = []
    for stop in Tour(world, page, language).stops():
        visited.add(stop.template)
        assert page.inner_text("h1").rstrip(".") == said.text(language, stop.heading).rstrip("."), stop.name
        violations += [(stop.name, *one) for one in broken(page, language)]
        picture(page, stop, language)
    assert violations == []
    templates = {str(file.relative_to(folder)) for file in folder.rglob("*.html")}
    parts = {"base.html", *(str(file.relative_to(folder)) for file in folder.glob("parts/*"))}
    english_alone = set() if language is Language.EN else {"audit/page.html"}
    # The dashboard has a tour of its own, and mails are no pages.
    elsewhere = {name for name in templates if name.startswith(("dashboard/", "mail/"))}
    assert visited == templates - parts - english_alone - elsewhere


def test_axe_would_find_a_fault(page: Page) -> None:
    show(page, "<title>x</title><main><h1>x</h1><p style='color: #ccc; background: #fff'>hard to read</p></main>")
    for language in (Language.DE, Language.EN):
        assert {rule for _, _, rule, _ in broken(page, language)} == {"color-contrast", "html-has-lang"}
