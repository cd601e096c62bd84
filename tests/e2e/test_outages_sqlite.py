"""Whatever befalls the database on disk, readers get their answers, mail goes out, no no is lost, and all recovers.

Every row of deploy/outages.md on SQLite is one of these tests.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from tests.e2e import faults
from tests.e2e.faults import Fault
from tests.e2e.mail import OFFER, link, pixel, stop
from tests.harness import PATIENCE, Installation, Reply

ANNA, BERT, CARLA = "anna@example.org", "bert@example.org", "carla@example.org"
DISK = 16 * 2**20


@pytest.fixture
def on_small_disk(tmp_path: Path) -> Iterator[Installation]:
    """An installation on a disk of its own, with its log."""
    with faults.small_disk(tmp_path / "disk", DISK):
        installation = Installation.copied(tmp_path / "disk" / "tracker")
        yield installation
        installation.kill()


def rows(tracker: Installation, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(tracker.folder / "tracker.db")) as database:
        return database.execute(query).fetchall()


def until(what: str, *, tracker: Installation) -> Reply:
    """Ask until /health/ready says that WHAT is in trouble; nothing: that all is well."""
    end = time.monotonic() + PATIENCE
    while True:
        answer = tracker.api("GET", "/health/ready")
        trouble = answer.json.get("trouble", {})
        if (what in trouble) if what else not trouble:
            assert answer.status == (503 if what else 200)
            return answer
        assert time.monotonic() < end, trouble


def check_log(tracker: Installation) -> None:
    """Nothing in the log speaks of a fault of ours."""
    log = tracker.log_file.read_text()
    for word in ("Traceback", "level=error", "level=critical", "request failed"):
        assert word not in log, log


def endure(tracker: Installation, fault: Fault, answers: Sequence[int] = (200,)) -> None:
    """The whole story: before, while FAULT lasts, and after. ANSWERS: what somebody who says no meanwhile may hear."""
    for person in (ANNA, BERT, CARLA):
        assert tracker.grant(person).status in (200, 201)
    anna, bert = (tracker.rewrite(OFFER, person) for person in (ANNA, BERT))
    assert tracker.public("GET", pixel(bert)).status == 200
    tracker.until_written()
    with fault(tracker.folder):
        until("store", tracker=tracker)
        for _ in range(3):
            begun = time.monotonic()
            reply = tracker.public("GET", pixel(anna))
            assert (reply.status, reply.body[:4]) == (200, b"GIF8")
            redirect = tracker.public("GET", link(anna))
            assert (redirect.status, redirect.headers["Location"][:8]) == (302, "https://")
            assert time.monotonic() - begun < 2, "a reader waited for the store"
        copy = tracker.rewrite(OFFER, CARLA)
        assert (copy.status, copy.body) == (200, OFFER)
        assert (copy.headers["Tracker-Outcome"], copy.headers["Tracker-Reason"]) == ("untouched", "store-unavailable")
        assert tracker.public("GET", stop(bert)).status == 200
        no = tracker.public("POST", f"{stop(bert)}/withdraw")
        assert no.status in answers, "a yes only when it is sure"
        assert tracker.api("GET", "/health/live").status == 200
        assert tracker.api("GET", "/metrics").status == 200
    until("", tracker=tracker)
    if no.status == 503:
        assert tracker.rewrite(OFFER, BERT).headers["Tracker-Outcome"] == "tracked", "nobody was told otherwise"
        assert tracker.public("POST", f"{stop(bert)}/withdraw").status == 200
    assert tracker.rewrite(OFFER, BERT).headers["Tracker-Reason"] == "no-grant", "who said no stays silent"
    assert tracker.rewrite(OFFER, CARLA).headers["Tracker-Outcome"] == "tracked"
    tracker.until_written()
    assert rows(tracker, "SELECT purpose, count(*) FROM events GROUP BY purpose ORDER BY 1") == [
        ("c", 1),
        ("o", 1),
    ], "what came in meanwhile is written now, and of Bert nothing is left"
    metrics = tracker.api("GET", "/metrics").body.decode()
    assert "tracker_events_dropped_total 0.0" in metrics
    assert 'status="500"' not in metrics
    assert tracker.stop() == 0
    assert "WRONG" not in tracker.process("doctor").stdout.decode()


@pytest.mark.parametrize(
    "fault", [faults.locked, faults.read_only, faults.taken_away, faults.deleted, faults.corrupted]
)
def test_readers_mail_and_nos_outlive_a_database_that_is(fresh: Installation, fault: Fault) -> None:
    fresh.start()
    endure(fresh, fault)
    check_log(fresh)


def test_readers_mail_and_nos_outlive_a_full_disk(on_small_disk: Installation) -> None:
    """The log lies on it too, and the journal: a no is journalled where it finds room, else answered 503."""
    on_small_disk.start()
    endure(on_small_disk, faults.full, answers=(200, 503))


def test_without_room_for_the_journal_a_no_is_answered_503_and_never_a_false_yes(fresh: Installation) -> None:
    fresh.start()
    endure(fresh, partial(faults.quota, fresh.pid), answers=(503,))


def test_an_older_database_put_in_place_under_the_server_undoes_no_withdrawal_and_loses_no_new_event(
    fresh: Installation,
) -> None:
    """Between one moment and the next, with the old write-ahead log still beside it: nobody stops the server for us."""
    fresh.start()
    for person in (ANNA, BERT):
        assert fresh.grant(person).status in (200, 201)
    anna, bert = (fresh.rewrite(OFFER, person) for person in (ANNA, BERT))
    fresh.until_written()
    with closing(sqlite3.connect(fresh.folder / "tracker.db")) as database:
        database.execute("VACUUM INTO ?", (str(fresh.folder / "older.db"),))
    (fresh.folder / "older.db").chmod(0o600)
    assert fresh.public("POST", f"{stop(bert)}/withdraw").status == 200
    until("", tracker=fresh)
    (fresh.folder / "older.db").replace(fresh.folder / "tracker.db")
    assert fresh.public("GET", pixel(anna)).status == 200
    end = time.monotonic() + PATIENCE
    while (reason := fresh.rewrite(OFFER, BERT).headers["Tracker-Reason"]) != "no-grant":
        assert reason == "store-unavailable", "who said no is not tracked for a moment"
        assert time.monotonic() < end
    until("", tracker=fresh)
    fresh.until_written()
    assert rows(fresh, "SELECT purpose, count(*) FROM events GROUP BY 1") == [("o", 1)]
    check_log(fresh)
    assert fresh.stop() == 0
    assert "WRONG" not in fresh.process("doctor").stdout.decode()
