"""Whatever befalls the database on disk, readers get their answers, mail goes out, no no is lost, and all recovers.

Every row of deploy/outages.md on SQLite is one of these tests.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from tests.e2e import faults
from tests.e2e.crew import members
from tests.e2e.faults import Fault
from tests.e2e.mail import OFFER, pixel, stop
from tests.e2e.outage import BERT, Door, check_log, endure, until, until_written
from tests.harness import PATIENCE, Installation

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


@pytest.mark.parametrize("fault", [faults.locked, faults.read_only, faults.taken_away])
def test_readers_mail_and_nos_outlive_a_database_that_is(fresh: Installation, fault: Fault) -> None:
    fresh.start()
    endure(fresh, fault(fresh.folder), partial(rows, fresh))
    check_log(fresh)


@pytest.mark.parametrize("fault", [faults.deleted, faults.corrupted])
def test_readers_mail_and_nos_outlive_under_two_workers_a_database_that_is(fresh: Installation, fault: Fault) -> None:
    """Each of them notices for itself, and neither undoes what the other has begun anew."""
    fresh.start(workers=2)
    with members(fresh) as both:
        endure(fresh, fault(fresh.folder), partial(rows, fresh), workers=both)
    check_log(fresh)


def test_readers_mail_and_nos_outlive_a_full_disk(on_small_disk: Installation) -> None:
    """The log lies on it too, and the journal: a no is journalled where it finds room, else answered 503."""
    on_small_disk.start()
    endure(on_small_disk, faults.full(on_small_disk.folder), partial(rows, on_small_disk), answers=(200, 503))
    check_log(on_small_disk)


def test_without_room_for_the_journal_a_no_is_answered_503_and_never_a_false_yes(fresh: Installation) -> None:
    fresh.start()
    endure(fresh, faults.quota(fresh.pid, fresh.folder), partial(rows, fresh), answers=(503,))
    check_log(fresh)


def test_an_older_database_put_in_place_under_two_workers_undoes_no_withdrawal_and_loses_no_new_event(
    fresh: Installation,
) -> None:
    """Between one moment and the next, with the old write-ahead log still beside it: nobody stops the server for us.

    Both workers notice, and the second does not take away the log that the first has begun.
    """
    fresh.start(workers=2)
    with members(fresh) as both:
        readers = [f"anna{number}@example.org" for number in range(len(both))]
        for person in (*readers, BERT):
            assert fresh.grant(person).status in (200, 201)
        *read, bert = (fresh.rewrite(OFFER, person) for person in (*readers, BERT))
        fresh.until_written()
        with closing(sqlite3.connect(fresh.folder / "tracker.db")) as database:
            database.execute("VACUUM INTO ?", (str(fresh.folder / "older.db"),))
        (fresh.folder / "older.db").chmod(0o600)
        assert both[0].public("POST", f"{stop(bert)}/withdraw").status == 200
        for one in both:
            until("", tracker=one)
        (fresh.folder / "older.db").replace(fresh.folder / "tracker.db")
        for one, copy in zip(both, read, strict=True):
            assert one.public("GET", pixel(copy)).status == 200
        for one in both:
            until_silent(one)
        for one in both:
            until("", tracker=one)
            until_written(one)
            assert one.rewrite(OFFER, BERT).headers["Tracker-Reason"] == "no-grant"
        assert rows(fresh, "SELECT purpose, count(DISTINCT delivery) FROM events GROUP BY 1") == [("o", len(both))]
        check_log(fresh)
        assert fresh.stop() == 0
    assert "WRONG" not in fresh.process("doctor").stdout.decode()
    assert rows(fresh, "PRAGMA integrity_check") == [("ok",)]


def until_silent(door: Door) -> None:
    """Ask for a copy for Bert until it is his no that leaves it untouched, and not the store."""
    end = time.monotonic() + PATIENCE
    while (reason := door.rewrite(OFFER, BERT).headers["Tracker-Reason"]) != "no-grant":
        assert reason == "store-unavailable", "who said no is not tracked for a moment"
        assert time.monotonic() < end
