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
    return reply.status, reply.body, [(name, value) for name, value in reply.headers.items() if name != "Date"]


def test_the_signal_suppresses_recording_and_changes_no_answer(tracker: Installation) -> None:
    """R38: exactly `Sec-GPC: 1`; with `0` or another value the hit is recorded."""
    tracker.grant("signal@example.org")
    copy = tracker.rewrite(OFFER, "signal@example.org")
    browser = {"User_Agent": "Mozilla/5.0 Firefox/145.0"}
    before = events(tracker)
    quiet = [tracker.public("GET", path, **browser, Sec_GPC="1") for path in (pixel(copy), link(copy))]
    assert events(tracker) == before
    for number, value in enumerate(("0", "true"), 1):
        path = (pixel(copy), link(copy))[number - 1]
        counted = tracker.public("GET", path, **browser, Sec_GPC=value)
        assert seen(counted) == seen(quiet[number - 1])
        assert events(tracker) == before + number
