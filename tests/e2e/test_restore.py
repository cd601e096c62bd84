"""A no survives SIGKILL, a locked database, a restored backup and a lost journal (LAW.md R45)."""

from __future__ import annotations

import shutil
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.e2e.mail import OFFER, pixel, stop
from tests.e2e.test_operations import locked
from tests.harness import Installation

ANNA, BERT = "anna@example.org", "bert@example.org"


def outcome(tracker: Installation, address: str) -> str:
    headers = tracker.rewrite(OFFER, address).headers
    return headers["Tracker-Reason"] or headers["Tracker-Outcome"]


def events(tracker: Installation) -> int:
    with closing(sqlite3.connect(tracker.folder / "tracker.db")) as database:
        (count,) = database.execute("SELECT count(*) FROM events").fetchone()
        return int(count)


def trouble(tracker: Installation) -> str:
    answer = tracker.api("GET", "/health/ready")
    assert answer.status == 503
    return str(answer.json["trouble"]["journal"])


def put_back(tracker: Installation, backup: Path) -> None:
    """Put the database of BACKUP in the place of the one that is there, as deploy/restore.md says."""
    for suffix in ("", "-wal", "-shm"):
        (tracker.folder / f"tracker.db{suffix}").unlink(missing_ok=True)
    shutil.copy2(backup / "tracker.db", tracker.folder / "tracker.db")


def test_a_withdrawal_that_only_the_journal_has_survives_sigkill(fresh: Installation) -> None:
    """R45: killed between the journal's fsync and the commit, which cannot come: the database is locked."""
    with fresh as tracker:
        for address in (ANNA, BERT):
            tracker.grant(address)
        copy = tracker.rewrite(OFFER, ANNA)
        with locked(tracker):
            assert tracker.public("POST", f"{stop(copy)}/withdraw").status == 200
            assert "withdrawal may wait" in trouble(tracker)
            tracker.stop(signal.SIGKILL)
        tracker.start()
        assert tracker.api("GET", "/health/ready").status == 200
        assert (outcome(tracker, ANNA), outcome(tracker, BERT)) == ("no-grant", "tracked")
        tracker.public("GET", pixel(copy))
        assert events(tracker) == 0


def test_a_withdrawal_while_the_database_is_locked_is_applied_before_anything_is_tracked(fresh: Installation) -> None:
    with fresh as tracker:
        for address in (ANNA, BERT):
            tracker.grant(address)
        copy = tracker.rewrite(OFFER, ANNA)
        with locked(tracker):
            for _ in range(2):
                assert tracker.api("POST", "/v1/consents/withdraw", {"address": ANNA}).status == 200
            tracker.public("GET", pixel(copy))
            assert outcome(tracker, BERT) == "store-unavailable"
        tracker.until_ready()
        assert (outcome(tracker, ANNA), outcome(tracker, BERT)) == ("no-grant", "tracked")
        assert events(tracker) == 0, "what waited to be written has nothing to hang on any more"
        history = tracker.api("POST", "/v1/consents/lookup", {"address": ANNA}).json["history"]
        assert [(entry["event"], entry["actor"]) for entry in history] == [("given", "tests"), ("withdrawn", "tests")]


def test_yesterdays_copy_restored_is_noticed_and_the_person_is_still_silent(fresh: Installation) -> None:
    """R45: a withdrawal, then yesterday's copy, then a person who is still not tracked."""
    tracker = fresh
    with tracker:
        for address in (ANNA, BERT):
            tracker.grant(address)
        copy = tracker.rewrite(OFFER, ANNA)
        tracker.run("backup", str(tracker.folder.parent / "yesterday"))
        assert tracker.public("POST", f"{stop(copy)}/withdraw").status == 200
    put_back(tracker, tracker.folder.parent / "yesterday")
    with tracker:
        assert tracker.api("GET", "/health/ready").status == 200
        assert (outcome(tracker, ANNA), outcome(tracker, BERT)) == ("no-grant", "tracked")
        tracker.public("GET", pixel(copy))
        assert tracker.grant(ANNA).status == 409, "tonight's sync does not bring her back either"
    assert events(tracker) == 0
    assert "an older database was put in place" in tracker.run("consent", "verify")
    assert "went back" in tracker.log_file.read_text()


def test_without_its_journal_nothing_is_tracked_until_a_person_decides(fresh: Installation) -> None:
    tracker = fresh
    with tracker:
        for address in (ANNA, BERT):
            tracker.grant(address)
        copy = tracker.rewrite(OFFER, BERT)
        tracker.run("backup", str(tracker.folder.parent / "yesterday"))
        tracker.api("POST", "/v1/consents/withdraw", {"address": ANNA})
    put_back(tracker, tracker.folder.parent / "yesterday")
    lost = tracker.folder.parent / "lost"
    (tracker.folder / "journal").rename(lost)
    with tracker:
        assert "missing" in trouble(tracker)
        assert outcome(tracker, BERT) == "store-unavailable"
        assert tracker.public("GET", pixel(copy)).status == 200
        assert "WRONG the journal" in tracker.process("doctor", status=1).stdout.decode()
        refused = tracker.process("restore-check", status=1)
        assert b"--end-grants" in refused.stderr
        assert "missing" in trouble(tracker)
        told = tracker.run("restore-check", "--end-grants")
        assert "4 grants ended" in told
        tracker.until_ready()
        assert (outcome(tracker, ANNA), outcome(tracker, BERT)) == ("no-grant", "no-grant")
        assert tracker.grant(ANNA).status == 202, "a sync of what was given before waits for the person's own word"
        assert outcome(tracker, ANNA) == "no-grant"
        assert "WRONG" not in tracker.run("doctor")
    assert events(tracker) == 0


def test_another_servers_journal_stands_in_for_a_lost_one(fresh: Installation) -> None:
    tracker = fresh
    with tracker:
        for address in (ANNA, BERT):
            tracker.grant(address)
        tracker.run("backup", str(tracker.folder.parent / "yesterday"))
        tracker.api("POST", "/v1/consents/withdraw", {"address": ANNA})
    put_back(tracker, tracker.folder.parent / "yesterday")
    elsewhere = tracker.folder.parent / "elsewhere"
    (tracker.folder / "journal").rename(elsewhere)
    with tracker:
        assert "missing" in trouble(tracker)
        assert "1 no was replayed" in tracker.run("restore-check", str(elsewhere))
        tracker.until_ready()
        assert (outcome(tracker, ANNA), outcome(tracker, BERT)) == ("no-grant", "tracked")
        assert tracker.grant(ANNA).status == 409


def test_a_journal_of_somebody_else_is_refused(fresh: Installation, tmp_path: Path) -> None:
    other = Installation.made(tmp_path / "other")
    (fresh.folder / "journal").rename(tmp_path / "lost")
    refused = fresh.process("restore-check", str(other.folder / "journal"), status=1)
    assert b"What to do" in refused.stderr
    with fresh as tracker:
        assert "missing" in trouble(tracker)
        assert "a new journal" in tracker.run("restore-check", "--not-restored")
        tracker.until_ready()
