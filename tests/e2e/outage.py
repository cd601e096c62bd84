"""The story that every outage test tells: before, while a fault lasts, and after."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from tests.e2e.mail import OFFER, link, pixel, stop
from tests.harness import PATIENCE, Installation, Reply

ANNA, BERT, CARLA = "anna@example.org", "bert@example.org", "carla@example.org"


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


def endure(
    tracker: Installation,
    fault: AbstractContextManager[None],
    rows: Callable[[str], list[tuple[object, ...]]],
    answers: Sequence[int] = (200,),
) -> None:
    """The whole story: before, while FAULT lasts, and after.

    ROWS gives what a query finds in the database; ANSWERS: what somebody who says no meanwhile may hear.
    """
    for person in (ANNA, BERT, CARLA):
        assert tracker.grant(person).status in (200, 201)
    anna, bert = (tracker.rewrite(OFFER, person) for person in (ANNA, BERT))
    assert tracker.public("GET", pixel(bert)).status == 200
    tracker.until_written()
    with fault:
        assert tracker.public("GET", pixel(anna)).status == 200  # before anybody knows
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
    assert rows("SELECT purpose, count(DISTINCT delivery) FROM events GROUP BY purpose ORDER BY 1") == [
        ("c", 1),
        ("o", 1),
    ], "what came in meanwhile is written now, and of Bert nothing is left"
    metrics = tracker.api("GET", "/metrics").body.decode()
    assert "tracker_events_dropped_total 0.0" in metrics
    assert 'status="500"' not in metrics
    assert tracker.stop() == 0
    assert "WRONG" not in tracker.process("doctor").stdout.decode()
