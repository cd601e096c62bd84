"""Serving: requests per second of the real server against bare aiohttp handlers, with the same driver."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from urllib.parse import urlsplit

from tests.bench.messages import samples
from tests.e2e.mail import OFFER, link, pixel
from tests.harness import Installation, free_port

CONNECTIONS = 32
SECONDS = 3.0
BARE = """
import sys, uvloop
from aiohttp import web
GIF = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b")
async def pixel(request): return web.Response(body=GIF, content_type="image/gif")
async def redirect(request): return web.Response(status=302, headers={"Location": "https://shop.example.com/"})
async def echo(request): return web.Response(body=await request.read(), content_type="message/rfc822")
app = web.Application(client_max_size=2**25)
app.router.add_get("/pixel", pixel); app.router.add_get("/redirect", redirect); app.router.add_post("/echo", echo)
uvloop.install()
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=lambda *a: print("ready", flush=True))
"""


def table() -> list[tuple[str, ...]]:
    """The rows: what, ratio, yardstick, aim."""
    newsletter = samples()[1].message
    with tempfile.TemporaryDirectory() as folder, Installation.made(Path(folder) / "tracker") as tracker:
        assert tracker.grant("bench@example.org").status == 201
        copy = tracker.rewrite(OFFER, "bench@example.org")
        port = free_port()
        bare = subprocess.Popen([sys.executable, "-c", BARE, str(port)], stdout=subprocess.PIPE)
        assert bare.stdout is not None
        bare.stdout.readline()
        base = f"http://127.0.0.1:{port}"
        headers = [f"Authorization: Bearer {tracker.key}", "Content-Type: message/rfc822"]
        nobody = [*headers, "Tracker-Recipient: nobody@example.org"]
        forged = "/c/" + "A" * 66 + link(copy)[69:]
        try:
            pairs = [
                ("pixel, verified and recorded", tracker.public_url + pixel(copy), base + "/pixel", ">= 0.65"),
                ("redirect, verified and recorded", tracker.public_url + link(copy), base + "/redirect", ">= 0.65"),
                ("forged link", tracker.public_url + forged, base + "/redirect", ">= 0.9"),
            ]
            rows: list[tuple[str, ...]] = [
                (what, f"{rate(get(ours)) / rate(get(theirs)):.2f}", "bare aiohttp on uvloop", aim)
                for what, ours, theirs, aim in pairs
            ]
            ours = rate(post(tracker.private_url + "/v1/rewrite", newsletter, nobody))
            theirs = rate(post(base + "/echo", newsletter, headers))
            rows.append(("/v1/rewrite without a grant, 27 kB", f"{ours / theirs:.2f}", "bare aiohttp echo", ">= 0.5"))
        finally:
            bare.kill()
            bare.wait()
            bare.stdout.close()
    return rows


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
            head = await reader.readuntil(b"\r\n\r\n")
            at = head.lower().index(b"content-length:") if b"content-length:" in head.lower() else -1
            if at >= 0:
                await reader.readexactly(int(head[at + 15 :].split(b"\r\n")[0]))
            answered += 1
    finally:
        writer.close()
    return answered
