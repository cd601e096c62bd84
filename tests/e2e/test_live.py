"""Open lists of messages hold up neither the end of a server nor the exchange of its workers."""

from __future__ import annotations

import http.client
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

import pytest

from tests.e2e.crew import until, workers
from tests.e2e.test_users import PASSWORD, RITA, add, cookie_of, dashboard
from tests.harness import PATIENCE, Installation

pytestmark = pytest.mark.e2e


@pytest.fixture
def tracker(fresh: Installation) -> Iterator[Installation]:
    add(fresh, RITA, "--role", "rep")
    yield fresh
    fresh.kill()


def signed_in(tracker: Installation) -> str:
    """The cookie of a rep."""
    page = dashboard(tracker, "GET", "/sign-in")
    key = re.findall(rb'name="form" value="([^"]+)"', page.body)[0].decode()
    body = urlencode({"form": key, "login": RITA, "password": PASSWORD}).encode()
    answer = dashboard(tracker, "POST", "/sign-in", body, cookie_of(page.headers))
    assert answer.status == 303
    return cookie_of(answer.headers)


@contextmanager
def watching(tracker: Installation, cookie: str) -> Iterator[http.client.HTTPResponse]:
    """An open list, of which the first event has come."""
    connection = http.client.HTTPConnection(tracker.dashboard_url.removeprefix("http://"), timeout=PATIENCE)
    connection.request("GET", "/feed/live", headers={"Cookie": cookie})
    answer = connection.getresponse()
    assert answer.status == 200
    while answer.readline() != b"event: feed\n":
        pass
    yield answer
    connection.close()


def test_a_server_that_stops_ends_open_lists_at_once(tracker: Installation) -> None:
    tracker.start()
    with watching(tracker, signed_in(tracker)) as answer:
        began = time.monotonic()
        assert tracker.stop() == 0
        assert time.monotonic() - began < 10, "it waited until it was cut off"
        assert b"event: over" not in answer.read(), "the browser comes back when the server does"


def test_workers_that_are_exchanged_hand_open_lists_over(tracker: Installation) -> None:
    tracker.start(workers=2)
    cookie, before = signed_in(tracker), set(workers(tracker))
    with watching(tracker, cookie) as answer:
        os.kill(tracker.pid, signal.SIGHUP)
        assert b"event: over" not in answer.read(), "it ends, and the browser comes back"
        until(lambda: not before & set(workers(tracker)), "workers of before are still there")
    with watching(tracker, cookie):
        pass
    tracker.stop()
