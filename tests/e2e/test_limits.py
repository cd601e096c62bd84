"""Crowds, slow callers and giants take a bounded part of the server, and nobody else notices."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import smtplib
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Self

import pytest

from tests.e2e import crowds
from tests.e2e.crew import Pinned, alive, until, workers
from tests.e2e.hop import Hop
from tests.e2e.mail import OFFER, link, pixel
from tests.e2e.outage import check_log
from tests.harness import Installation, free_port

ANNA = "anna@example.org"
MIB = 2**20
BUDGET = 256 * MIB
"""The setting's default."""
AROUND = 64 * MIB
"""What a worker takes more than at rest, beside its bodies: buffers of connections, what it remembers of messages."""
SMALL = 2 * MIB
WAITS = 5.0
"""Seconds for which a caller waits before it sends what it has."""
FROM = "jonas@werkstatt-nord.example"


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


def heavy(size: int, number: int) -> bytes:
    """The same of HTML alone, which takes the most memory to rewrite."""
    head = (
        f"From: {FROM}\r\nTo: {ANNA}\r\nMessage-ID: <{number}@werkstatt-nord.example>\r\nSubject: plans\r\n"
        "MIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n"
        "\r\n<body>"
    ).encode()
    paragraph = b'<p><a href=3D"https://shop.example/plans">plans</a> ' + b"=C3=BCber =\r\n" * 1_000 + b"</p>\r\n"
    return head + paragraph * ((size - len(head) - 9) // len(paragraph)) + b"</body>\r\n"


def request_of(tracker: Installation, message: bytes, length: int | None = None) -> bytes:
    return (
        f"POST /v1/rewrite HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {tracker.key}\r\n"
        f"Content-Type: message/rfc822\r\nTracker-Recipient: {ANNA}\r\nTracker-Copy: single\r\n"
        f"Content-Length: {len(message) if length is None else length}\r\n\r\n"
    ).encode() + message


async def send(tracker: Installation, message: bytes, *, patient: bool) -> tuple[int, str, bool]:
    """Send MESSAGE, reading meanwhile or, if PATIENT, only then; status, outcome or reason, whether it is as it was.

    Status 0: the connection was ended after the 5 s for which a caller waits.
    """
    began = time.monotonic()
    reader, writer = await crowds.connect(tracker.private_url)
    try:
        writer.write(request_of(tracker, message))
        if patient:
            await writer.drain()
        status, fields, body = await crowds.answer(reader)
    except ConnectionError:
        status, fields, body = 0, {}, b""
    finally:
        writer.transport.abort()
    if status in (0, 408):
        assert time.monotonic() - began > WAITS
        return 0, "", False
    if status == 503:
        problem = json.loads(body)
        assert problem["type"] == "urn:tracker:problem:no-room"
        assert "Send it as you have it" in problem["remedy"]
    return status, fields.get("tracker-reason", fields.get("tracker-outcome", "")), body == message


async def sent(tracker: Installation, messages: Sequence[bytes]) -> Counter[str]:
    """What became of MESSAGES, sent at once; half of the callers read while they send, the others send all of it first.

    Each of them hears something with which its mail goes on.
    """
    came = await asyncio.gather(
        *(send(tracker, message, patient=bool(number % 2)) for number, message in enumerate(messages))
    )
    for status, said, unchanged in came:
        assert (status, said) in ((200, "tracked"), (200, "too-large"), (503, ""), (0, "")), (
            "never an error that loses mail"
        )
        assert unchanged == (said == "too-large")
    return Counter(said or {503: "no-room"}.get(status, "too late") for status, said, _ in came)


def warm(tracker: Installation, count: int) -> None:
    """Have each of COUNT workers do once what starts its other process; without workers the server."""
    message = heavy(200_000, 0)

    def works(one: Installation | Pinned) -> bool:
        return one.rewrite(message, ANNA).headers["Tracker-Outcome"] == "tracked"

    busy = "a busy machine takes long to start the process that looks into large messages"
    if not count:
        until(lambda: works(tracker), busy)
    for pid in workers(tracker):
        with Pinned(tracker, pid, tracker.private_url) as one:
            until(partial(works, one), busy)
    tracker.log_file.write_bytes(b"")
    # The server; or the parent and each worker. Each with two more: one that looks into messages, and its helper.
    assert len(tracker.processes) == (3 * count + 1 if count else 3)


class Bystander:
    """Somebody who opens mail, one request after the other, while something else goes on; and before, to compare."""

    def __init__(self, tracker: Installation) -> None:
        self._tracker = tracker
        copy = tracker.rewrite(OFFER, ANNA)
        self._paths = (pixel(copy), link(copy))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._statuses: set[int] = set()
        self._seconds: list[float] = []
        for _ in range(100):
            self._look()
        self._calm, self._seconds = self._seconds, []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._look()

    def _look(self) -> None:
        for path in self._paths:
            begun = time.monotonic()
            self._statuses.add(self._tracker.public("GET", path).status)
            self._seconds.append(time.monotonic() - begun)

    def check(self) -> None:
        """Nobody who was held up by others' haste or sloth would be answered within a second, as nearly all were.

        On a machine that is busy with something else all of it takes longer, before as well as meanwhile.
        """
        assert self._statuses == {200, 302}
        assert _of(self._seconds, 0.5) < 0.5 + 3 * _of(self._calm, 0.5)
        assert _of(self._seconds, 0.95) < 1.0 + 3 * _of(self._calm, 0.95)


def _of(seconds: list[float], part: float) -> float:
    """Within so many seconds that PART was answered."""
    return sorted(seconds)[int(part * len(seconds))]


@pytest.mark.parametrize("count", [0, 2])
async def test_forty_messages_of_25_mib_at_once_come_back_and_take_no_more_than_their_budget(
    fresh: Installation, count: int
) -> None:
    """In all processes together, those that look into large messages included."""
    fresh.start(count or None)
    fresh.grant(ANNA)
    warm(fresh, count)
    messages = [(giant, heavy)[number // 2 % 2](25 * MIB - 100, number) for number in range(40)]
    with Bystander(fresh) as bystander, crowds.Watch(lambda: fresh.processes) as watch:
        came = await sent(fresh, messages)
    print(f"\n{count} workers: {dict(came)}, {watch.rest / MIB:.0f} MiB at rest, {watch.rise / MIB:.0f} more")
    bystander.check()
    assert came["tracked"]
    assert came["too-large"], "on an idle machine all others; on a busy one what there is the time to read"
    assert watch.rise < BUDGET + AROUND * max(1, count)
    assert fresh.rewrite(OFFER, ANNA).headers["Tracker-Outcome"] == "tracked", "and the next one finds room"
    fresh.stop()
    check_log(fresh)


async def test_beyond_the_budget_mail_comes_back_as_it_was_and_nobody_is_turned_away(fresh: Installation) -> None:
    """Four times as much as there is memory for, which is soon read."""
    fresh.environment |= {"TRACKER_MAX_MESSAGE": str(SMALL), "TRACKER_BODIES_IN_FLIGHT": str(10 * SMALL)}
    fresh.start(workers=2)
    fresh.grant(ANNA)
    warm(fresh, 2)
    came = await sent(fresh, [giant(SMALL - 100, number) for number in range(40)])
    assert came["tracked"]
    assert came["tracked"] + came["too-large"] == 40, came
    fresh.stop()
    check_log(fresh)


async def test_what_a_worker_held_that_was_killed_is_free_for_the_others(fresh: Installation) -> None:
    fresh.environment |= {"TRACKER_MAX_MESSAGE": str(SMALL), "TRACKER_BODIES_IN_FLIGHT": str(10 * SMALL)}
    fresh.start(workers=2)
    fresh.grant(ANNA)
    large, before = giant(SMALL - 100, 1), workers(fresh)
    async with crowds.connected(fresh.private_url, 1) as ((_, writer),):
        writer.write(request_of(fresh, b"Subject: slow", SMALL))
        until(lambda: fresh.rewrite(large, ANNA).headers["Tracker-Outcome"] == "untouched", "nothing is held")
        for pid in before:
            os.kill(pid, signal.SIGKILL)
    until(lambda: len(set(workers(fresh)) - set(before)) == 2 and not any(map(alive, before)), "nobody takes over")
    fresh.until_ready()
    assert fresh.rewrite(large, ANNA).headers["Tracker-Outcome"] == "tracked"


async def test_mail_by_smtp_and_by_http_at_once_takes_no_more_than_their_common_budget(fresh: Installation) -> None:
    """By SMTP they wait for one another, and all of them arrive."""
    port, many = free_port(), 4
    with Hop() as hop:
        fresh.environment |= {
            "TRACKER_SMTP_LISTEN": f"127.0.0.1:{port}",
            "TRACKER_SMTP_NEXT_HOP": hop.sink.next_hop,
            "TRACKER_SENDER_DOMAINS": FROM.partition("@")[2],
        }
        fresh.start(workers=2)
        fresh.grant(ANNA)
        warm(fresh, 2)

        def hand_in(number: int) -> None:
            with smtplib.SMTP("127.0.0.1", port, "app.example", timeout=120) as smtp:
                smtp.sendmail(FROM, [ANNA], heavy(24 * MIB, number))

        with crowds.Watch(lambda: fresh.processes) as watch:
            by_smtp = [asyncio.to_thread(hand_in, number) for number in range(many)]
            handed_in = asyncio.gather(*by_smtp)
            came = await sent(fresh, [heavy(25 * MIB - 100, number) for number in range(12)])
            await handed_in
        print(f"\n{dict(came)}, {watch.rest / MIB:.0f} MiB at rest, {watch.rise / MIB:.0f} more")
        assert [taken.recipients for taken in hop.since(0, many)] == [(ANNA,)] * many
        assert watch.rise < BUDGET + AROUND * 2
        fresh.stop()
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
                for _ in range(40):
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
