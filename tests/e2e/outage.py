"""The story that every outage test tells: before, while a fault lasts, and after."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from tests.e2e.mail import OFFER, link, pixel, stop
from tests.harness import PATIENCE, Installation, Reply

BERT, CARLA = "bert@example.org", "carla@example.org"


class Door(Protocol):
    """A server that runs, or one of its workers."""

    def public(self, method: str, path: str, /) -> Reply:
        """A stranger's request."""

    def api(self, method: str, path: str, /) -> Reply:
        """A caller's request."""

    def rewrite(self, message: bytes, recipient: str, /) -> Reply:
        """POST /v1/rewrite."""


def until(what: str, *, tracker: Door) -> None:
    """Ask until /health/ready says that WHAT is in trouble; nothing: that all is well."""
    end = time.monotonic() + PATIENCE
    while True:
        answer = tracker.api("GET", "/health/ready")
        trouble = answer.json.get("trouble", {})
        if (what in trouble) if what else not trouble:
            assert answer.status == (503 if what else 200)
            return
        assert time.monotonic() < end, trouble


def until_written(door: Door) -> None:
    """Ask until no event waits: a hit is answered before its commit when that takes long.

    What a worker itself has waiting it tells at once, and what the others have a second later.
    """
    end = time.monotonic() + PATIENCE
    while b"\ntracker_events_waiting 0.0\n" not in (body := door.api("GET", "/metrics").body):
        assert time.monotonic() < end, body


def check_log(tracker: Installation) -> None:
    """Nothing in the log speaks of a fault of ours."""
    log = tracker.log_file.read_text()
    for word in ("Traceback", "level=error", "level=critical", "request failed"):
        assert word not in log, log


def endure(
    tracker: Installation,
    fault: AbstractContextManager[None],
    rows: Callable[[str], list[tuple[object, ...]]],
    answers: Sequence[int] = (200,),
    workers: Sequence[Door] = (),
) -> None:
    """The whole story: before, while FAULT lasts, and after.

    ROWS gives what a query finds in the database; ANSWERS: what somebody who says no meanwhile may hear. WORKERS: each
    is asked for itself, and each has a reader of its own.
    """
    doors = workers or (tracker,)
    readers = [f"anna{number}@example.org" for number in range(len(doors))]
    for person in (*readers, BERT, CARLA):
        assert tracker.grant(person).status in (200, 201)
    *read, bert = (tracker.rewrite(OFFER, person) for person in (*readers, BERT))
    assert tracker.public("GET", pixel(bert)).status == 200
    for door in doors:
        until_written(door)
    with fault:
        for door, copy in zip(doors, read, strict=True):
            assert door.public("GET", pixel(copy)).status == 200  # before anybody knows
        for door, copy in zip(doors, read, strict=True):
            until("store", tracker=door)
            _meanwhile(door, copy)
        assert doors[0].public("GET", stop(bert)).status == 200
        no = doors[0].public("POST", f"{stop(bert)}/withdraw")
        assert no.status in answers, "a yes only when it is sure"
    for door in doors:
        until("", tracker=door)
    if no.status == 503:
        for door in doors:
            assert door.rewrite(OFFER, BERT).headers["Tracker-Outcome"] == "tracked", "nobody was told otherwise"
        assert doors[0].public("POST", f"{stop(bert)}/withdraw").status == 200
    for door in doors:
        assert door.rewrite(OFFER, BERT).headers["Tracker-Reason"] == "no-grant", "who said no stays silent"
        assert door.rewrite(OFFER, CARLA).headers["Tracker-Outcome"] == "tracked"
        until_written(door)
    assert rows("SELECT purpose, count(DISTINCT delivery) FROM events GROUP BY purpose ORDER BY 1") == [
        ("c", len(doors)),
        ("o", len(doors)),
    ], "what came in meanwhile is written now, and of Bert nothing is left"
    metrics = tracker.api("GET", "/metrics").body.decode()
    assert "tracker_events_dropped_total 0.0" in metrics
    assert 'status="500"' not in metrics
    assert tracker.stop() == 0
    assert "WRONG" not in tracker.process("doctor").stdout.decode()


def _meanwhile(door: Door, copy: Reply) -> None:
    """What readers and senders meet at DOOR while the store is away; somebody reads COPY."""
    for _ in range(3):
        begun = time.monotonic()
        answer = door.public("GET", pixel(copy))
        assert (answer.status, answer.body[:4]) == (200, b"GIF8")
        redirect = door.public("GET", link(copy))
        assert (redirect.status, redirect.headers["Location"][:8]) == (302, "https://")
        assert time.monotonic() - begun < 2, "a reader waited for the store"
    sent = door.rewrite(OFFER, CARLA)
    assert (sent.status, sent.body) == (200, OFFER)
    assert (sent.headers["Tracker-Outcome"], sent.headers["Tracker-Reason"]) == ("untouched", "store-unavailable")
    assert door.api("GET", "/health/live").status == 200
    assert door.api("GET", "/metrics").status == 200
