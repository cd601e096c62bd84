"""A reader who sends Global Privacy Control is answered like anybody else, and nothing is recorded."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from tests.e2e.mail import OFFER, link, pixel
from tests.harness import Installation, Reply

pytestmark = pytest.mark.e2e


def events(tracker: Installation) -> int:
    with closing(sqlite3.connect(tracker.folder / "tracker.db")) as database:
        return int(database.execute("SELECT count(*) FROM events").fetchone()[0])


def seen(reply: Reply) -> tuple[int, bytes, list[tuple[str, str]]]:
    return reply.status, reply.body, sorted((name, value) for name, value in reply.headers.items() if name != "Date")


def test_the_signal_suppresses_recording_and_changes_no_answer(fresh: Installation) -> None:
    """R38: exactly `Sec-GPC: 1`; with `0` or another value the hit is recorded."""
    browser = {"User_Agent": "Mozilla/5.0 Firefox/145.0"}
    with fresh as tracker:
        tracker.grant("signal@example.org")
        copy = tracker.rewrite(OFFER, "signal@example.org")
        quiet = [tracker.public("GET", path, **browser, Sec_GPC="1") for path in (pixel(copy), link(copy))]
    assert events(tracker) == 0, "also when all that waited was written"
    with fresh as tracker:
        opened = tracker.public("GET", pixel(copy), **browser, Sec_GPC="0")
        clicked = tracker.public("GET", link(copy), **browser, Sec_GPC="true")
    assert [seen(opened), seen(clicked)] == [seen(each) for each in quiet]
    assert events(tracker) == 2
