"""What an operator meets: a start that fails says why, mail comes out whatever fails, and readiness is honest."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.e2e.mail import OFFER, pixel
from tests.e2e.test_nothing_rests_on_disk import speak
from tests.harness import CONTACT, CONTROLLER, Installation


@contextmanager
def locked(tracker: Installation) -> Iterator[None]:
    with closing(sqlite3.connect(tracker.folder / "tracker.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"TRACKER_KEY_FILE": "/nonexistent"}, ("-r", "a@example.org")),
        ({"TRACKER_DATABASE_URL": "sqlite:////nonexistent/tracker.db"}, ("-r", "a@example.org")),
        ({"TRACKER_UNHEARD_OF": "1"}, ("-r", "a@example.org")),
        ({}, ("-r", "nobody")),
        ({}, ("-r", "a@example.org", "--reference", "a@example.org")),
    ],
)
def test_the_command_line_never_swallows_a_message(
    fresh: Installation, broken: dict[str, str], words: tuple[str, ...]
) -> None:
    fresh.environment.update(broken)
    done = fresh.process("rewrite", *words, stdin=OFFER, status=1)
    assert done.stdout == OFFER
    assert b"untouched: error" in done.stderr
    assert b"What to do" in done.stderr


def test_the_command_line_rewrites_as_the_api_does(fresh: Installation) -> None:
    grant = ("--purpose", "open", "--purpose", "click", "--method", "written", "--language", "de")
    evidence = ("--given-at", "2026-11-01", "--confirmed-at", "2026-11-02", "--confirmed-by", "signature")
    told = fresh.run("consent", "grant", "-", *grant, *evidence, "--document", "file 7", stdin=b"anna@example.org")
    assert told.startswith("live until ")
    done = fresh.process("rewrite", "-r", "anna@example.org", stdin=OFFER)
    assert b"tracked: click, open; links 2/2" in done.stderr
    assert done.stdout != OFFER
    shown = json.loads(fresh.run("consent", "show", "anna@example.org"))
    assert set(shown["live"]) == {"open", "click"}
    assert fresh.run("consent", "withdraw", "anna@example.org") == "withdrawn\n"
    assert fresh.process("rewrite", "-r", "anna@example.org", stdin=OFFER).stdout == OFFER


def test_an_address_that_cannot_be_listened_on_is_named(fresh: Installation) -> None:
    with fresh:
        second = fresh.process("serve", status=1)
    assert b"private_listen" in second.stderr
    assert b"cannot be listened on" in second.stderr


def test_a_refused_init_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "tracker.db").write_bytes(b"somebody else's")
    tracker = Installation(folder)
    who = ("--controller", CONTROLLER, "--contact", CONTACT)
    assert b"nothing was overwritten" in tracker.process("init", str(folder), *who, status=1).stderr
    assert [path.name for path in folder.iterdir()] == ["tracker.db"]
    tracker.process("init", str(tmp_path / "new"), "--controller", CONTROLLER, "--contact", "no address", status=1)
    assert not (tmp_path / "new").exists()
    assert b"--contact" in tracker.process("init", str(tmp_path / "new"), "--controller", CONTROLLER, status=1).stderr
    (folder / "tracker.db").unlink()
    (folder / "other.txt").write_text("the folder need not be empty")
    tracker.process("init", str(folder), *who)


def test_doctor_finds_a_changed_ledger_and_a_trigger_that_is_gone(fresh: Installation) -> None:
    with fresh:
        assert fresh.grant("anna@example.org").status == 201
    assert "WRONG" not in fresh.run("doctor")
    with closing(sqlite3.connect(fresh.folder / "tracker.db", isolation_level=None)) as database:
        with pytest.raises(sqlite3.DatabaseError, match="append-only"):
            database.execute("UPDATE ledger SET digest = randomblob(32)")
        database.execute("DROP TRIGGER ledger_no_update")
        database.execute("UPDATE ledger SET digest = randomblob(32)")
    told = fresh.process("doctor", status=1).stdout.decode()
    assert "WRONG the database guards the ledger" in told
    assert "WRONG the ledger's chain holds" in told


def test_readiness_says_when_nothing_can_be_written(fresh: Installation) -> None:
    with fresh:
        assert fresh.api("GET", "/health/ready").status == 200
        with locked(fresh):
            answer = fresh.api("GET", "/health/ready")
            assert (answer.status, list(answer.json["trouble"])) == (503, ["store"])
        assert fresh.api("GET", "/health/ready").status == 200


def test_what_cannot_be_parsed_is_a_problem_too_and_is_counted(fresh: Installation) -> None:
    with fresh:
        head = f"POST /v1/consents HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {fresh.key}\r\n"
        for raw in (f"{head}Transfer-Encoding: chunked\r\n\r\nzz\r\n", "GET / HTTP/9.9\r\n\r\n"):
            answer = speak(fresh.private_url, raw.encode(), hang_up=False)
            assert b" 400 " in answer.splitlines()[0]
            assert b"application/problem+json" in answer
        metrics = fresh.api("GET", "/metrics").body.decode()
        assert 'tracker_http_answers_total{method="OTHER",route="-",status="400"}' in metrics


def test_metrics_tell_what_the_operator_needs(fresh: Installation) -> None:
    with fresh:
        fresh.grant("anna@example.org")
        reply = fresh.rewrite(OFFER, "anna@example.org")
        fresh.public("GET", pixel(reply))
        fresh.rewrite(OFFER, "bert@example.org")
        fresh.until_written()
        metrics = fresh.api("GET", "/metrics").body.decode()
    (early,) = re.findall(r'^tracker_events_answered_before_commit_total{kind="pixel"} (.+)$', metrics, re.MULTILINE)
    assert early in ("0.0", "1.0"), "on a busy machine the commit takes longer than a reader waits"
    result = "recorded" if early == "0.0" else "early"
    for line in (
        'tracker_copies_total{outcome="tracked",reason=""} 1.0',
        'tracker_copies_total{outcome="untouched",reason="no-grant"} 1.0',
        f'tracker_hits_total{{agent="human",kind="pixel",result="{result}"}} 1.0',
        "tracker_events_written_total 1.0",
        "tracker_events_dropped_total 0.0",
        "tracker_oldest_event_age_seconds",
        "tracker_rows_expired_total",
    ):
        assert line in metrics, line
    assert "example.org" not in metrics
