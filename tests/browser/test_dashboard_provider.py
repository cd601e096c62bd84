"""Signing in with a company's account: a certified provider as a process of its own, and a real Chromium between."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

import tests
from tests.browser.test_dashboard import with_accounts
from tests.harness import PATIENCE, Installation, free_port
from tracker.model import Role

pytestmark = pytest.mark.browser
TESTS = Path(tests.__path__[0])
PACKAGE = TESTS.parent / ".venv" / "oidc" / "node_modules" / "oidc-provider"
NODE = shutil.which("node")
RITA, MARK = "rita@werkstatt-nord.example", "mark@werkstatt-nord.example"
UNVERIFIED = "unverified@werkstatt-nord.example"


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A server that knows the provider, and the provider."""
    pinned = re.findall(r"^oidc=(\S+)$", (TESTS / "tools.sh").read_text(), re.MULTILINE)
    if NODE is None or not (PACKAGE / "package.json").is_file():
        pytest.skip("needs node and oidc-provider, which tests/tools.sh installs where there is npm")
    assert [json.loads((PACKAGE / "package.json").read_text())["version"]] == pinned, "run tests/tools.sh"
    port = free_port()
    installation = Installation.copied(
        tmp_path_factory.mktemp("company") / "tracker",
        TRACKER_OIDC_ISSUER=f"http://127.0.0.1:{port}",
        TRACKER_OIDC_CLIENT_ID="tracker",
        TRACKER_OIDC_CLIENT_SECRET="a secret / with: odd=signs",
    )
    with_accounts(installation, {RITA: Role.REP, MARK: Role.MANAGER, UNVERIFIED: Role.REP})
    back = f"{installation.dashboard_url}/sign-in/provider/back"
    words = (NODE, str(TESTS / "browser" / "oidc_provider.mjs"), str(PACKAGE), str(port), back)
    provider = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert provider.stdout is not None
    try:
        assert provider.stdout.readline() == "listening\n"
        warm_up(port)
        with installation:
            yield installation
    finally:
        installation.kill()
        provider.terminate()
        provider.wait(PATIENCE)
        provider.stdout.close()


def warm_up(port: int) -> None:
    """Ask once what the tracker asks first: a Node that has just begun may take longer than the tracker waits."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/.well-known/openid-configuration", timeout=PATIENCE) as told:
        keys = json.load(told)["jwks_uri"]
    urllib.request.urlopen(keys, timeout=PATIENCE).close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(java_script_enabled=False, locale="en")
    yield context.new_page()
    context.close()


def through_the_provider(page: Page, tracker: Installation, email: str) -> None:
    """From the dashboard to the provider, signed in there as EMAIL, agreed, and back."""
    page.goto(f"{tracker.dashboard_url}/account?x=1")
    with page.expect_navigation():
        page.click("main a.go")
    assert "/interaction/" in page.url, "the provider's own page"
    page.fill("input[name=login]", email)
    page.fill("input[name=password]", "anything")
    with page.expect_navigation():
        page.click("button[type=submit]")
    with page.expect_navigation():
        page.click("button[type=submit]")


def test_a_rep_signs_in_with_the_companys_account(page: Page, tracker: Installation) -> None:
    through_the_provider(page, tracker, RITA)
    assert page.url == f"{tracker.dashboard_url}/account?x=1"
    assert RITA in page.inner_text("main")
    (cookie,) = [one for one in page.context.cookies(tracker.dashboard_url) if one["name"] == "staff"]
    assert cookie["httpOnly"]
    page.go_back()
    page.go_back()
    page.goto(f"{tracker.dashboard_url}/account")
    assert RITA in page.inner_text("main")


def test_a_manager_needs_our_second_factor_all_the_same(page: Page, tracker: Installation) -> None:
    through_the_provider(page, tracker, MARK)
    assert page.inner_text("h1") == "Set up a second factor"


@pytest.mark.parametrize("email", ["nobody@werkstatt-nord.example", UNVERIFIED])
def test_an_address_that_is_nobodys_or_not_verified_opens_nothing(
    page: Page, tracker: Installation, email: str
) -> None:
    through_the_provider(page, tracker, email)
    assert page.inner_text("h1") == "Sign in"
    assert page.locator('[role="alert"]').count() == 1
    page.goto(f"{tracker.dashboard_url}/account")
    assert page.inner_text("h1") == "Sign in"


def test_no_address_and_no_code_of_the_provider_stands_in_the_log(page: Page, tracker: Installation) -> None:
    through_the_provider(page, tracker, RITA)
    log = tracker.log_file.read_text()
    assert "GET /sign-in/provider/back 303" in log
    for piece in (RITA, "code=", "state="):
        assert piece not in log
