"""What was acknowledged survives SIGKILL; a stop by SIGTERM flushes; a database that is away breaks nothing."""

from __future__ import annotations

import http.client
import signal
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

from tests.e2e.mail import OFFER, link, paths, pixel, stop
from tests.harness import Installation, Reply
from tracker.flows.hit import LONGEST_WAIT

PEOPLE = 12


def stored(tracker: Installation) -> set[tuple[bytes, int]]:
    """The distinct (delivery, link) of all events on disk."""
    with closing(sqlite3.connect(tracker.folder / "tracker.db")) as database:
        return set(database.execute("SELECT delivery, link FROM events"))


def copies(tracker: Installation) -> list[Reply]:
    people = [f"person{number}@example.org" for number in range(PEOPLE)]
    for person in people:
        assert tracker.grant(person).status in (200, 201)
    return [tracker.rewrite(OFFER, person) for person in people]


def load(
    tracker: Installation, urls: list[str], answered: dict[str, float], half: int, enough: threading.Event
) -> None:
    """Request URLS one after the other and note after how long they were answered; set ENOUGH when half of all were."""
    for path in urls:
        begun = time.monotonic()
        try:
            if tracker.public("GET", path).status in (200, 302):
                answered[path] = time.monotonic() - begun
        except (OSError, http.client.HTTPException):
            return  # the server is gone
        if len(answered) > half:
            enough.set()


def test_an_acknowledged_event_survives_sigkill(fresh: Installation) -> None:
    tracker = fresh
    tracker.start()
    """An answer comes after the commit, or after LONGEST_WAIT: one that was quicker says that it is on the disk."""
    kept = 0
    for round_number in range(3):
        urls = [path for copy in copies(tracker) for path in (pixel(copy), *paths(copy, "c"))]
        answered: dict[str, float] = {}
        enough = threading.Event()

        half = len(urls) // 2
        threads = [
            threading.Thread(target=load, args=(tracker, urls[part::4], answered, half, enough)) for part in range(4)
        ]
        for thread in threads:
            thread.start()
        assert enough.wait(60)
        tracker.stop(signal.SIGKILL)
        for thread in threads:
            thread.join()
        tracker.start()
        before = stored(tracker)
        acknowledged = [path for path, seconds in answered.items() if seconds < LONGEST_WAIT]
        kept += len(acknowledged)
        for path in acknowledged:  # what is stored already is not stored again
            tracker.public("GET", path)
        assert stored(tracker) == before, f"round {round_number}: something acknowledged was not stored"
    assert kept
    assert tracker.stop() == 0


def test_figures_and_links_outlive_a_restart(fresh: Installation) -> None:
    tracker = fresh
    tracker.start()
    copy = copies(tracker)[0]
    tracker.public("GET", pixel(copy))
    assert tracker.stop(signal.SIGTERM) == 0
    tracker.start()
    told = tracker.api("GET", f"/v1/stats/messages/{copy.headers['Tracker-Message']}").json
    assert told["opened"] == 1
    tracker.run("secret", "rotate")
    assert tracker.public("GET", link(copy)).status == 302
    tracker.stop()


def test_without_a_database_pixels_and_links_answer_and_mail_flows(fresh: Installation) -> None:
    """R2, R31: the database is gone, mail and links are not."""
    tracker = fresh
    tracker.start()
    copy = copies(tracker)[0]
    database = tracker.folder / "tracker.db"
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert tracker.public("GET", pixel(copy)).body.startswith(b"GIF8")
        assert tracker.public("GET", link(copy)).status == 302
        assert tracker.public("GET", stop(copy)).status == 200
        assert tracker.public("POST", f"{stop(copy)}/withdraw").status == 200, "it is in the journal"
        reply = tracker.rewrite(OFFER, "person1@example.org")
        assert (reply.body, reply.headers["Tracker-Outcome"]) == (OFFER, "untouched")
        assert reply.headers["Tracker-Reason"] == "store-unavailable"
        other.execute("ROLLBACK")
    tracker.until_ready()
    assert tracker.rewrite(OFFER, "person0@example.org").headers["Tracker-Reason"] == "no-grant"
    assert tracker.rewrite(OFFER, "person1@example.org").headers["Tracker-Outcome"] == "tracked"
    assert tracker.public("POST", f"{stop(copy)}/withdraw").status == 200
    assert tracker.stop() == 0


def test_the_wrong_key_file_stops_the_start(tmp_path: Path) -> None:
    one = Installation.made(tmp_path / "one")
    two = Installation.made(tmp_path / "two")
    (two.folder / "tracker.keys").replace(one.folder / "tracker.keys")
    done = one.process("serve", status=1)
    assert b"does not belong to this database" in done.stderr


def test_a_key_file_that_others_can_read_is_refused(fresh: Installation) -> None:
    tracker = fresh
    (tracker.folder / "tracker.keys").chmod(0o640)
    assert b"tracker.keys" in tracker.process("serve", status=1).stderr
    assert b"WRONG" in tracker.process("doctor", status=1).stdout


def test_a_bad_setting_stops_the_start_and_is_named(fresh: Installation) -> None:
    tracker = fresh
    tracker.environment["TRACKER_RETENTION_DAYS"] = "soon"
    assert b"retention_days" in tracker.process("serve", status=1).stderr
    del tracker.environment["TRACKER_RETENTION_DAYS"]
    tracker.environment["TRACKER_RETENTOIN_DAYS"] = "3"
    assert b"RETENTOIN_DAYS" in tracker.process("serve", status=1).stderr.upper()
