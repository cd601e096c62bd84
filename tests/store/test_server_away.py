"""A PostgreSQL server that goes away and comes back: nothing is said to be written that is not, and all goes on."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import pytest

from tests.postgres import Cluster
from tests.store.conftest import made
from tests.store.conftest import opened as open_store
from tests.store.world import ANNA, BERT, TODAY, World, copy, opened
from tracker.model import StoreUnavailable

pytestmark = pytest.mark.postgres

PATIENCE = 30
SENDERS_WAIT = 5.0
"""Seconds after which a sender sends what it has."""


@pytest.fixture
def server(cluster: Cluster) -> Iterator[Cluster]:
    """A server that can be stopped without harm to other tests."""
    with Cluster() as own:
        yield own


@pytest.fixture
async def world(server: Cluster) -> AsyncIterator[World]:
    url = server.url(server.make())
    await made(url)
    store = await open_store(url)
    yield World(store, url)
    await store.close()


async def until(works: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    """Try WORKS until it does."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            await works()
        except StoreUnavailable:
            assert time.monotonic() < end
            await asyncio.sleep(0.05)
        else:
            return


@pytest.mark.parametrize("mode", ["immediate", "fast"])
async def test_a_server_that_is_stopped_and_started_again(world: World, server: Cluster, mode: str) -> None:
    store = world.store
    sent = await world.send(ANNA)
    await asyncio.gather(*(store.standing(ANNA, TODAY) for _ in range(8)))  # all connections are open
    await asyncio.to_thread(server.stop, mode)
    for attempt in (
        store.grants_of(ANNA, TODAY), store.register(copy(ANNA), TODAY), store.ping(), store.standing(ANNA, TODAY),
        world.give(BERT), world.withdraw(ANNA),
    ):  # fmt: skip
        with pytest.raises(StoreUnavailable) as refusal:
            await attempt
        assert ANNA.hex() not in str(refusal.value)
    waiting = asyncio.create_task(store.record(opened(sent), TODAY))
    await asyncio.sleep(0)
    await asyncio.to_thread(server.start)
    with pytest.raises(StoreUnavailable):
        await store.register(copy(ANNA), TODAY)
    assert store.on_hold, "perhaps it is an older database: the journal is compared first"
    store.hold()
    store.go_on()
    assert await store.register(copy(ANNA), TODAY)
    assert await store.standing(ANNA, TODAY) != await store.standing(BERT, TODAY)
    assert await waiting, "an event waits until the server is back"
    await world.give(BERT)
    assert world.count("events") == 1


async def test_connections_that_the_server_cuts_one_by_one_are_not_noticed(world: World, server: Cluster) -> None:
    sent = await world.send(ANNA)
    for _ in range(5):
        await asyncio.to_thread(
            server.do, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tracker'"
        )
        assert await world.store.grants_of(ANNA, TODAY)
        assert await world.store.register(copy(ANNA), TODAY)
        assert await world.store.record(opened(sent), TODAY)


async def test_a_server_that_starts_later_than_we_do_is_unavailable_and_not_missing(server: Cluster) -> None:
    url = server.url(server.make())
    await made(url)
    await asyncio.to_thread(server.stop)
    with pytest.raises(StoreUnavailable):
        await open_store(url)


class Wire:
    """A cable to the server that can be cut so that neither end notices."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._whole = threading.Event()
        self._whole.set()
        self._sockets: list[socket.socket] = [self._listening]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """From now on nothing comes through."""
        self._whole.clear()

    def mend(self) -> None:
        """New connections come through; those from before stay dead, as after a failover."""
        dead, self._sockets = self._sockets[1:], self._sockets[:1]
        self._dead = dead
        self._whole = threading.Event()
        self._whole.set()

    def close(self) -> None:
        for each in (*self._sockets, *getattr(self, "_dead", ())):
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                ours, _ = self._listening.accept()
            except OSError:
                return
            whole = self._whole
            theirs = socket.create_connection(("127.0.0.1", self._target))
            self._sockets += [ours, theirs]
            for source, sink in ((ours, theirs), (theirs, ours)):
                threading.Thread(target=self._carry, args=(source, sink, whole), daemon=True).start()

    @staticmethod
    def _carry(source: socket.socket, sink: socket.socket, whole: threading.Event) -> None:
        try:
            while octets := source.recv(65_536):
                whole.wait()
                sink.sendall(octets)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            return


@pytest.fixture
def wire(server: Cluster) -> Iterator[Wire]:
    one = Wire(server.port)
    yield one
    one.close()


async def test_a_network_that_swallows_everything_costs_no_more_than_senders_wait(world: World, wire: Wire) -> None:
    """A pool full of dead connections is given up with the first of them that does not answer."""
    await world.send(ANNA)
    far = await open_store(world.url.replace(f":{_port(world.url)}/", f":{wire.port}/"))
    await asyncio.gather(*(far.standing(ANNA, TODAY) for _ in range(8)))
    wire.cut()
    began = time.monotonic()
    for attempt in (far.grants_of(ANNA, TODAY), far.register(copy(ANNA), TODAY)):
        with pytest.raises(StoreUnavailable):
            await attempt
        assert time.monotonic() - began < SENDERS_WAIT
        began = time.monotonic()
    wire.mend()
    began = time.monotonic()
    await until(lambda: far.grants_of(ANNA, TODAY))
    await until(lambda: far.register(copy(ANNA), TODAY))
    assert time.monotonic() - began < SENDERS_WAIT
    await far.close()


def _port(url: str) -> str:
    return url.rpartition("/")[0].rpartition(":")[2]
