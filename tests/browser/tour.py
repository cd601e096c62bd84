"""Leads a browser through every page that a person or an officer can be shown, one after the other, in one language."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from playwright.sync_api import Page

from tests.e2e.mail import NEWSLETTER, OFFER, link, pixel, stop
from tests.e2e.test_operations import locked
from tests.e2e.test_reports import STATEMENTS
from tests.e2e.test_secrets import age
from tests.flows.test_audit import PLAIN, TRACKING
from tests.harness import Installation
from tests.mailserver import MailServer
from tracker.model import Language

FIREFOX: Final = {"User_Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"}
FILE: Final = "https://file.invalid/"
LABEL: Final = "Angebot 2026-118: die Fenster im Erdgeschoss und das Vordach, wie besprochen"
"""As long as subjects are."""


@dataclass(frozen=True)
class World:
    """A running installation, the mail server behind it, and a link that a key signed which was retired since."""

    tracker: Installation
    mails: MailServer
    retired: str

    @classmethod
    def made(cls, folder: Path, mails: MailServer) -> World:
        """Everything set that a page may need; the caller starts the server."""
        tracker = Installation.made(folder, TRACKER_SMTP_NEXT_HOP=mails.next_hop, **STATEMENTS)
        with tracker:
            tracker.grant("early@recipients.example")
            retired = link(tracker.rewrite(OFFER, "early@recipients.example"))
        tracker.run("secret", "rotate")
        age(tracker)
        tracker.run("secret", "retire", "A")
        return cls(tracker, mails, retired)

    def mailed(self, act: Callable[[], object]) -> str:
        """The link in the mail that ACT has sent; of several, the first."""
        before = len(self.mails.received)
        act()
        return self.mails.wait_for(before + 1)[before].links[0]


@dataclass(frozen=True)
class Stop:
    """A page that is open now."""

    template: str
    """The file below `templates/` that makes it."""
    name: str
    heading: str = ""
    """Its English heading, where it always has the same: what shows that this page is open, and not another."""


def show(page: Page, html: str) -> None:
    """Open HTML that no server of ours shows, such as a report that was written to a file."""
    page.route(FILE, lambda route: route.fulfill(body=html, content_type="text/html; charset=utf-8"))
    page.goto(FILE)
    page.unroute(FILE)


class Tour:
    """One person's way past all pages in LANGUAGE."""

    def __init__(self, world: World, page: Page, language: Language) -> None:
        self._world = world
        self._tracker = world.tracker
        self._page = page
        self._language = language
        self._address = f"anna-{language}@recipients.example"

    def stops(self) -> Iterator[Stop]:
        """Each page in turn; the next is opened when the one before has been looked at."""
        yield from self._asked()
        yield from self._stopped()
        yield from self._shown_and_erased()
        yield from self._others()
        if self._language is Language.EN:
            yield self._audit()

    def _open(self, url: str) -> None:
        path = url.removeprefix(self._tracker.public_url)
        self._page.goto(f"{self._tracker.public_url}{path}?lang={self._language}")

    def _press(self, selector: str) -> None:
        with self._page.expect_navigation():
            self._page.click(selector)

    def _ask(self, address: str) -> str:
        """The link that /ask mails to ADDRESS."""
        self._open("/ask")
        self._page.check("input[value=open]")
        self._page.check("input[value=click]")
        self._page.fill("#address", address)
        return self._world.mailed(lambda: self._press("main button"))

    def _asked(self) -> Iterator[Stop]:
        question = "May opens and clicks in our e-mail be measured?"
        self._open("/ask")
        yield Stop("ask.html", "ask", question)
        self._press("main button")
        yield Stop("ask.html", "ask-problem", question)
        url = self._ask(self._address)
        yield Stop("ask-sent.html", "ask-sent", "Please look into your mailbox")
        self._open(url)
        yield Stop("question.html", "question", question)
        self._press("button[value=yes]")
        yield Stop("question.html", "question-problem", question)
        self._page.check("input[value=open]")
        self._page.check("input[value=click]")
        self._press("button[value=yes]")
        yield Stop("answered.html", "answered-yes", "Thank you: your yes is recorded")
        self._open(url)
        yield Stop("ask-closed.html", "ask-closed", "This link has been used already.")
        self._open(self._ask(f"bert-{self._language}@recipients.example"))
        self._press("button[value=no]")
        yield Stop("answered.html", "answered-no", "Thank you: your no is recorded")

    def _measured(self, message: bytes) -> str:
        """The path of the page behind the notice of a message that was opened and whose link was followed."""
        sent = self._tracker.rewrite(message, self._address, Tracker_Label=LABEL)
        assert sent.headers["Tracker-Outcome"] == "tracked"
        for path in (pixel(sent), link(sent)):
            self._tracker.public("GET", path, **FIREFOX)
        return stop(sent)

    def _stopped(self) -> Iterator[Stop]:
        way = self._measured(NEWSLETTER)
        self._measured(OFFER)
        self._open(way)
        yield Stop("privacy.html", "privacy", "Opens and clicks in our e-mail")
        journal, away = self._tracker.folder / "journal", self._tracker.folder / "away"
        journal.rename(away)
        try:
            with locked(self._tracker):
                self._press("main form button")
        finally:
            away.rename(journal)
        yield Stop("not-recorded.html", "not-recorded", "Your withdrawal could not be recorded just now.")
        self._open(way)
        self._press("input[value=click] + button")
        yield Stop("withdrawn.html", "withdrawn-clicks", "Clicks are no longer measured")

    def _shown_and_erased(self) -> Iterator[Stop]:
        self._open("/privacy")
        yield Stop("mailbox.html", "mailbox", "See what is stored about you")
        self._press("main button")
        yield Stop("mailbox.html", "mailbox-problem", "See what is stored about you")
        self._page.fill("#address", self._address)
        url = self._world.mailed(lambda: self._press("main button"))
        yield Stop("mailbox-sent.html", "mailbox-sent", "Please look into your mailbox")
        self._open(url)
        yield Stop("mailbox-link.html", "mailbox-link", "See what is stored about you")
        self._press("main button")
        yield Stop("me.html", "me", "What is stored about you")
        self._press("form[action^='/me/withdraw'] button")
        yield Stop("me.html", "me-withdrawn", "What is stored about you")
        self._press("a[href^='/me/erase']")
        yield Stop("erase.html", "erase", "Erase everything that is stored about you?")
        self._press("main form button")
        yield Stop("erased.html", "erased", "It is erased")
        self._open("/me")
        yield Stop("over.html", "over", "Your time on this page is over")
        self._open(f"{url}")
        self._press("main button")
        yield Stop("over.html", "over-link", "This link is not valid any more")

    def _others(self) -> Iterator[Stop]:
        self._open(self._world.retired)
        yield Stop("destination.html", "destination", "Please check where this link leads")
        self._open("/nothing")
        yield Stop("error.html", "error", "There is nothing here.")
        self._open("/notice")
        yield Stop("notice.html", "notice", "Privacy notice: opens and clicks in our e-mail")
        words = ("report", "art30", "--language", self._language.value, "--format", "html")
        show(self._page, self._tracker.run(*words))
        yield Stop("art30.html", "art30", "Record of processing: opens and clicks in e-mail")

    def _audit(self) -> Stop:
        sent = self._tracker.folder / "sent"
        sent.mkdir()
        for number, message in enumerate((TRACKING, PLAIN)):
            (sent / f"{number}.eml").write_bytes(message)
        (sent / "note.txt").write_text("nothing")
        words = (sys.executable, "-m", "tracker", "audit", str(sent), "--format", "html")
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
        show(self._page, done.stdout)
        return Stop("audit/page.html", "audit", "1 of 2 messages tracks people.")
