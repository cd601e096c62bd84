"""Serving mail: requests per second of the real server against a bare aiohttp handler, with the same driver."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from urllib.parse import urlsplit

from tests.bench.driver import answer
from tests.bench.hits import bare
from tests.bench.messages import samples
from tests.bench.paced import slowest, times
from tests.e2e.mail import OFFER, pixel
from tests.harness import Installation

CONNECTIONS = 32
SECONDS = 3.0
PACE = 0.004
"""Seconds between two hits whose patience is measured."""
LOAD = """
import http.client, os, sys
host, key = sys.argv[1], sys.argv[2]
message = sys.stdin.buffer.read()
headers = {"Authorization": "Bearer " + key, "Content-Type": "message/rfc822", "Tracker-Copy": "single",
           "Tracker-Recipient": "bench@example.org"}
connection = http.client.HTTPConnection(host)
while True:
    mark = b"X-Campaign: " + os.urandom(8).hex().encode()  # another message to the tracker: none is remembered
    connection.request("POST", "/v1/rewrite", message.replace(b"X-Campaign: ", mark), headers)
    answer = connection.getresponse()
    answer.read()
    assert answer.headers["Tracker-Outcome"] == "tracked", answer.headers
    print("sent", flush=True)
"""
"""Has 5 MB messages planned without pause."""


def table() -> list[tuple[str, ...]]:
    """The rows: what, ratio, yardstick, aim."""
    newsletter = samples()[1].message
    with tempfile.TemporaryDirectory() as folder, Installation.made(Path(folder) / "tracker") as tracker:
        assert tracker.grant("bench@example.org").status == 201
        copy = tracker.rewrite(OFFER, "bench@example.org")
        headers = [f"Authorization: Bearer {tracker.key}", "Content-Type: message/rfc822"]
        nobody = [*headers, "Tracker-Recipient: nobody@example.org"]
        with bare() as url:
            ours = rate(post(tracker.private_url + "/v1/rewrite", newsletter, nobody))
            theirs = rate(post(url + "/echo", newsletter, headers))
        return [
            ("/v1/rewrite without a grant, 27 kB", f"{ours / theirs:.2f}", "bare aiohttp echo", ">= 0.5"),
            _patience(tracker, tracker.public_url + pixel(copy)),
        ]


def _patience(tracker: Installation, url: str) -> tuple[str, ...]:
    """How much longer the slowest hits take while large messages are planned."""
    alone = _waits(url)
    host = urlsplit(tracker.private_url).netloc
    load = subprocess.Popen(
        [sys.executable, "-c", LOAD, host, tracker.key], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert load.stdin is not None
    assert load.stdout is not None
    try:
        load.stdin.write(samples()[3].message)
        load.stdin.close()
        load.stdout.readline()  # the process for large messages is there
        beside = _waits(url)
    finally:
        load.kill()
        load.wait()
        load.stdout.close()
    return "p99 of pixel hits while 5 MB messages are planned", f"{beside / alone:.2f}", "p99 without", "<= 2"


def _waits(url: str) -> float:
    """The time in seconds that 99 of 100 hits of URL take at most."""
    return slowest(times([url] * int(2 * SECONDS / PACE), PACE))


def get(url: str) -> tuple[str, bytes]:
    """A GET request for `rate`."""
    return url, _request("GET", url, b"", ())


def post(url: str, body: bytes, headers: Sequence[str]) -> tuple[str, bytes]:
    """A POST request for `rate`."""
    return url, _request("POST", url, body, [*headers, f"Content-Length: {len(body)}"])


def rate(request: tuple[str, bytes]) -> float:
    """Answers per second to REQUEST, over keep-alive connections."""
    url, octets = request
    return asyncio.run(_rate(urlsplit(url).port or 80, octets))


def _request(method: str, url: str, body: bytes, headers: Sequence[str]) -> bytes:
    lines = [f"{method} {urlsplit(url).path} HTTP/1.1", "Host: 127.0.0.1", "User-Agent: Mozilla/5.0 Firefox", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def _rate(port: int, octets: bytes) -> float:
    until = perf_counter() + SECONDS
    start = perf_counter()
    answered = sum(await asyncio.gather(*(_drive(port, octets, until) for _ in range(CONNECTIONS))))
    return answered / (perf_counter() - start)


async def _drive(port: int, octets: bytes, until: float) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answered = 0
    try:
        while perf_counter() < until:
            writer.write(octets)
            await answer(reader)
            answered += 1
    finally:
        writer.close()
    return answered
