"""A scanner that follows every link, as mail gateways do, changes nothing and learns nothing about anybody."""

from __future__ import annotations

import email
import email.policy
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from urllib.parse import urlencode, urljoin

import pytest
from babel.messages.pofile import read_po

from tests.e2e.mail import OFFER, link, message, pixel, stop
from tests.e2e.test_reports import STATEMENTS
from tests.harness import Installation, Reply, consent
from tests.mailserver import MailServer
from tracker.doors.languages import Languages
from tracker.doors.pages import templates_folder
from tracker.model import Agent, Language

pytestmark = pytest.mark.e2e
ANNA, BERT, CARA, DORA = (f"{name}.person@recipients.example" for name in ("anna", "bert", "cara", "dora"))
LABEL, REFERENCE, TARGET = "Angebot 2026-118", "crm-17", "files.werkstatt-nord.example/offers"
FIREFOX = {"User_Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"}
SCANNER = {"User_Agent": "Mozilla/5.0 (compatible; ExampleMailScanner/2.0)"}
STATES = (
    "You agreed on ", "You do not want this. ", "Somebody reported that you agree. ",
    "You did not agree, so nothing is measured.",
)  # fmt: skip
"""How the page of a session begins what it says of a purpose."""
MUST_STAND = {
    "grants", "ledger", "ledger_contents", "suppressions", "pending", "spent", "mailings", "deliveries", "tracked",
    "recipients", "external_ids", "calls", "audit",
}  # fmt: skip


@dataclass(frozen=True)
class World:
    """Anna is measured, Bert was reported, Cara asked, Dora was invited; each has got mail with links of ours."""

    tracker: Installation
    mails: MailServer
    sent: Reply
    """The message that Anna opened and whose link she followed."""
    told: Mapping[str, str]
    """The path of each link that somebody was sent besides: confirm, ask, mailbox, invitation."""

    def path(self, url: str) -> str:
        return url.removeprefix(self.tracker.public_url)

    def rows(self) -> dict[str, list[tuple[object, ...]]]:
        """Every table as it stands."""
        with closing(sqlite3.connect(self.tracker.folder / "tracker.db")) as plain:
            names = [name for (name,) in plain.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
            return {name: sorted(plain.execute(f"SELECT * FROM {name}"), key=repr) for name in names}


def post(tracker: Installation, path: str, **form: object) -> Reply:
    body = urlencode(form, doseq=True).encode()
    return tracker.public("POST", path, body, Content_Type="application/x-www-form-urlencoded", **FIREFOX)


@pytest.fixture
def world(tmp_path: Path, mail_server: MailServer) -> Iterator[World]:
    settings = {"TRACKER_SMTP_NEXT_HOP": mail_server.next_hop, **STATEMENTS}
    tracker = Installation.made(tmp_path / "tracker", **settings)
    key = tracker.run("key", "create", "crm", "--scope", "consent", "--scope", "invite").strip()
    with tracker:
        assert tracker.grant(ANNA, reference=REFERENCE).status == 201
        sent = tracker.rewrite(OFFER, ANNA, Tracker_Label=LABEL, Tracker_Reference=REFERENCE)
        assert sent.headers["Tracker-Outcome"] == "tracked"
        for path in (pixel(sent), link(sent)):
            tracker.public("GET", path, **FIREFOX)
        reported = consent(BERT, method="rep", evidence={"source": "trade fair"}, requested=True)
        assert tracker.api("POST", "/v1/consents", reported, key).status == 202
        mail_server.wait_for(1)
        assert post(tracker, "/ask", address=CARA, purpose=["open", "click"]).status == 200
        mail_server.wait_for(2)
        assert post(tracker, "/privacy", address=ANNA).status == 200
        confirm, ask, mailbox = mail_server.wait_for(3)
        invited = tracker.api("POST", "/v1/consents/invitations", {"address": DORA, "purposes": ["open"]}, key)
        urls = {"confirm": confirm.links[0], "ask": ask.links[0], "invitation": invited.json["url"]}
        (urls["mailbox"],) = [url for url in mailbox.links if "/me/" in url]
        told = {name: url.removeprefix(tracker.public_url) for name, url in urls.items()}
        tracker.until_written()
        yield World(tracker, mail_server, sent, told)
    tracker.kill()


def first(world: World) -> list[str]:
    """Every URL of ours in the tracked message and in the mails that we sent, and the invitation."""
    parts = email.message_from_bytes(world.sent.body, policy=email.policy.default).walk()
    texts = [unescape(part.get_content()) for part in parts if part.get_content_maintype() == "text"]
    assert len(texts) == 2
    texts += [mail.text for mail in world.mails.received]
    found = {url for text in texts for url in re.findall(r'https?://[^\s"<>]+', text)}
    ours = {world.path(url) for url in found if url.startswith(world.tracker.public_url)}
    assert {path.split("/")[1] for path in ours} == {"o", "c", "privacy", "ask", "me"}
    return [*ours, *world.told.values()]


def crawl(world: World) -> dict[str, Reply]:
    """GET, HEAD and OPTIONS each URL there is, also what forms post to; what came of each path."""
    waiting = first(world)
    seen: dict[str, Reply] = {}
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        for method in ("HEAD", "OPTIONS", "GET", "GET"):
            reply = world.tracker.public(method, path, **SCANNER)
            assert "Set-Cookie" not in reply.headers, path
        seen[path] = reply
        text = reply.body.decode("utf-8", "replace")
        found = [unescape(url) for url in re.findall(r'(?:href|action)="([^"#]+)"', text)]
        urls = [world.path(urljoin(f"{world.tracker.public_url}{path}", url)) for url in found]
        waiting += [url for url in urls if url.startswith("/")]
    return seen


def test_r5_r49_who_follows_every_link_changes_nothing_spends_nothing_and_sees_nobody(world: World) -> None:
    """R5, R6, R49: every URL in the message, in our mails and on the pages, by GET, HEAD and OPTIONS."""
    before, mails = world.rows(), len(world.mails.received)
    assert before.keys() >= MUST_STAND
    assert {"grants", "ledger", "pending", "deliveries", "mailings", "external_ids"} <= {
        name for name, rows in before.items() if rows
    }
    seen = crawl(world)

    reached = {re.sub(r"/[A-Za-z0-9_.-]{40,}", "/{token}", path.partition("?")[0]) for path in seen}
    assert reached >= {"/ask", "/ask/{token}", "/privacy", "/privacy/{token}", "/privacy/{token}/withdraw",
                       "/me/{token}", "/notice", "/o/{token}"}  # fmt: skip
    assert {reply.status for path, reply in seen.items() if path.startswith("/c/")} == {302}
    assert {reply.status for path, reply in seen.items() if not path.startswith("/c/")} == {200}
    said = Languages(templates_folder() / "locale")
    states = {said.text(language, text) for language in Language for text in known_states()}
    for path, reply in seen.items():
        page = unescape(reply.body.decode("utf-8", "replace"))
        for personal in (ANNA, BERT, CARA, DORA, LABEL, REFERENCE, TARGET, *(beginning(text) for text in states)):
            assert personal not in page, path
    assert len(world.mails.received) == mails

    assert world.tracker.stop() == 0  # whatever was on its way to the database is there
    after = world.rows()
    new = set(after["events"]) - set(before["events"])
    assert set(before["events"]) <= set(after["events"])
    assert {event_agent(row) for row in new} == {Agent.MACHINE}
    assert {event_agent(row) for row in before["events"]} == {Agent.HUMAN}
    still = before.keys() - {"events", "installation", "swept"}  # the last two hold the server's own marks
    assert {name: after[name] for name in still} == {name: before[name] for name in still}

    world.tracker.start()
    post_each(world)


def post_each(world: World) -> None:
    """Each link still does what it is for: none was spent."""
    tracker = world.tracker
    for name in ("ask", "confirm", "invitation"):
        assert post(tracker, world.told[name], answer="yes", purpose=["open"]).status == 200, name
        assert post(tracker, world.told[name], answer="yes", purpose=["open"]).status == 410, name
    opened = post(tracker, world.told["mailbox"])
    assert (opened.status, opened.headers["Location"].partition("?")[0]) == (303, "/me")
    cookie = opened.headers["Set-Cookie"].partition(";")[0]
    page = tracker.public("GET", "/me?lang=en", Cookie=cookie).body.decode()
    assert all(personal in page for personal in (LABEL, REFERENCE, TARGET, "You agreed on "))
    assert post(tracker, world.told["mailbox"]).status == 410
    assert post(tracker, f"{stop(world.sent)}/withdraw").status == 200
    for address in (BERT, CARA, DORA):
        copy = tracker.rewrite(message("<p>x</p>", Message_ID=f"<{address}>"), address)
        assert copy.headers["Tracker-Outcome"] == "tracked", address
    assert tracker.rewrite(OFFER, ANNA).headers["Tracker-Outcome"] == "untouched"


def known_states() -> list[str]:
    """The English texts that tell how somebody stands; each begins as STATES says."""
    with (templates_folder() / "locale" / "de.po").open("rb") as stream:
        texts = [str(entry.id) for entry in read_po(stream)]
    found = [text for text in texts if text.startswith(STATES)]
    assert len(found) == len(STATES)
    return found


def beginning(text: str) -> str:
    """TEXT up to what is filled in."""
    start = text.partition("%(")[0].strip()
    assert len(start) > 5
    return start


def event_agent(row: tuple[object, ...]) -> object:
    return row[-1]
