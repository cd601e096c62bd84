"""SIGHUP while a next hop is slow: whoever waits for it holds up nothing but its own answer."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.crew import Pinned, alive, folder_of, leader, only, until, workers
from tests.e2e.test_restart_mail import ANNA, BERT, SUBMITS, Line, offer, running, steps
from tests.harness import Installation

pytestmark = pytest.mark.e2e
SIZE = 2
STOPPING = "stopping: finishing what was begun"
THIRD_WAITS = "workers of before the last exchange stop"
KEPT_ALIVE = 60
"""Seconds for which a server that stays keeps an idle connection."""


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    with running(tmp_path, SIZE) as one:
        yield one


def leading(tracker: Installation, but: list[int] | None = None) -> int:
    """The worker that leads, once it is none of BUT."""
    folder = folder_of(workers(tracker)[0])
    until(lambda: leader(folder) in set(workers(tracker)) - set(but or ()), "nobody leads")
    found = leader(folder)
    assert found is not None
    return found


@contextmanager
def watched(tracker: Installation) -> Iterator[list[set[int]]]:
    """The workers that there were, whenever it was looked."""
    seen: list[set[int]] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.02):
            seen.append(set(workers(tracker)))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def test_another_leads_and_idle_connections_end_and_a_third_crew_waits_for_the_first(line: Line) -> None:
    tracker = line.tracker
    old = leading(tracker)
    with only(old, workers(tracker)):
        waiting = line.client()
    steps(waiting, 0)
    with Pinned(tracker, old, tracker.public_url) as idle, watched(tracker) as seen:
        with line.hop.holding():
            waiting.send(offer("waiting") + b".\r\n")
            line.hop.until(lambda sink: f"DATA {BERT}" in sink.commands[-1:])
            first = line.hang_up()
            assert leading(tracker, but=first) not in first
            assert idle.is_closed(KEPT_ALIVE / 2)
            assert alive(old), "it waits for the next hop"
            until(lambda: not any(map(alive, set(first) - {old})), "the other one is still there")
            second = workers(tracker)
            second.remove(old)
            left = tracker.log_file.read_text().count(STOPPING)
            os.kill(tracker.pid, signal.SIGHUP)
            until(lambda: tracker.log_file.read_text().count(STOPPING) > left, "it was not told to stop")
            assert tracker.public("GET", "/robots.txt").status == 200
            assert all(map(alive, second))
        assert waiting.getreply()[0] == SUBMITS
        waiting.close()
        until(lambda: not any(map(alive, (*first, *second))), "those of before are still there")
    assert all(there <= {*first, *second} for there in seen if old in there)
    assert len(workers(tracker)) == SIZE
    assert (line.arrived()["waiting", ANNA], line.arrived()["waiting", BERT]) == (1, 1)


def test_a_stop_is_heard_while_the_third_crew_waits_for_the_first(line: Line) -> None:
    tracker = line.tracker
    waiting = line.client()
    steps(waiting, 0)
    with line.hop.holding():
        waiting.send(offer("waiting") + b".\r\n")
        line.hop.until(lambda sink: f"DATA {BERT}" in sink.commands[-1:])
        first = line.hang_up()
        os.kill(tracker.pid, signal.SIGHUP)
        until(lambda: THIRD_WAITS in tracker.log_file.read_text(), "it does not wait")
        second = [pid for pid in workers(tracker) if pid not in first]
        os.kill(tracker.pid, signal.SIGTERM)
        until(lambda: not any(map(alive, second)), "nobody heard")
        assert any(map(alive, first)), "one of them waits for the next hop"
    assert waiting.getreply()[0] == SUBMITS
    waiting.close()
