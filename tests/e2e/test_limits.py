"""Crowds, slow callers and giants take a bounded part of the server, and nobody else notices."""

from __future__ import annotations

import asyncio
import subprocess
import threading
import time
from pathlib import Path
from typing import Self

import pytest

from tests.e2e import crowds
from tests.e2e.mail import OFFER, link, pixel
from tests.e2e.outage import check_log
from tests.harness import PATIENCE, Installation

ANNA = "anna@example.org"
MIB = 2**20
BUDGET = 256 * MIB
"""The setting's default."""
AROUND = 150 * MIB
"""What a server takes beside its bodies."""


def giant(size: int, number: int) -> bytes:
    """A message of SIZE octets with a link, and a large attachment, as people send them."""
    head = (
        f"From: jonas@werkstatt-nord.example\r\nTo: {ANNA}\r\nMessage-ID: <{number}@werkstatt-nord.example>\r\n"
        "Subject: plans\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        '--b\r\nContent-Type: text/html\r\n\r\n<body><a href="https://shop.example/">plans</a></body>\r\n'
        "--b\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    ).encode()
    line = b"JVBERi0xLjQK" * 6 + b"\r\n"
    return head + line * ((size - len(head) - 9) // len(line)) + b"\r\n--b--\r\n"


def request_of(tracker: Installation, message: bytes, length: int | None = None) -> bytes:
    return (
        f"POST /v1/rewrite HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {tracker.key}\r\n"
        f"Content-Type: message/rfc822\r\nTracker-Recipient: {ANNA}\r\nTracker-Copy: single\r\n"
        f"Content-Length: {len(message) if length is None else length}\r\n\r\n"
    ).encode() + message


async def send(tracker: Installation, message: bytes, *, patient: bool) -> tuple[int, str, bool]:
    """Send MESSAGE, reading meanwhile or, if PATIENT, only then; status, outcome or reason, whether it is as it was."""
    reader, writer = await crowds.connect(tracker.private_url)
    writer.write(request_of(tracker, message))
    if patient:
        await writer.drain()
    status, fields, body = await crowds.answer(reader)
    writer.transport.abort()
    return status, fields.get("tracker-reason", fields.get("tracker-outcome", "")), body == message


class Bystander:
    """Somebody who opens mail and sends some, one request after the other, while something else goes on."""

    def __init__(self, tracker: Installation) -> None:
        self._tracker = tracker
        copy = tracker.rewrite(OFFER, ANNA)
        self._paths = (pixel(copy), link(copy))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.seconds: list[float] = []
        self.statuses: set[int] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            for path in self._paths:
                begun = time.monotonic()
                self.statuses.add(self._tracker.public("GET", path).status)
                self.seconds.append(time.monotonic() - begun)

    def check(self) -> None:
        assert self.statuses == {200, 302}
        assert sorted(self.seconds)[len(self.seconds) // 2] < 0.5, "in the middle, on a machine that is busy"


async def test_forty_messages_of_25_mib_at_once_come_back_and_take_no_more_than_their_budget(
    fresh: Installation,
) -> None:
    """Half of the callers read while they send; the others send all of it first."""
    with fresh:
        fresh.grant(ANNA)
        messages = [giant(25 * MIB - 100, number) for number in range(40)]
        end = time.monotonic() + PATIENCE
        while (await send(fresh, giant(MIB, 99), patient=False))[1] == "error":
            assert time.monotonic() < end  # a busy machine takes long to start the process that looks into them
        fresh.log_file.write_bytes(b"")
        with Bystander(fresh) as bystander:
            came = await asyncio.gather(
                *(send(fresh, message, patient=bool(number % 2)) for number, message in enumerate(messages))
            )
        bystander.check()
        for status, said, unchanged in came:
            assert (status, said) in ((200, "tracked"), (200, "too-large"), (503, "")), "never an error that loses mail"
            assert unchanged == (said == "too-large")
        assert sum(status == 200 for status, _, _ in came) > 5, "on an idle machine all of them"
        assert crowds.peak_of(fresh.pid) < BUDGET + AROUND
        assert fresh.rewrite(OFFER, ANNA).headers["Tracker-Outcome"] == "tracked", "and the next one finds room"
    check_log(fresh)


async def test_slow_callers_and_half_open_connections_hold_nobody_up(fresh: Installation) -> None:
    """Headers by the octet, bodies by the octet, nothing at all, and callers who hung up for their part."""
    with fresh:
        fresh.grant(ANNA)
        before = crowds.memory_of(fresh.pid)
        with Bystander(fresh) as bystander:
            async with (
                crowds.connected(fresh.public_url, 600) as strangers,
                crowds.connected(fresh.private_url, 200) as systems,
            ):
                gone = strangers[5::6]
                for number, (_, writer) in enumerate(strangers):
                    writer.write((b"GET /o/x.gif HTTP/1.1\r\nX-Slow: ", b"POST /privacy HTTP/1.1\r\n", b"")[number % 3])
                for _, writer in gone:
                    writer.write_eof()
                for _, writer in systems:
                    writer.write(request_of(fresh, b"Subject: slow", 25 * MIB))
                for _ in range(20):
                    await asyncio.sleep(0.05)  # what "slow" means
                    for connection in (*strangers, *systems):
                        if connection not in gone and not connection[1].is_closing():
                            connection[1].write(b"x")
                assert fresh.rewrite(OFFER, ANNA).headers["Tracker-Outcome"] == "tracked"
                assert crowds.memory_of(fresh.pid) - before < 60 * MIB, "what was announced and did not come takes none"
        bystander.check()
    check_log(fresh)


async def test_headers_of_64_kib_are_refused_whole_or_trickling(fresh: Installation) -> None:
    """In one field, in many, and in many that never come to an end."""
    with fresh:
        before = crowds.memory_of(fresh.pid)
        one = b"X: " + b"a" * 2**16 + b"\r\n"
        many = b"".join(b"X-%d: " % number + b"a" * 1000 + b"\r\n" for number in range(70))
        for base in (fresh.public_url, fresh.private_url):
            async with crowds.connected(base, 100) as connections:
                for number, (_, writer) in enumerate(connections):
                    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n" + (one, many)[number % 2])
                answers = await asyncio.gather(*(crowds.answer(reader) for reader, _ in connections))
            assert {status for status, _, _ in answers} <= {0, 400}
        assert crowds.memory_of(fresh.pid) - before < 60 * MIB
        assert fresh.public("GET", "/o/x.gif").status == 200
    check_log(fresh)


async def test_ten_thousand_connections_at_once_are_held_and_answered(fresh: Installation) -> None:
    count = 10_000
    if crowds.allow_files(count + 500) < count + 500:
        pytest.skip("needs 10,500 open files for each process: `ulimit -n 10500`, by who may")
    with fresh:
        fresh.grant(ANNA)
        path = pixel(fresh.rewrite(OFFER, ANNA))
        before = crowds.memory_of(fresh.pid)
        async with crowds.connected(fresh.public_url, count) as connections:
            for _, writer in connections:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            answers = await asyncio.gather(*(crowds.answer(reader) for reader, _ in connections))
            assert {(status, body[:4]) for status, _, body in answers} == {(200, b"GIF8")}
            assert fresh.public("GET", path).status == 200, "and one more"
            assert (crowds.memory_of(fresh.pid) - before) / count < 50 * 1024, "octets for a connection"
        fresh.until_written()
    check_log(fresh)


async def test_with_few_files_to_open_the_newest_callers_are_answered_and_the_store_works(fresh: Installation) -> None:
    fresh.files = 400
    with fresh:
        assert "connections of recipients at a time" in fresh.log_file.read_text()
        fresh.grant(ANNA)
        path = pixel(fresh.rewrite(OFFER, ANNA))
        async with crowds.connected(fresh.public_url, 1_000):  # who say nothing
            assert fresh.public("GET", path).status == 200
            assert fresh.api("GET", "/health/ready").status == 200
            assert fresh.rewrite(OFFER, ANNA).headers["Tracker-Outcome"] == "tracked"
        fresh.until_written()
    check_log(fresh)


async def test_a_server_that_can_open_no_file_more_answers_those_it_has_and_recovers(fresh: Installation) -> None:
    """EMFILE on accept, as when something else took them all."""
    with fresh:
        fresh.grant(ANNA)
        path = pixel(fresh.rewrite(OFFER, ANNA))
        reader, writer = await crowds.connect(fresh.public_url)
        request = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        writer.write(request)
        assert (await crowds.answer(reader))[0] == 200
        _allow(fresh, len(list(Path(f"/proc/{fresh.pid}/fd").iterdir())))
        async with crowds.connected(fresh.public_url, 200):
            for _ in range(3):
                writer.write(request)
                assert (await crowds.answer(reader))[0] == 200, "it is still there"
            _allow(fresh, 1_000)
            assert fresh.public("GET", path).status == 200
        writer.transport.abort()
        fresh.until_ready()
        fresh.until_written()
    check_log(fresh)


def _allow(tracker: Installation, files: int) -> None:
    subprocess.run(["prlimit", "--pid", str(tracker.pid), f"--nofile={files}:"], check=True)
