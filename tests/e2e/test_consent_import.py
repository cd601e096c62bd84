"""A customer list of 50,000 lines against the real program: quick, repeatable, no mail, and no address anywhere."""

from __future__ import annotations

import csv
import json
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message

from tests.e2e.mail import OFFER
from tests.harness import PATIENCE, Installation, free_port, on_a_terminal

DAY = (datetime.now(UTC) - timedelta(days=9)).strftime("%Y-%m-%d")
HEAD = "address;purposes;method;given_at;notice_version;language;source;confirmed_at;confirmed_by;reference"


def line(name: str, method: str = "web-form", reference: str = "", confirmed: bool = True) -> str:
    proof = f"{DAY}T10:00:00Z;link-in-mail" if confirmed else ";"
    return f"{name}@example.org;open click;{method};{DAY};2026-1;de;https://example.org/list;{proof};{reference}"


def write(tracker: Installation, *lines: str) -> Path:
    path = tracker.folder / "customers.csv"
    path.write_text("\r\n".join((HEAD, *lines)) + "\r\n", encoding="utf-8-sig")
    return path


def count(tracker: Installation, table: str) -> int:
    with closing(sqlite3.connect(tracker.folder / "tracker.db")) as plain:
        return int(plain.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def refused(path: Path) -> list[tuple[str, str]]:
    with path.open(newline="") as file:
        head, *rows = csv.reader(file)
    assert head == ["line", "problem", "what happened", "where", "what to do"]
    return [(row[0], row[1]) for row in rows]


class Letterbox(Message):
    """Counts the mail that comes."""

    def __init__(self) -> None:
        super().__init__()
        self.mails = 0

    def handle_message(self, message: object) -> None:
        self.mails += 1


@pytest.fixture
def letterbox(fresh: Installation) -> Iterator[Letterbox]:
    """A real mail server as the next hop of FRESH."""
    box = Letterbox()
    port = free_port()
    server = Controller(box, hostname="127.0.0.1", port=port)
    server.start()
    try:
        fresh.environment["TRACKER_SMTP_NEXT_HOP"] = f"127.0.0.1:{port}"
        yield box
    finally:
        server.stop()


def test_r7_fifty_thousand_lines_are_taken_in_reasonable_time_and_mail_nobody(
    fresh: Installation, letterbox: Letterbox
) -> None:
    rows = [line(f"c{number}", reference=f"C-{number}", confirmed=number % 10 > 0) for number in range(50_000)]
    path = write(fresh, *rows)
    before = _worked()
    told = _run(fresh, "consent", "import", str(path))
    seconds = _worked() - before
    report = fresh.folder / "customers.report.csv"
    assert told == f"50000 lines: 45000 live, 5000 pending, 0 refused; report: {report}\n"
    assert refused(report) == []
    assert seconds < 60, "of work, whoever else the machine works for; some fifteen when this was written"
    assert (count(fresh, "grants"), count(fresh, "pending"), count(fresh, "ledger")) == (90_000, 10_000, 50_000)
    assert (letterbox.mails, count(fresh, "mailings")) == (0, 0)
    database = (fresh.folder / "tracker.db").read_bytes()
    assert "45000 unchanged, 5000 pending" in _run(fresh, "consent", "import", str(path))
    assert (fresh.folder / "tracker.db").read_bytes() == database, "the same list again writes nothing"
    assert letterbox.mails == 0
    for file in fresh.folder.glob("tracker.db*"):
        assert b"c4711@example.org" not in file.read_bytes()


def _worked() -> float:
    """Seconds that processes which this one started have worked."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _run(tracker: Installation, *words: str) -> str:
    """As `Installation.run`, with more patience."""
    done = subprocess.run(
        [sys.executable, "-m", "tracker", *words],
        env=tracker.environment, cwd=tracker.folder.parent, capture_output=True, timeout=8 * PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def test_r16_each_refused_line_is_reported_by_number_and_without_the_address(fresh: Installation) -> None:
    fresh.run("consent", "withdraw", "-", stdin=b"no@example.org")
    path = write(
        fresh,
        line("anna"),
        line("bought", "purchased"),
        line("customer", "existing-customer"),
        line("no"),
        line("rep", "rep"),
        line("hidden", reference="hidden_at_example.org"),
        line("bad", "pigeon"),
    )
    report = fresh.folder / "why.csv"
    done = fresh.process("consent", "import", str(path), "--report", str(report), status=1)
    assert done.stdout.decode() == f"7 lines: 1 live, 1 pending, 5 refused; report: {report}\n"
    assert done.stderr == b""
    assert refused(report) == [
        ("3", "purchased"),
        ("4", "existing-customer"),
        ("5", "suppressed"),
        ("7", "address-in-value"),
        ("8", "invalid-field"),
    ]
    assert "example" not in report.read_text()
    assert fresh.process("rewrite", "-r", "rep@example.org", stdin=OFFER).stdout == OFFER, "R7: pending is not tracked"
    assert fresh.process("rewrite", "-r", "anna@example.org", "--single", stdin=OFFER).stdout != OFFER


def test_all_or_nothing_and_a_dry_run(fresh: Installation) -> None:
    path = write(fresh, *(line(f"c{number}") for number in range(600)), line("bought", "purchased"))
    told = fresh.run("consent", "import", str(path), "--dry-run", status=1)
    assert told.startswith("601 lines: 600 live, 1 refused; report: ")
    assert told.endswith("nothing was written: this was a dry run\n")
    told = fresh.run("consent", "import", str(path), "--all-or-nothing", status=1)
    assert told.endswith("nothing was written: it was to be all or nothing\n")
    assert refused(fresh.folder / "customers.report.csv") == [("602", "purchased")]
    assert count(fresh, "recipients") == 0
    path = write(fresh, *(line(f"c{number}") for number in range(600)), line("c0"))
    told = fresh.run("consent", "import", str(path), "--all-or-nothing")
    assert told.startswith("601 lines: 600 live, 1 unchanged, 0 refused; report: ")
    assert count(fresh, "grants") == 1_200


def test_a_list_that_cannot_be_read_changes_nothing_and_says_why(fresh: Installation) -> None:
    path = fresh.folder / "customers.csv"
    path.write_text(line("anna") + "\n")
    done = fresh.process("consent", "import", str(path), status=1)
    assert b"the first line must name the columns" in done.stderr
    assert b"What to do" in done.stderr
    assert not (fresh.folder / "customers.report.csv").exists()
    write(fresh, line("anna"))
    assert (
        b"no API key of that name"
        in fresh.process("consent", "import", str(path), "--references-of", "crm", status=1).stderr
    )
    assert b"the list itself" in fresh.process("consent", "import", str(path), "--report", str(path), status=1).stderr
    (fresh.folder / "elsewhere").mkdir()
    (fresh.folder / "link.csv").symlink_to(path)
    for same in ("elsewhere/../customers.csv", "link.csv"):
        report = str(fresh.folder / same)
        assert b"itself" in fresh.process("consent", "import", str(path), "--report", report, status=1).stderr
    assert path.read_text(encoding="utf-8-sig").startswith(HEAD)
    assert count(fresh, "recipients") == 0


def test_the_references_of_a_list_serve_the_key_that_it_names(fresh: Installation) -> None:
    path = write(fresh, line("anna", reference="C-1"))
    fresh.run("consent", "import", str(path), "--references-of", "tests")
    with fresh:
        told = fresh.api("GET", "/v1/consents/changes").json
    (change,) = told["changes"]
    assert (change["reference"], change["event"], change["purposes"]) == ("C-1", "given", ["click", "open"])


def test_a_bar_shows_on_a_terminal_how_far_it_got(fresh: Installation) -> None:
    path = write(fresh, *(line(f"c{number}") for number in range(300)))
    environment = {**fresh.environment, "TERM": "xterm"}
    told, shown = on_a_terminal("consent", "import", str(path), environment=environment, folder=fresh.folder)
    assert b"Importing" in shown
    assert b"100%" in shown
    assert told.startswith(b"300 lines: 300 live")


def test_a_revoked_key_opens_nothing_and_what_it_reported_ends(fresh: Installation) -> None:
    today = datetime.now(UTC).strftime("%Y-%m-%d")  # or yesterday by the time that it is given
    liar = fresh.run("key", "create", "liar", "--scope", "consent").strip()
    with fresh:
        assert fresh.grant("honest@example.org").status == 201
        body = {
            "address": "made-up@example.org", "purposes": ["open", "click"], "method": "web-form",
            "given_at": f"{DAY}T09:00:00Z", "notice_version": "2026-1", "language": "de",
            "evidence": {"source": "form", "confirmed_at": f"{DAY}T09:05:00Z", "confirmed_by": "link"},
        }  # fmt: skip
        assert fresh.api("POST", "/v1/consents", body, key=liar).status == 201
        assert (
            fresh.api("POST", "/v1/consents", {**body, "address": "x@example.org", "method": "rep"}, key=liar).status
            == 202
        )
        assert fresh.rewrite(OFFER, "made-up@example.org").headers["Tracker-Outcome"] == "tracked"
        told = fresh.run("key", "revoke", "liar", "--grants-since", today)
        assert told == "revoked\nended 2 grants and 2 pending ones, of 2 people\n"
        assert fresh.api("POST", "/v1/consents", body, key=liar).status == 401
        assert fresh.rewrite(OFFER, "made-up@example.org").headers["Tracker-Reason"] == "no-grant"
        assert fresh.rewrite(OFFER, "honest@example.org").headers["Tracker-Outcome"] == "tracked"
    shown = json.loads(fresh.run("consent", "show", "made-up@example.org"))
    assert (shown["live"], shown["suppressed"]) == ({}, {})
    assert [entry["event"] for entry in shown["history"]] == ["given", "expired"]
    assert fresh.run("key", "revoke", "liar") == "revoked\n"
