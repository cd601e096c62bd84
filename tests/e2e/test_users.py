"""Accounts from the command line: passwords on stdin, never in arguments; and a server that lets them in or not."""

from __future__ import annotations

import http.client
import math
import re
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.e2e.crew import Pinned, workers
from tests.harness import Installation, Reply, ask

pytestmark = pytest.mark.e2e
PASSWORD = "drei blaue Kamele schwimmen"
RITA = "Rita@Werkstatt-Nord.example"


@pytest.fixture
def tracker(tmp_path: Path) -> Installation:
    return Installation.copied(tmp_path / "tracker")


def add(tracker: Installation, *words: str, password: str = PASSWORD, status: int = 0) -> str:
    done = tracker.process("user", "add", *words, stdin=password.encode() + b"\n", status=status)
    return (done.stdout + done.stderr).decode()


def dashboard(tracker: Installation, method: str, path: str, body: bytes | None = None, cookie: str = "") -> Reply:
    headers = {"Sec-Fetch-Site": "same-origin", "Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"}
    return ask(tracker.dashboard_url, method, path, body, headers, source="127.0.0.77")


def cookie_of(headers: http.client.HTTPMessage) -> str:
    return headers["Set-Cookie"].partition(";")[0]


def sign_in(tracker: Installation, login: str, password: str = PASSWORD) -> Reply:
    page = dashboard(tracker, "GET", "/sign-in")
    key = re.findall(rb'name="form" value="([^"]+)"', page.body)[0].decode()
    body = urlencode({"form": key, "login": login, "password": password}).encode()
    return dashboard(tracker, "POST", "/sign-in", body, cookie_of(page.headers))


def test_accounts_are_made_listed_disabled_and_enabled(tracker: Installation) -> None:
    assert tracker.dashboard_url in add(tracker, RITA, "--role", "rep", "--alias", "r.meier@werkstatt-nord.example")
    listed = tracker.run("user", "list")
    assert listed.startswith(
        "rita@werkstatt-nord.example (r.meier@werkstatt-nord.example): rep, without a second factor; made 20"
    )
    tracker.run("user", "disable", RITA)
    assert "; disabled 20" in tracker.run("user", "list")
    tracker.run("user", "enable", RITA)
    assert tracker.run("user", "list") == listed


def test_no_address_is_two_accounts_and_none_is_no_account(tracker: Installation) -> None:
    add(tracker, RITA, "--role", "rep")
    assert "belongs to an account already" in add(tracker, RITA, "--role", "manager", status=1)
    taken = ("x@werkstatt-nord.example", "--role", "rep", "--alias", RITA)
    assert "belongs to an account already" in add(tracker, *taken, status=1)
    assert "must be one e-mail address" in add(tracker, "nobody", "--role", "rep", status=1)
    assert len(tracker.run("user", "list").splitlines()) == 1


def test_a_password_that_others_guess_makes_no_account(tracker: Installation) -> None:
    for password in ("kurz", "passwordpassword", "werkstatt nord gmbh"):
        said = add(tracker, RITA, "--role", "rep", password=password, status=1)
        assert "This password cannot be set." in said
        assert password not in said
    assert tracker.run("user", "list") == ""


def test_what_names_nobody_says_so(tracker: Installation) -> None:
    for word in ("disable", "password"):
        done = tracker.process("user", word, RITA, stdin=PASSWORD.encode(), status=1)
        assert b"there is no such account" in done.stderr


def test_a_running_server_knows_at_once_who_may_sign_in(tracker: Installation) -> None:
    add(tracker, RITA, "--role", "rep")
    with tracker:
        opened = sign_in(tracker, RITA)
        assert opened.status == 303
        cookie = cookie_of(opened.headers)
        assert dashboard(tracker, "GET", "/account", cookie=cookie).status == 200
        tracker.run("user", "password", RITA, stdin=b"vier rote Elefanten tanzen\n")
        assert dashboard(tracker, "GET", "/account", cookie=cookie).status == 303
        assert sign_in(tracker, RITA).status == 403
        opened = sign_in(tracker, RITA, "vier rote Elefanten tanzen")
        assert opened.status == 303
        cookie = cookie_of(opened.headers)
        tracker.run("user", "disable", RITA)
        assert dashboard(tracker, "GET", "/account", cookie=cookie).status == 303
        assert sign_in(tracker, RITA, "vier rote Elefanten tanzen").status == 403
    log = tracker.log_file.read_text()
    assert "POST /sign-in 303" in log
    for secret in ("rita", "Elefanten", PASSWORD, cookie.partition("=")[2]):
        assert secret not in log


def test_the_database_holds_passwords_as_hashes_and_sessions_as_digests(tracker: Installation) -> None:
    add(tracker, RITA, "--role", "rep")
    with tracker:
        token = cookie_of(sign_in(tracker, RITA).headers).partition("=")[2]
    with closing(sqlite3.connect(tracker.folder / "tracker.db")) as sql:
        (stored,) = sql.execute("SELECT password FROM accounts").fetchone()
        assert sql.execute("SELECT count(*) FROM sessions").fetchone() == (1,)
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    octets = (tracker.folder / "tracker.db").read_bytes()
    assert PASSWORD.encode() not in octets
    assert token.encode() not in octets


def test_tries_at_all_workers_count_together(tracker: Installation) -> None:
    """R57: with more workers nobody has more tries; each pause is twice the one before, from a second on."""
    tracker.start(workers=2)
    try:
        with ExitStack() as stack:
            both = [stack.enter_context(Pinned(tracker, pid, tracker.dashboard_url)) for pid in workers(tracker)]

            def tried(at: Pinned) -> list[int]:
                return [_guess(at) for _ in range(10)]

            began = time.monotonic()
            with ThreadPoolExecutor(2) as threads:
                statuses = [status for found in threads.map(tried, both) for status in found]
            pauses = math.log2(time.monotonic() - began + 1)
        assert set(statuses) == {403, 429}
        assert 5 <= statuses.count(403) <= 5 + pauses + 1
    finally:
        tracker.kill()


def _guess(at: Pinned) -> int:
    """The status with which one worker answers a wrong password."""
    page = at.ask("GET", "/sign-in")
    key = re.findall(rb'name="form" value="([^"]+)"', page.body)[0].decode()
    body = urlencode({"form": key, "login": RITA, "password": "not the password at all"}).encode()
    named = {"content_type": "application/x-www-form-urlencoded", "sec_fetch_site": "same-origin"}
    return at.ask("POST", "/sign-in", body, cookie=cookie_of(page.headers), **named).status
