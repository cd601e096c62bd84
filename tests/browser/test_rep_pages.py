"""The pages of reps and managers in a real Chromium without scripts, under axe-core's eye, in both languages."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pyotp
import pytest
from playwright.sync_api import Browser

from tests.browser.staff import Visitor
from tests.browser.test_axe import axe
from tests.browser.tour import FIREFOX
from tests.doors.dashboard_world import FAST, PASSWORD
from tests.e2e.mail import OFFER, link, message, pixel
from tests.harness import Installation
from tracker.config import load
from tracker.core.calendar import day_of, hour_of
from tracker.dashboard import accounts
from tracker.doors.pages import templates_folder
from tracker.flows.passwords import Passwords
from tracker.model import Language, Role
from tracker.parts import built, utc_now

__all__ = ["axe"]
pytestmark = pytest.mark.browser
ROLES = {"rita": Role.REP, "nora": Role.REP, "mark": Role.MANAGER}
"""Nora has sent nothing."""
LABEL = "Angebot 2026-118: die Fenster im Erdgeschoss und das Vordach, wie besprochen"
ANNA, BERT, CARLA = (f"{name}@recipients.example" for name in ("anna", "bert", "carla"))
CAMPAIGN = {"Tracker_Owner": "rita@nord.example", "Tracker_Campaign": "autumn", "Tracker_Label": "Herbstbrief 2026"}


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A server with accounts, and mail of the last days."""
    crm = {"TRACKER_CRM_URL": "https://crm.example.com/contact/{reference}"}
    tracker = Installation.copied(tmp_path_factory.mktemp("reps") / "tracker", **crm)
    with ThreadPoolExecutor(1) as thread:  # this one has Playwright's loop
        thread.submit(lambda: asyncio.run(_with_accounts(tracker))).result()
    with tracker:
        _with_mail(tracker)
        _over_days(tracker.folder / "tracker.db")
        yield tracker


async def _with_accounts(tracker: Installation) -> None:
    async with built(load(tracker.folder / "tracker.toml", {})) as parts:
        made = accounts(parts, Passwords(FAST))
        for name, role in ROLES.items():
            await made.add(f"{name}@nord.example", role, (), PASSWORD, utc_now())


def _with_mail(tracker: Installation) -> None:
    for number in range(14):
        tracker.grant(f"reader{number}@recipients.example")
        sent = tracker.rewrite(message(f'<a href="https://werkstatt.example/{number % 3}">x</a>' ),
                               f"reader{number}@recipients.example", **CAMPAIGN)  # fmt: skip
        for path in (pixel(sent), link(sent))[: number % 3]:
            tracker.public("GET", path, **FIREFOX)
        if number % 5 == 0:
            tracker.public("GET", link(sent), User_Agent="Some-Link-Scanner/1.0")
    for number in range(9):
        tracker.rewrite(message("<p>x</p>"), f"unasked{number}@recipients.example", **CAMPAIGN)
    tracker.grant(ANNA)
    for number, label in enumerate((LABEL, "Muster der Griffe", "Termin am Donnerstag?")):
        copy = OFFER.replace(b"Message-ID: <", b"Message-ID: <%d" % number)
        sent = tracker.rewrite(
            copy, ANNA, Tracker_Owner="rita@nord.example", Tracker_Label=label, Tracker_Reference="4711"
        )
        for path in ((pixel(sent), link(sent)), (pixel(sent),), ())[number]:
            tracker.public("GET", path, **FIREFOX)
    signed = message("<p>x</p>", **{"DKIM-Signature": "v=1; a=rsa-sha256; d=x; s=y; h=from; bh=z; b=q"})
    for number in range(12):
        copy = signed.replace(b"<m@x>", b"<signed%d@x>" % number)
        tracker.rewrite(copy, ANNA, Tracker_Owner="rita@nord.example")
    tracker.grant(CARLA)
    assert tracker.api("POST", "/v1/consents/withdraw", {"address": CARLA}).status == 200
    no = {
        "address": BERT, "purposes": [], "method": "phone", "given_at": "2026-11-01T09:00:00Z",
        "notice_version": "2026-1", "language": "de",
        "evidence": {"source": "call", "call_started_at": "2026-11-01T09:00:00Z", "call_again": False},
    }  # fmt: skip
    assert tracker.api("POST", "/v1/consents", no).status == 200
    tracker.until_written()


def _over_days(path: Path) -> None:
    """Let the campaign have been sent some days ago, and opened since; and put totals of a team on file."""
    now = hour_of(utc_now())
    with closing(sqlite3.connect(path, timeout=30)) as plain:
        ((key,),) = plain.execute("SELECT id FROM messages WHERE label = 'Herbstbrief 2026'").fetchall()
        plain.execute("UPDATE messages SET first_hour = ?, last_hour = ? WHERE id = ?", (now - 200, now - 199, key))
        plain.execute("UPDATE deliveries SET sent_hour = ? WHERE message = ?", (now - 200, key))
        events = plain.execute(
            "SELECT events.* FROM events JOIN deliveries ON deliveries.last_day = events.last_day"
            " AND deliveries.id = events.delivery WHERE message = ?",
            (key,),
        ).fetchall()
        for number, (last_day, delivery, purpose, number_of_link, _, agent) in enumerate(events):
            row = (last_day, delivery, purpose, number_of_link, now - 199 + (number * 37) % 160, agent)
            plain.execute("INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?, ?)", row)
        today = day_of(utc_now())
        rows = [(today - 1, 240, 130, 125, 45, 130, 15), (today - 2, 185, 95, 90, 30, 95, None),
                (today - 5, 20, None, None, None, None, None)]  # fmt: skip
        plain.executemany("INSERT OR REPLACE INTO team_totals VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        plain.commit()


class RepVisitor(Visitor):
    """One of ROLES."""

    def look(self, template: str, name: str, heading: str) -> None:
        assert self.page.inner_text("h1") == self.said(heading)
        self.examine(template, name)

    def sign_in(self, name: str) -> None:
        self.sign_in_as(f"{name}@nord.example")


@pytest.fixture(params=[Language.DE, Language.EN])
def visitor(request: pytest.FixtureRequest, browser: Browser, tracker: Installation, axe: str) -> Iterator[RepVisitor]:
    with RepVisitor.at(browser, tracker, request.param, axe) as somebody:
        yield somebody


def test_a_rep_looks_at_everything(visitor: RepVisitor) -> None:
    page = visitor.page
    visitor.sign_in("rita")
    assert page.url.endswith("/feed")
    assert page.locator(".feed h2").last.inner_text() == "Termin am Donnerstag?", "nobody touched it"
    assert page.locator(".banner").count() == 1, "more than a fifth came signed"
    visitor.look("feed.html", "feed", "Messages")
    visitor.press(f".feed h2 a >> text={LABEL}")
    visitor.look("message.html", "message", LABEL)
    visitor.press("nav a[href='/campaigns']")
    visitor.look("campaigns.html", "campaigns", "Campaigns")
    visitor.press("td a >> text=Herbstbrief 2026")
    visitor.press(".feed h2 a")
    visitor.look("message.html", "campaign", "Herbstbrief 2026")
    assert page.locator("svg[role=img] rect").count() > 5
    visitor.press("nav a[href='/coverage']")
    page.click("summary")
    visitor.look("coverage.html", "coverage", "Consent coverage")

    visitor.press("nav a[href='/person']")
    visitor.look("person.html", "person-form", "People")
    page.fill("#addresses", f"Anna Example <{ANNA}>, {BERT}\n{CARLA}\nunasked1@recipients.example")
    visitor.press("main form button >> nth=-1")
    assert page.url.endswith("/person")
    assert page.locator("article.person").count() == 4
    assert page.locator(".do-not-call").count() == 1
    visitor.look("person.html", "people", "People")
    visitor.press("article.person:nth-of-type(4) button")
    page.click("summary")
    visitor.look("person.html", "call-form", "People")
    page.fill("#minutes", "7")
    page.check("#again-yes")
    page.check("#open")
    visitor.press("details button")
    assert page.locator("[role=status]").count() == 1
    assert visitor.said("reported, not confirmed yet") in page.inner_text("article.person")
    visitor.look("person.html", "call-recorded", "People")
    visitor.open("/person?reference=4711")
    assert page.locator("article.person a[href='https://crm.example.com/contact/4711']").count() == 1
    visitor.look("person.html", "reference", "People")
    with page.expect_download() as download:
        visitor.open("/feed")
        page.click("a[href='/feed/export?format=csv']")
    assert download.value.path().read_text().count("\n") == 5
    assert visitor.faults == []


def test_a_rep_who_has_sent_nothing_is_told_what_to_do(visitor: RepVisitor) -> None:
    visitor.sign_in("nora")
    visitor.look("feed.html", "feed-empty", "Messages")
    for path, name, heading in (("/campaigns", "campaigns-empty", "Campaigns"), ("/coverage", "coverage-empty",
                                "Consent coverage")):  # fmt: skip
        visitor.open(path)
        visitor.look(f"{path[1:]}.html", name, heading)
    assert visitor.faults == []


def test_a_manager_sees_totals(visitor: RepVisitor) -> None:
    page = visitor.page
    visitor.sign_in("mark")
    if page.url.partition("?")[0].endswith("/second-factor"):
        MARKS[visitor.tracker.folder] = page.inner_text(".secret")
        page.fill("#code", pyotp.TOTP(page.inner_text(".secret").replace("-", "")).now())
        visitor.press("main button")
        MARKS[visitor.tracker.folder] = page.locator(".codes code").all_inner_texts().pop()
        visitor.press("main a.go")
    else:
        page.fill("#code", MARKS[visitor.tracker.folder])
        visitor.press("main button")
    assert page.url.endswith("/team")
    visitor.look("totals.html", "team", "The team's totals")
    assert visitor.faults == []


MARKS: dict[Path, str] = {}
"""A recovery code of Mark's, who set his second factor up in the first language."""


def test_every_page_is_looked_at() -> None:
    source = Path(__file__).read_text()
    for folder in ("rep", "team"):
        for file in (templates_folder() / "dashboard" / folder).glob("*.html"):
            assert file.name in ("words.html", "list.html") or f'"{file.name}"' in source or f'"/{file.stem}"' in source


def test_a_rep_by_keyboard_alone_in_a_narrow_window(visitor: RepVisitor) -> None:
    page = visitor.page
    page.set_viewport_size({"width": 320, "height": 640})
    visitor.sign_in("rita")
    visitor.open("/person")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "addresses":
            break
    page.keyboard.type(ANNA)
    page.keyboard.press("Tab")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert page.locator("article.person h2").inner_text() == ANNA
    assert ANNA not in page.url
