"""A person's rights, with the real program and a real mail server: prove the mailbox, see, take along, stop, erase."""

from __future__ import annotations

import csv
import io
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from shutil import copytree
from urllib.parse import urlencode, urlsplit

import pytest

from tests.e2e.mail import OFFER, link, paths, pixel, stop
from tests.e2e.test_nothing_rests_on_disk import search
from tests.harness import Installation, Reply
from tests.mailserver import MailServer

ANNA = "anna.person@recipients.example"
FIREFOX = {"User_Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"}
PERSONAL = ("crm-17", "Angebot 2026-118", "files.werkstatt-nord.example/offers", ANNA)


@pytest.fixture
def tracker(tmp_path: Path, mail_server: MailServer) -> Iterator[Installation]:
    installation = Installation.copied(tmp_path / "tracker", TRACKER_SMTP_NEXT_HOP=mail_server.next_hop)
    with installation:
        yield installation
    installation.kill()


class Browser:
    """What a person's browser does: one cookie, forms with their hidden fields."""

    def __init__(self, tracker: Installation) -> None:
        self._tracker = tracker
        self._cookie = ""

    def get(self, path: str) -> Reply:
        return self._tracker.public("GET", path, **self._headers())

    def post(self, path: str, *fields: tuple[str, str]) -> Reply:
        """POST a form, and follow the redirect that may come."""
        body = urlencode(fields).encode()
        reply = self._tracker.public(
            "POST", path, body, Content_Type="application/x-www-form-urlencoded", **self._headers()
        )
        if cookie := reply.headers["Set-Cookie"]:
            self._cookie = cookie.partition(";")[0]
        return self.get(reply.headers["Location"]) if reply.status == 303 else reply

    def press(self, page: Reply, action: str, *fields: tuple[str, str]) -> Reply:
        """Press the button of the form on PAGE that posts to ACTION."""
        forms = re.findall(r'<form[^>]* action="([^"]+)">(.*?)</form>', page.body.decode(), re.DOTALL)
        path, form = next(found for found in forms if urlsplit(found[0]).path == action)
        hidden = re.findall(r'<input type="hidden" name="(.*?)" value="(.*?)">', form)
        return self.post(path, *[pair for pair in hidden if pair[0] == "form"], *fields)

    def _headers(self) -> dict[str, str]:
        return {"Accept_Language": "en", **({"Cookie": self._cookie} if self._cookie else {})}


def measured(tracker: Installation) -> Reply:
    """A message to Anna that she opened and whose link she followed."""
    assert tracker.grant(ANNA, reference="crm-17").status == 201
    sent = tracker.rewrite(OFFER, ANNA, Tracker_Label="Angebot 2026-118", Tracker_Reference="crm-17")
    assert sent.headers["Tracker-Outcome"] == "tracked"
    tracker.public("GET", pixel(sent), **FIREFOX)
    tracker.public("GET", link(sent), **FIREFOX)
    tracker.until_written()
    return sent


def mailbox_link(tracker: Installation, mails: MailServer, address: str = ANNA) -> str:
    """The path of the link that was mailed to ADDRESS."""
    known = len(mails.received)
    assert Browser(tracker).post("/privacy", ("address", address)).status == 200
    mail = mails.wait_for(known + 1)[-1]
    assert mail.recipients == (address,)
    (url,) = [url for url in mail.links if "/me/" in url]
    assert url.startswith(tracker.public_url)
    return url.removeprefix(tracker.public_url)


def test_r47_r48_r51_see_take_along_and_be_erased(
    tracker: Installation, mail_server: MailServer, tmp_path: Path
) -> None:
    """R47, R48, R51: the whole way of one person; links and pixels outlive it (R10, R31)."""
    sent = measured(tracker)
    image = tracker.public("GET", pixel(sent), **FIREFOX)
    targets = [tracker.public("GET", path, **FIREFOX).headers["Location"] for path in paths(sent, "c")]
    browser = Browser(tracker)
    token = mailbox_link(tracker, mail_server)
    button = browser.get(token)
    assert not any(personal in button.body.decode() for personal in PERSONAL)
    page = browser.press(button, token)
    for personal in PERSONAL[:3]:
        assert personal in page.body.decode()
    assert browser.post(token).status == 410, "a link opens one session"

    taken = browser.press(page, "/me/export.json").json
    assert {one["purpose"] for one in taken["events"]} == {"open", "click"}
    assert taken["references"] == [
        {"source": "tests", "reference": "crm-17", "kept_until": taken["references"][0]["kept_until"]}
    ]
    assert taken["notices"][0]["version"] == "2026-1"
    table = browser.press(page, "/me/export.csv").body.decode("utf-8-sig")
    assert {row["record"] for row in csv.DictReader(io.StringIO(table, newline=""))} >= {
        "consent", "message", "event", "reference", "history",
    }  # fmt: skip
    assert browser.press(page, "/me/receipt.json").json["signature"]

    less = browser.press(page, "/me/withdraw", ("purpose", "open"))
    assert "no longer measured" in less.body.decode()
    tracker.public("GET", pixel(sent), **FIREFOX)
    with closing(sqlite3.connect(tracker.folder / "tracker.db")) as plain:
        assert plain.execute("SELECT DISTINCT purpose FROM events").fetchall() == [("c",)]

    asked = browser.get("/me/erase")
    erased = browser.press(asked, "/me/erase")
    assert "It is erased" in erased.body.decode()
    assert browser.get("/me").status == 403
    with closing(sqlite3.connect(tracker.folder / "tracker.db")) as plain:
        for table_name in ("deliveries", "tracked", "events", "external_ids", "pending", "calls", "grants", "messages"):
            assert not plain.execute(f"SELECT * FROM {table_name}").fetchall(), table_name
        assert plain.execute("SELECT purpose FROM suppressions ORDER BY 1").fetchall() == [("c",), ("o",)]

    again = tracker.public("GET", pixel(sent), **FIREFOX)
    assert (again.status, again.body) == (image.status, image.body)
    assert [tracker.public("GET", path, **FIREFOX).headers["Location"] for path in paths(sent, "c")] == targets
    assert tracker.grant(ANNA, reference="crm-17").status == 409
    assert tracker.rewrite(OFFER, ANNA).body == OFFER
    assert not search(tmp_path, ANNA, "127.0.0.77")


def test_r49_known_and_unknown_addresses_get_equal_answers(tracker: Installation, mail_server: MailServer) -> None:
    """R49: and both get a mail; what the stranger sees is empty."""
    measured(tracker)
    answers = {Browser(tracker).post("/privacy", ("address", one)).body for one in (ANNA, "nobody@recipients.example")}
    assert len(answers) == 1
    assert len(mail_server.wait_for(2)) == 2
    stranger = Browser(tracker)
    page = stranger.post(mailbox_link(tracker, mail_server, "nobody@recipients.example"))
    assert page.body.decode().count("You did not agree, so nothing is measured.") == 2
    assert b"Angebot" not in page.body


def test_r9_r11_the_page_in_the_mail_stops_one_purpose_or_all_and_mail_goes_on(tracker: Installation) -> None:
    """R9, R11, R44: one press on the link in the message, at once."""
    sent = measured(tracker)
    page = Browser(tracker).get(stop(sent))
    forms = re.findall(r'<form[^>]* action="([^"]+)">(.*?)</form>', page.body.decode(), re.DOTALL)
    assert len(forms) == 3
    assert Browser(tracker).post(forms[0][0], ("purpose", "click")).status == 200
    opens = tracker.rewrite(OFFER, ANNA)
    assert opens.headers["Tracker-Purposes"] == "open"
    assert Browser(tracker).post(forms[0][0]).status == 200
    untouched = tracker.rewrite(OFFER, ANNA)
    assert (untouched.status, untouched.body) == (200, OFFER)


def test_by_letter_on_the_command_line(tracker: Installation, tmp_path: Path) -> None:
    """R47, R48, R51, R54: show, export, erase, with the address on stdin and a line in the audit trail."""
    measured(tracker)
    address = f"{ANNA}\n".encode()
    shown = json.loads(tracker.run("subject", "show", "--case", "2026/14", stdin=address))
    assert len(shown["events"]) == 2
    exported = json.loads(tracker.run("subject", "export", "--language", "fr", stdin=address))
    assert exported["about"]["language"] == "fr"
    table = tracker.run("subject", "export", "--format", "csv", stdin=address)
    assert table.startswith('"record","at"')
    tracker.process("subject", "show", "--case", f"of {ANNA}", stdin=address, status=1)
    tracker.process("subject", "show", ANNA, status=2)
    early = tracker.process("prove-forgotten", stdin=address, status=1).stdout.decode()
    assert "You have not been erased" in early
    assert tracker.run("subject", "erase", "--case", "2026/14", stdin=address).strip() == "erased"
    assert tracker.run("subject", "erase", "--case", "2026/14", stdin=address).startswith("there was nothing")
    with closing(sqlite3.connect(tracker.folder / "tracker.db")) as plain:
        trail = plain.execute("SELECT actor, action, case_number FROM audit ORDER BY id").fetchall()
    assert trail == [
        ("cli", "subject show", "2026/14"),
        ("cli", "subject export", None),
        ("cli", "subject export", None),
        ("cli", "prove forgotten", None),
        ("cli", "subject erase", "2026/14"),
        ("cli", "subject erase", "2026/14"),
    ]
    assert not search(tmp_path, ANNA)


def test_the_proof_that_somebody_was_forgotten(tracker: Installation) -> None:
    """R51: database, log and journal, while the server runs; in the person's language, dated, fit for the answer."""
    measured(tracker)
    address = f"{ANNA}\n".encode()
    tracker.run("subject", "erase", stdin=address)
    tracker.run("sweep")
    aside = tracker.folder / f"journal.aside-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    copytree(tracker.folder / "journal", aside)
    file = tracker.folder / "answer.txt"
    words = ("prove-forgotten", "--log", str(tracker.log_file), "--language", "de", "--output", str(file))
    told = tracker.run(*words, stdin=address)
    assert file.read_text() == told
    for said in (
        "Bericht vom",
        "tracker.db",
        "server.log",
        "Ihre Adresse wurde nirgends gefunden.",
        "35 Tage",
        aside.name,
    ):
        assert said in told
    assert ANNA not in told
    tracker.process(*words, stdin=address, status=2)
    tracker.log_file.with_name("old.log").write_text(f"RCPT TO:<{ANNA.upper()}>")
    leaked = tracker.process(
        "prove-forgotten", "--log", str(tracker.folder / "old.log"), "--language", "en", stdin=address, status=1
    )
    assert "Your address was found in old.log (in clear)" in " ".join(leaked.stdout.decode().split())


def test_by_letter_through_the_api(tracker: Installation) -> None:
    """R47, R51: with the scope `privacy` alone."""
    measured(tracker)
    office = tracker.run("key", "create", "office", "--scope", "privacy").strip()
    body = {"address": ANNA, "case": "2026/15"}
    assert tracker.api("POST", "/v1/subjects/show", body).status == 403
    assert len(tracker.api("POST", "/v1/subjects/show", body, office).json["events"]) == 2
    exported = tracker.api("POST", "/v1/subjects/export", body, office).json
    assert exported["about"]["controller"] == "Werkstatt Nord GmbH"
    assert tracker.api("POST", "/v1/subjects/erase", body, office).json == {"state": "erased", "news": True}
    assert tracker.api("POST", "/v1/subjects/erase", body, office).json == {"state": "erased", "news": False}
    assert tracker.api("POST", "/v1/subjects/show", body, office).json["events"] == []
    with closing(sqlite3.connect(tracker.folder / "tracker.db")) as plain:
        assert plain.execute("SELECT DISTINCT actor, case_number FROM audit").fetchall() == [("office", "2026/15")]


def test_without_a_next_hop_the_page_names_whom_to_write_to(fresh: Installation) -> None:
    fresh.start()
    page = fresh.public("GET", "/privacy")
    assert b"privacy@werkstatt-nord.example" in page.body
    assert b"<form" not in page.body
