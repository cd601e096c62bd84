"""The dashboard in a real Chromium without scripts: signing in, second factor, sessions, the privacy officer's pages.

Every page is looked at by axe-core, in both languages, light and dark, at both ends of widths.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pyotp
import pytest
from playwright.sync_api import Browser

from tests.browser.staff import SAID, Visitor
from tests.browser.test_axe import axe
from tests.browser.test_rights_pages import go_to
from tests.doors.dashboard_world import FAST, PASSWORD
from tests.e2e.mail import OFFER, link, pixel
from tests.harness import Installation
from tracker.config import load
from tracker.dashboard import accounts
from tracker.doors.pages import templates_folder
from tracker.flows.passwords import Passwords
from tracker.model import Language, Role
from tracker.parts import built, utc_now

__all__ = ["axe"]
pytestmark = pytest.mark.browser
FIREFOX = {"User_Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"}
ANNA = "anna@recipients.example"


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A server with an account for each test and language: `rep1-de` and so on."""
    installation = Installation.copied(tmp_path_factory.mktemp("staff") / "tracker")
    people = {"paula": Role.PRIVACY, "mark": Role.MANAGER, **{f"rep{number}": Role.REP for number in range(4)}}
    spoken = (Language.DE, Language.EN)
    with_accounts(
        installation,
        {f"{name}-{lang}@werkstatt-nord.example": role for lang in spoken for name, role in people.items()},
    )
    with installation:
        yield installation
    installation.kill()


def with_accounts(installation: Installation, logins: Mapping[str, Role]) -> None:
    """Make accounts with LOGINS in INSTALLATION, quicker than its command line does."""

    async def make() -> None:
        async with built(load(installation.folder / "tracker.toml", {})) as parts:
            made = accounts(parts, Passwords(FAST))
            for login, role in logins.items():
                await made.add(login, role, (), PASSWORD, utc_now())

    with ThreadPoolExecutor(1) as thread:  # this one has Playwright's loop
        thread.submit(lambda: asyncio.run(make())).result()


class StaffVisitor(Visitor):
    """Each language has accounts of its own."""

    def look(self, template: str, name: str, heading: str) -> None:
        assert self.page.inner_text("h1").rstrip(".") == self.said(heading).rstrip(".")
        self.examine(template, name)

    def login(self, name: str) -> str:
        return f"{name}-{self.language}@werkstatt-nord.example"

    def sign_in(self, name: str, password: str = PASSWORD) -> None:
        self.sign_in_as(self.login(name), password)


@pytest.fixture(params=[Language.DE, Language.EN])
def visitor(
    request: pytest.FixtureRequest, browser: Browser, tracker: Installation, axe: str
) -> Iterator[StaffVisitor]:
    with StaffVisitor.at(browser, tracker, request.param, axe) as somebody:
        yield somebody


def code(secret: str, used: str = "") -> str:
    """What the telephone shows; where that was USED, what it shows next: clocks may be off by a step."""
    totp, now = pyotp.TOTP(secret.replace("-", "")), datetime.now(UTC)
    return next(shown for shown in (totp.at(now), totp.at(now + timedelta(seconds=30))) if shown != used)


def test_the_privacy_officer_from_the_first_sign_in_to_an_erasure(visitor: StaffVisitor) -> None:
    page = visitor.page
    tracker, anna = visitor.tracker, f"{visitor.language}-{ANNA}"
    visitor.open("/requests")
    visitor.look("sign-in.html", "sign-in", "Sign in")
    page.fill("#login", visitor.login("paula"))
    page.fill("#password", "wrong wrong wrong")
    visitor.press("main button")
    assert page.locator('[role="alert"]').count() == 1
    visitor.look("sign-in.html", "sign-in-wrong", "Sign in")
    page.fill("#password", PASSWORD)
    visitor.press("main button")

    visitor.look("second-factor.html", "enrol", "Set up a second factor")
    secret = page.inner_text(".secret")
    assert page.locator('[role="img"] svg path').count() == 2, "the QR code"
    used = code(secret)
    page.fill("#code", used)
    visitor.press("main button")
    visitor.look("recovery-codes.html", "recovery-codes", "Your recovery codes")
    codes = page.locator(".codes code").all_inner_texts()
    assert len(codes) == 10
    visitor.press("main a.go")
    assert page.url.endswith("/requests"), "where the way began"

    tracker.grant(anna, reference=f"crm-{visitor.language}")
    sent = tracker.rewrite(OFFER, anna, Tracker_Label="Angebot 2026-118: die Fenster im Erdgeschoss und das Vordach")
    for path in (pixel(sent), link(sent)):
        tracker.public("GET", path, **FIREFOX)
    tracker.until_written()
    visitor.look("requests.html", "requests", "Requests")
    page.fill("#address", "anna")
    page.eval_on_selector("main form", "form => form.noValidate = true")
    visitor.press("main button")
    visitor.look("requests.html", "requests-problem", "Requests")
    page.fill("#address", anna)
    page.fill("#case", "2026/17")
    visitor.press("main button")
    visitor.look("request-shown.html", "request-shown", "What is held about the person")
    assert page.locator("table[aria-labelledby=events] tbody tr").count() == 2
    assert anna not in page.url
    with page.expect_download() as download:
        page.click("main form .choices button")
    assert len(json.loads(download.value.path().read_bytes())["events"]) == 2
    visitor.press("button[formaction='/requests/erase']")
    visitor.look("request-erase.html", "request-erase", "Erase this person?")
    visitor.press("main form button")
    visitor.look("request-erased.html", "request-erased", "It is erased")

    for path, name, heading in (
        ("/consents", "consents", "Consents"), ("/audit", "audit", "Audit trail"), ("/deletion", "deletion", "Deletion")
    ):  # fmt: skip
        visitor.press(f"nav a[href='{path}']")
        assert page.locator("nav [aria-current=page]").count() == 1
        visitor.look(f"{name}.html", name, heading)
    assert "2026/17" in page.goto(f"{tracker.dashboard_url}/audit").text()  # type: ignore[union-attr]

    visitor.press("header button")
    visitor.sign_in("paula")
    visitor.look("code.html", "code", "The second factor")
    page.fill("#code", used)
    visitor.press("main button")
    assert page.locator('[role="alert"]').count() == 1, "a code is good once"
    page.fill("#code", codes[0])
    visitor.press("main button")
    visitor.press(".self a")
    visitor.look("account.html", "account", "Your account")
    visitor.press("a[href='/account/recovery-codes']")
    visitor.look("renew-codes.html", "renew-codes", "New recovery codes")
    visitor.open("/nothing")
    visitor.look("error.html", "error", "There is nothing here.")
    assert visitor.faults == []
    templates = {file.name for file in (templates_folder() / "dashboard").glob("*.html")}
    only_reps = {"password.html", "remove-second-factor.html"}
    assert templates - visitor.seen == {"base.html", "parts.html"} | only_reps, "each page is looked at"


def test_a_rep_by_keyboard_alone(visitor: StaffVisitor) -> None:
    """Password, second factor and sessions of one's own account, without a mouse."""
    page = visitor.page
    page.set_viewport_size({"width": 320, "height": 640})
    visitor.open("/account")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.focus("#login")
    page.keyboard.type(visitor.login("rep0"))
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    with page.expect_navigation():
        page.keyboard.press("Enter")
    visitor.look("account.html", "account-rep", "Your account")
    assert page.locator("nav a").count() == 0 or page.locator("nav a[href='/consents']").count() == 0

    go_to(page, "a[href='/account/password']")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    visitor.look("password.html", "password", "Change your password")
    page.fill("#current", PASSWORD)
    page.fill("#new", "passwordpassword")
    page.fill("#again", "passwordpassword")
    visitor.press("main button")
    visitor.look("password.html", "password-common", "Change your password")

    visitor.open("/second-factor")
    secret = page.inner_text(".secret")
    used = code(secret)
    page.fill("#code", used)
    page.fill("#password", PASSWORD)
    visitor.press("main button")
    visitor.press("main a.go")
    visitor.press("header button")
    visitor.sign_in("rep0")
    page.fill("#code", code(secret, used))
    visitor.press("main button")
    visitor.open("/account/remove-second-factor")
    visitor.look("remove-second-factor.html", "remove-second-factor", "Remove the second factor")
    page.fill("#password", PASSWORD)
    visitor.press("main button")
    assert page.locator('[role="status"]').count() == 1
    assert visitor.faults == []


def test_my_other_browser_is_signed_out_from_this_one(visitor: StaffVisitor, browser: Browser) -> None:
    visitor.sign_in("rep1")
    other = browser.new_context(java_script_enabled=False)
    second = StaffVisitor(visitor.tracker, other, other.new_page(), visitor.language, "")
    second.sign_in("rep1")
    visitor.open("/account")
    visitor.look("account.html", "account-sessions", "Your account")
    visitor.press("form[action='/account/end-others'] button")
    second.open("/account")
    assert "/sign-in" in second.page.url
    visitor.open("/account")
    assert visitor.page.url.endswith("/account")
    assert visitor.faults == []
    other.close()


def test_the_language_is_chosen_on_the_page_and_kept_with_the_account(visitor: StaffVisitor) -> None:
    page = visitor.page
    other = Language.EN if visitor.language is Language.DE else Language.DE
    visitor.open("/account?x=1")
    visitor.press(f"footer button[value={other}]")
    assert page.inner_text("h1") == SAID.text(other, "Sign in")
    page.fill("#login", visitor.login("mark"))
    page.fill("#password", PASSWORD)
    visitor.press("main button")
    visitor.press(f"footer button[value={other}]")
    assert page.locator("html").get_attribute("lang") == other
    page.reload()
    assert page.locator("html").get_attribute("lang") == other


def test_no_script_runs_and_nothing_comes_from_elsewhere(visitor: StaffVisitor) -> None:
    asked = []
    visitor.page.on("request", lambda request: asked.append(request.url))
    visitor.sign_in("rep2")
    visitor.open("/account")
    assert all(url.startswith(visitor.tracker.dashboard_url) for url in asked)
    assert visitor.page.locator("script, link, img, iframe").count() == 0


def test_another_sites_form_does_nothing_in_chromium(visitor: StaffVisitor) -> None:
    """The cookie does not come along with it, and the browser says where it is from."""
    visitor.sign_in("rep3")
    page = visitor.context.new_page()
    evil = f'<form method="post" action="{visitor.tracker.dashboard_url}/account/end-others"><button>x</button></form>'
    page.route("https://evil.example/", lambda route: route.fulfill(body=evil, content_type="text/html"))
    page.goto("https://evil.example/")
    with page.expect_navigation():
        page.click("button")
    said = SAID.text(visitor.language, "You are not signed in any more.")
    assert page.inner_text("h1") == said.rstrip("."), "no cookie came along"
    visitor.open("/account")
    assert visitor.page.url.endswith("/account")
