"""Hits: requests per second of the real server against bare aiohttp handlers, and of its writer against plain ones.

Server and driver share this machine's cores, as those of the yardstick do; the store's thread takes from them, too.
Ours and the yardstick take turns, a second each, and the median of the turns' ratios counts. Beside the rates stands
the processor time for each hit: that of a busy machine can be compared, too.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from time import monotonic, perf_counter
from typing import NamedTuple

import aiosqlite

from tests.bench.driver import CONNECTIONS, name, processor_seconds, rate, until_idle
from tests.bench.verdict import unmeasured
from tests.deploy.files import found
from tests.harness import PATIENCE, Installation, free_port
from tests.traffic import Copy, send, stored
from tracker.keyfile import KeyFile
from tracker.model import NO_LINK, Agent, Day, DeliveryId, Event, Hour, Purpose
from tracker.store.store import Store

TURNS = 5
COPIES = 700_000
EVENTS = 20_000
WAITERS = 64
MANY = 512
"""Connections, of those who are many: each answer waits for a commit, and of few callers all may wait at once."""
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
INSERT = "INSERT INTO events (last_day, delivery, purpose, link, hour, agent) VALUES (?, ?, ?, ?, ?, ?)"
NGINX = """
daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1; events {{}}
http {{
  access_log off; client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
  uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5; keepalive_requests 1000000000;
  server {{ listen 127.0.0.1:{port}; location /pixel {{ empty_gif; }} }}
}}
"""


def table() -> list[tuple[str, ...]]:
    """The rows: what, ratio, yardstick, aim."""
    with tempfile.TemporaryDirectory() as folder, bare_server() as (url, process):
        tracker = Installation.made(Path(folder) / "tracker", TRACKER_TRUSTED_PROXIES="127.0.0.1")
        with tracker:
            assert tracker.grant("bench@example.org").status == 201
        copies = send(tracker, COPIES)
        with tracker:
            until_idle(tracker.processes)
            rows = _hits(tracker, copies, url, process)
            rows.append(ceiling(Path(folder), tracker.public_url, copies))
        rows.append(_group_commit(tracker, copies))
    return rows


class Kind(NamedTuple):
    """A row: what is asked for, over how many connections, against which of the bare handlers."""

    what: str
    paths: Sequence[str]
    yardstick: str
    aim: str = ""
    connections: int = CONNECTIONS
    forwarded: bool = False
    """As a proxy in front asks, which says for whom."""


def _hits(tracker: Installation, copies: Sequence[Copy], bare_url: str, bare_process: int) -> list[tuple[str, ...]]:
    third, half = len(copies) // 3, len(copies) // 2
    pixels, links = [copy.pixel for copy in copies], [copy.link for copy in copies]
    forged = [copy.forged for copy in copies[:2_000]]
    kinds = [
        Kind("pixel, verified, classified, recorded", pixels[:third], "/pixel", ">= 0.65", MANY),
        Kind("pixel behind a proxy", pixels[third : 2 * third], "/pixel", "", MANY, forwarded=True),
        Kind("pixel, few who ask", pixels[2 * third :], "/pixel", ">= 0.65"),
        Kind("pixel, all repeats of events that are there", pixels[:200], "/pixel"),
        Kind("redirect, verified, classified, recorded", links[:half], "/redirect", ">= 0.65", MANY),
        Kind("redirect, few who ask", links[half:], "/redirect", ">= 0.65"),
        Kind("forged link", forged, "/redirect", ">= 0.9"),
    ]
    on = f"{os.cpu_count()} cores for server and driver ({name()})"
    rows: list[tuple[str, ...]] = [("hits per second, " + on, "", "bare aiohttp on uvloop", "")]
    for kind in kinds:
        before, asked, ratios, costs = len(stored(tracker)), 0.0, [], []
        turn = max(len(kind.paths) // TURNS, min(len(kind.paths), 200))
        for number in range(TURNS):
            theirs, their_cost = _measured([bare_process], bare_url, kind, [kind.yardstick])
            paths = kind.paths[number * turn :][:turn] or kind.paths
            ours, cost = _measured(tracker.processes, tracker.public_url, kind, paths)
            asked += ours
            ratios.append(ours / theirs)
            costs.append((cost, their_cost))
        tracker.until_written()
        new = min(1, (len(stored(tracker)) - before) / asked)
        ours, theirs = (median(each) * 1e6 for each in zip(*costs, strict=True))
        what = f"{kind.what}; {kind.connections} connections, {new:.0%} new events"
        yards = f"the bare handler; processor time {ours:.0f} us to its {theirs:.0f}"
        rows.append((what, spread(ratios), yards, kind.aim))
    return rows


def _measured(processes: Sequence[int], url: str, kind: Kind, paths: Sequence[str]) -> tuple[float, float]:
    """Answers per second, and the seconds of processor time that PROCESSES took for each."""
    before = processor_seconds(processes)
    answered = rate(url, paths, 1, forwarded=kind.forwarded, connections=kind.connections)
    return answered, (processor_seconds(processes) - before) / answered


def ceiling(folder: Path, public_url: str, copies: Sequence[Copy]) -> tuple[str, ...]:
    """What a server in C does that only ever returns the same image."""
    what = "nginx empty_gif, the ceiling"
    program = found("nginx")
    if program is None:
        return what, unmeasured("no nginx"), "our pixel", ""
    port = free_port()
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port))
    url = f"http://127.0.0.1:{port}"
    nginx = subprocess.Popen([program, "-p", folder, "-e", folder / "error.log", "-c", folder / "nginx.conf"])
    try:
        _until_answers(port)
        repeats = [copy.pixel for copy in copies[:200]]
        ratios = [rate(url, ["/pixel"]) / rate(public_url, repeats) for _ in range(TURNS)]
    finally:
        nginx.terminate()
        nginx.wait()
    return what, spread(ratios), "our pixel", ""


def _group_commit(tracker: Installation, copies: Sequence[Copy]) -> tuple[str, ...]:
    ratios = []
    for number in range(TURNS):
        events = [
            Event(Day(copy.last_day), DeliveryId(copy.delivery), Purpose.OPEN, NO_LINK, Hour(number), Agent.HUMAN)
            for copy in copies[:EVENTS]
        ]
        grouped = asyncio.run(_grouped(tracker, events))
        single = asyncio.run(_single(tracker, [event._replace(hour=Hour(100 + number)) for event in events[:1_000]]))
        ratios.append(grouped / single)
    what = f"events stored by {WAITERS} who wait, one commit for a group"
    return what, spread(ratios), "a commit each, aiosqlite", ">= 8"


async def _grouped(tracker: Installation, events: Sequence[Event]) -> float:
    """Events per second of the store, which looks for the grant of each."""
    ring = KeyFile(tracker.folder / "tracker.keys").load()
    url = f"sqlite+aiosqlite:///{tracker.folder / 'tracker.db'}"
    store = await Store.open(url, ledger_key=ring.ledger_key, fingerprint=ring.fingerprint)
    waiting = iter(events)

    async def wait() -> None:
        for event in waiting:
            assert await store.record(event, Day(0))

    start = perf_counter()
    await asyncio.gather(*(wait() for _ in range(WAITERS)))
    taken = perf_counter() - start
    await store.close()
    return len(events) / taken


async def _single(tracker: Installation, events: Sequence[Event]) -> float:
    """Events per second of an insert and a commit each, in the same file with the same durability."""
    async with aiosqlite.connect(tracker.folder / "tracker.db") as database:
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON", "foreign_keys=ON"):
            await database.execute(f"PRAGMA {pragma}")
        start = perf_counter()
        for event in events:
            row = (event.last_day, event.delivery, event.purpose.value[0], event.link, event.hour, event.agent)
            await database.execute(INSERT, row)
            await database.commit()
        return len(events) / (perf_counter() - start)


def spread(ratios: Sequence[float]) -> str:
    """The median of RATIOS, and the lowest and the highest."""
    return f"{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def _until_answers(port: int) -> None:
    end = monotonic() + PATIENCE
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        assert monotonic() < end, "nothing listens"


@contextmanager
def bare() -> Iterator[str]:
    """The yardstick, serving; its URL."""
    with bare_server() as (url, _):
        yield url


@contextmanager
def bare_server() -> Iterator[tuple[str, int]]:
    """The same, with the number of its process."""
    port = free_port()
    server = subprocess.Popen([sys.executable, "-c", BARE, str(port)], stdout=subprocess.PIPE)
    assert server.stdout is not None
    server.stdout.readline()
    try:
        yield f"http://127.0.0.1:{port}", server.pid
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
