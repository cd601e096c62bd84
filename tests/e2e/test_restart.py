"""SIGHUP exchanges the workers: no connection is refused or reset, no request fails, and settings are read anew."""

from __future__ import annotations

import http.client
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.e2e.crew import Pinned, alive, until, workers
from tests.e2e.mail import OFFER, link, pixel, stop
from tests.harness import Installation, Reply

WORKERS = 2
FIREFOX = {"User-Agent": "Mozilla/5.0 Firefox/145.0"}


@pytest.fixture
def tracker(fresh: Installation) -> Installation:
    fresh.start(workers=WORKERS)
    return fresh


def exchanged(tracker: Installation, before: list[int]) -> None:
    """SIGHUP, and wait until every worker of BEFORE has left."""
    os.kill(tracker.pid, signal.SIGHUP)
    until(lambda: not any(map(alive, before)), "those of before are still there")
    assert len(set(workers(tracker)) - set(before)) == WORKERS


@dataclass
class Client:
    """Asks again and again in a thread, on one connection or on a fresh one each time, and notes what went wrong."""

    tracker: Installation
    path: str
    expected: int
    keep_alive: bool
    pause: float
    answered: int = 0
    said_close: int = 0
    failed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        connection = self._connection()
        while not self._ended.wait(self.pause):
            try:
                connection.request("GET", self.path, headers=FIREFOX)
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(type(error).__name__)
                connection.close()
                continue
            self.answered += 1
            self.said_close += answer.headers["Connection"] == "close"
            if answer.status != self.expected:
                self.failed.append(str(answer.status))
            if not self.keep_alive:
                connection.close()
        connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.tracker.public_url.removeprefix("http://"), timeout=60)


@pytest.fixture
def copy(tracker: Installation) -> Reply:
    assert tracker.grant("anna@example.org").status == 201
    return tracker.rewrite(OFFER, "anna@example.org")


@pytest.fixture
def clients(tracker: Installation, copy: Reply) -> Iterator[list[Client]]:
    """Some without a pause, some that leave their connection idle for a while."""
    made = [
        Client(tracker, path, status, keep_alive, pause)
        for path, status in ((pixel(copy), 200), (link(copy), 302))
        for keep_alive in (True, False)
        for pause in (0.0, 0.7)
    ]
    yield made
    for one in made:
        one.end()


def test_under_load_nobody_notices(tracker: Installation, clients: list[Client]) -> None:
    for _ in range(2):
        before = workers(tracker)
        exchanged(tracker, before)
    until(lambda: all(one.answered > 5 for one in clients), "nobody answers")
    for one in clients:
        one.end()
    assert {one.path: one.failed for one in clients if one.failed} == {}
    assert any(one.said_close for one in clients if one.keep_alive), "nobody was told to come again"
    assert sum(one.answered for one in clients) > 200
    assert tracker.stop() == 0
    assert "Traceback" not in tracker.log_file.read_text()


def test_what_was_begun_is_finished_and_an_idle_connection_has_its_next_request_answered(
    tracker: Installation, copy: Reply
) -> None:
    before = workers(tracker)
    with (
        Pinned(tracker, before[0], tracker.public_url) as idle,
        Pinned(tracker, before[1], tracker.private_url) as busy,
    ):
        connection = busy._connection
        connection.putrequest("POST", "/v1/rewrite")
        headers = {
            "Authorization": f"Bearer {tracker.key}", "Content-Type": "message/rfc822", "Tracker-Copy": "single",
            "Tracker-Recipient": "anna@example.org", "Content-Length": str(len(OFFER)),
        }  # fmt: skip
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders(OFFER[:100])
        os.kill(tracker.pid, signal.SIGHUP)
        until(lambda: "those of before finish" in tracker.log_file.read_text(), "nobody came")
        answer = idle.ask("GET", pixel(copy), user_agent="Mozilla/5.0 Firefox/145.0")
        assert (answer.status, answer.headers["Connection"]) == (200, "close")
        connection.send(OFFER[100:])
        late = connection.getresponse()
        assert late.headers["Tracker-Outcome"] == "tracked"
        late.read()
    until(lambda: not any(map(alive, before)), "those of before are still there")


def test_settings_and_keys_are_read_anew(tracker: Installation, copy: Reply) -> None:
    file = tracker.folder / "tracker.toml"
    file.write_text(file.read_text().replace("Werkstatt Nord GmbH", "Werkstatt Ost GmbH"))
    tracker.run("secret", "rotate")
    assert "Werkstatt Nord" in tracker.public("GET", stop(copy)).body.decode()
    exchanged(tracker, workers(tracker))
    assert "Werkstatt Ost" in tracker.public("GET", stop(copy)).body.decode()


def test_another_address_is_listened_on_after_it_was_bound(tracker: Installation, copy: Reply) -> None:
    other = Installation(tracker.folder)
    del tracker.environment["TRACKER_PUBLIC_LISTEN"]
    assert tracker.stop() == 0
    file = tracker.folder / "tracker.toml"
    text = file.read_text()
    file.write_text(f'{text}\npublic_listen = "{tracker.public_url.removeprefix("http://")}"\n')
    tracker.start(workers=WORKERS)
    assert tracker.public("GET", link(copy)).status == 302
    file.write_text(f'{text}\npublic_listen = "{other.public_url.removeprefix("http://")}"\n')
    exchanged(tracker, workers(tracker))
    assert other.public("GET", link(copy)).status == 302
    with pytest.raises(ConnectionRefusedError):
        tracker.public("GET", link(copy))


@pytest.mark.parametrize("fault", ["retention_days = 0", 'key_file = "nowhere"', 'public_listen = "192.0.2.1:1"'])
def test_with_settings_that_do_not_do_those_of_before_go_on(tracker: Installation, copy: Reply, fault: str) -> None:
    tracker.environment.pop("TRACKER_PUBLIC_LISTEN")
    assert tracker.stop() == 0
    file = tracker.folder / "tracker.toml"
    address = f'public_listen = "{tracker.public_url.removeprefix("http://")}"\n'
    file.write_text(file.read_text() + address)
    tracker.start(workers=WORKERS)
    before = workers(tracker)
    good = file.read_text()
    file.write_text((good.replace(address, "") if "listen" in fault else good) + fault)
    os.kill(tracker.pid, signal.SIGHUP)
    until(lambda: "of before" in tracker.log_file.read_text(), "nothing was said")
    assert fault.partition(" ")[0] in tracker.log_file.read_text().rpartition("level=info")[2]
    assert workers(tracker) == before
    assert tracker.public("GET", link(copy)).status == 302
    file.write_text(good)
    exchanged(tracker, before)
    assert tracker.public("GET", link(copy)).status == 302
