"""The server is killed under load, again and again: what it acknowledged is stored, and nothing that nobody sent.

Where the database is a server, too, all of its processes are killed in the same moment.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from time import monotonic
from urllib.parse import urlsplit

import pytest

from tests.e2e.crew import alive, until
from tests.harness import Installation
from tests.postgres import Cluster, Plain
from tests.traffic import Copy, send, stored
from tracker.flows.hit import LONGEST_WAIT

CLIENTS = 24
Key = tuple[bytes, int]


class Load:
    """Clients that ask for the pixel and the link of one copy after another, each once."""

    def __init__(self, port: int, copies: Iterator[Copy]) -> None:
        self._port = port
        self._copies = copies
        self.sent: set[Key] = set()
        self.acknowledged: set[Key] = set()
        self.answered = 0

    async def until_killed(self, tracker: Installation, after: int, database: Cluster | None) -> None:
        """Send hits without pause; kill DATABASE, if it is a server, and TRACKER when so many were answered."""
        clients = [asyncio.ensure_future(self._client()) for _ in range(CLIENTS)]
        while self.answered < after:
            assert not all(client.done() for client in clients), "nobody is answered"
            await asyncio.sleep(0.001)
        workers = tracker.processes[1:]
        if database is not None:
            database.kill()
        tracker.stop(signal.SIGKILL)  # first: it would replace them
        for worker in workers:
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
        until(lambda: not any(map(alive, workers)), "a worker goes on")
        await asyncio.gather(*clients)

    async def _client(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        with suppress(OSError, asyncio.IncompleteReadError):  # the server is gone
            for copy in self._copies:
                await self._ask(reader, writer, copy.pixel, (copy.delivery, 0))
                await self._ask(reader, writer, copy.link, (copy.delivery, copy.number))
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, key: Key) -> None:
        self.sent.add(key)
        begun = monotonic()
        writer.write(f"GET {path} HTTP/1.1\r\nHost: t\r\nUser-Agent: Mozilla/5.0 Firefox\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        # An answer that took longest did not wait for the commit, and so promises nothing.
        if monotonic() - begun < LONGEST_WAIT:
            self.acknowledged.add(key)
        self.answered += 1
        await reader.readexactly(int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]))


@pytest.mark.parametrize(("workers", "kills"), [(None, 20), (2, 5)], ids=["one process", "two workers"])
def test_what_was_acknowledged_survives_kills_under_load(fresh: Installation, workers: int | None, kills: int) -> None:
    copies = prepared(fresh, 20_000)
    killed_again_and_again(fresh, copies, workers, kills, lambda: stored(fresh))


@pytest.mark.postgres
def test_what_was_acknowledged_survives_kills_under_load_on_a_server(fresh: Installation, cluster: Cluster) -> None:
    copies = prepared(fresh, 5_000)
    url = cluster.url(cluster.make())
    fresh.run("migrate-store", url)
    fresh.environment["TRACKER_DATABASE_URL"] = url

    def on_the_server() -> set[Key]:
        with Plain(url) as plain:
            return {(bytes(delivery), link) for delivery, link in plain.execute("SELECT delivery, link FROM events")}

    try:
        killed_again_and_again(fresh, copies, 2, 5, on_the_server, cluster)
    finally:
        fresh.kill()
        if not cluster.is_up:
            cluster.start()
        cluster.drop(url.rpartition("/")[2])


def prepared(tracker: Installation, count: int) -> Iterator[Copy]:
    """COUNT copies, of which the stopped TRACKER's file knows."""
    tracker.start()
    assert tracker.grant("somebody@example.org").status == 201
    assert tracker.stop() == 0
    return iter(send(tracker, count))


def killed_again_and_again(
    tracker: Installation,
    copies: Iterator[Copy],
    workers: int | None,
    kills: int,
    kept_by: Callable[[], set[Key]],
    database: Cluster | None = None,
) -> None:
    """Acknowledged is part of stored, and that of sent, after each of KILLS; KEPT_BY the store then.

    DATABASE: the server that is killed, too, and started again.
    """
    chance = random.Random(20)
    load = Load(urlsplit(tracker.public_url).port or 0, copies)
    for kill in range(1, kills + 1):
        tracker.start(workers)
        asyncio.run(load.until_killed(tracker, load.answered + chance.randrange(50, 500), database))
        if database is not None:
            database.start()
        kept = kept_by()
        assert load.acknowledged <= kept, f"kill {kill}: {len(load.acknowledged - kept)} acknowledged are not stored"
        assert kept <= load.sent, f"kill {kill}: {len(kept - load.sent)} stored were never sent"
    assert len(load.acknowledged) > 10 * kills
    assert next(copies, None), "the load ran out"
