"""A nightly sync of 100,000 people against the real server: bounded memory, streamed, and nothing written twice."""

from __future__ import annotations

import http.client
import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from hashlib import sha256
from typing import Any

from tests.e2e.test_batch import resident
from tests.harness import Installation, consent

PEOPLE = 100_000
PIECE = 10_000
"""Octets that are sent at once."""
ROOM = 60_000
"""Kilobytes: the answers that wait for a caller who sends everything before it reads."""


CONFIRMED = json.dumps(consent("ADDRESS", reference="REFERENCE"))
BY_A_REP = json.dumps(consent("ADDRESS", reference="REFERENCE", method="rep"))


def lines(numbers: Iterable[int]) -> Iterator[bytes]:
    """A consent in each line; every tenth was reported by a rep."""
    for number in numbers:
        text = CONFIRMED if number % 10 else BY_A_REP
        yield text.replace("ADDRESS", f"n{number}@example.org").replace("REFERENCE", f"N-{number}").encode() + b"\n"


def pieces(body: Iterable[bytes]) -> Iterator[bytes]:
    """BODY as a network cuts it: in pieces that end anywhere in a line."""
    waiting = bytearray()
    for line in body:
        waiting += line
        if len(waiting) >= PIECE:
            yield bytes(waiting[:PIECE])
            del waiting[:PIECE]
    yield bytes(waiting)


def sync(tracker: Installation, body: Iterable[bytes]) -> Iterator[Any]:
    """The answers to BODY, which is sent in pieces and as a whole before the first is read."""
    connection = http.client.HTTPConnection(tracker.private_url.removeprefix("http://"), timeout=300)
    headers = {"Authorization": f"Bearer {tracker.key}", "Content-Type": "application/x-ndjson"}
    try:
        connection.request("POST", "/v1/consents/batch", pieces(body), headers, encode_chunked=True)
        answer = connection.getresponse()
        assert answer.status == 200
        yield from map(json.loads, answer)
    finally:
        connection.close()


def everything(tracker: Installation) -> str:
    """A digest of all that the database holds; not of the file, which the daily VACUUM orders anew."""
    digest = sha256()
    with closing(sqlite3.connect(tracker.folder / "tracker.db")) as plain:
        for statement in plain.iterdump():
            digest.update(statement.encode())
    return digest.hexdigest()


def test_a_hundred_thousand_lines_in_bounded_memory_and_a_second_night_that_writes_nothing(
    fresh: Installation,
) -> None:
    fresh.start()
    assert len(list(sync(fresh, lines(range(500))))) == 500
    before = resident(fresh.pid)
    said: Counter[str] = Counter()
    numbers = []
    for told in sync(fresh, lines(range(PEOPLE))):
        said[told["state"]] += 1
        numbers.append(told["line"])
    assert numbers == list(range(1, PEOPLE + 1))
    assert said == {"live": 90_000 - 450, "unchanged": 450, "pending": 10_000}
    assert resident(fresh.pid) - before < ROOM, "kilobytes"
    held = everything(fresh)
    again = Counter(told["state"] for told in sync(fresh, lines(range(0, PEOPLE, 5))))
    assert again == {"unchanged": 10_000, "pending": 10_000}
    assert everything(fresh) == held
    assert fresh.stop() == 0
    assert b"Traceback" not in fresh.log_file.read_bytes()
    for file in (*fresh.folder.glob("tracker.db*"), fresh.log_file):
        assert b"n4711@example.org" not in file.read_bytes()


def test_one_withdrawn_person_stays_silent_and_a_bad_line_harms_nobody(tracker: Installation) -> None:
    tracker.api("POST", "/v1/consents/withdraw", {"address": "n1@example.org"})
    body = [*lines([1, 2]), b'{"address": "n3@example.org"\n', *lines([4]), b"\n", *lines([5]), b"\xff\n"]
    told = list(sync(tracker, body))
    assert [(one["line"], one.get("state") or one["type"].rpartition(":")[2]) for one in told] == [
        (1, "suppressed"),
        (2, "live"),
        (3, "bad-json"),
        (4, "live"),
        (6, "live"),
        (7, "bad-json"),
    ]
    assert "example.org" not in json.dumps(told)
    found = tracker.api("POST", "/v1/consents/lookup", {"address": "n1@example.org"}).json
    assert (found["grants"], len(found["suppressed"])) == ([], 2)


def test_a_system_stays_in_step_by_its_own_references(tracker: Installation) -> None:
    cursor = tracker.api("GET", "/v1/consents/changes").json["next"]
    assert [one["state"] for one in sync(tracker, lines([71, 72]))] == ["live", "live"]
    page = tracker.api("GET", f"/v1/consents/changes?since={cursor}").json
    assert [(one["reference"], one["event"]) for one in page["changes"]] == [("N-71", "given"), ("N-72", "given")]
    tracker.api("POST", "/v1/consents/withdraw", {"address": "n71@example.org"})
    page = tracker.api("GET", f"/v1/consents/changes?since={page['next']}").json
    (change,) = page["changes"]
    assert (change["reference"], change["event"], page["more"]) == ("N-71", "withdrawn", False)
    assert tracker.api("GET", f"/v1/consents/changes?since={page['next']}").json["changes"] == []


def test_r17_r18_a_call_is_reported_looked_up_and_taken_back(tracker: Installation) -> None:
    at = consent("")["given_at"]
    said = {"call_started_at": at, "call_seconds": 312, "call_again": True}
    body = consent("call@example.org", method="phone", evidence=said)
    answer = tracker.api("POST", "/v1/consents", {**body, "purposes": ["phone"]})
    assert (answer.status, answer.json["state"]) == (201, "live")
    answer = tracker.api("POST", "/v1/consents", {**body, "purposes": ["phone", "click"]})
    assert (answer.status, answer.json["state"], answer.json["phone"]["state"]) == (202, "pending", "unchanged")
    answer = tracker.api("POST", "/v1/consents", {**body, "purposes": []})
    assert (answer.status, answer.json["state"]) == (200, "unchanged")
    no = {**body, "purposes": [], "evidence": {**said, "call_again": False}}
    assert tracker.api("POST", "/v1/consents", no).json == {"state": "withdrawn", "until": None}
    found = tracker.api("POST", "/v1/consents/lookup", {"address": "call@example.org"}).json
    assert [one["purpose"] for one in found["suppressed"]] == ["phone"]
    assert [one["purpose"] for one in found["pending"]] == ["click"]
    assert tracker.api("POST", "/v1/consents", {**body, "purposes": ["phone"]}).status == 409
