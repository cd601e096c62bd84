"""Every connection has somebody who ends it, whatever its caller sends, and however little of its answer it takes."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
import uvloop
from aiohttp import web

from tests.doors.public_fakes import DELIVERY, public_door
from tests.doors.test_server import CANARY, PEER, said
from tests.doors.wire import Wire, head
from tracker.doors import server
from tracker.doors.hits import PIXEL
from tracker.doors.server import LIMITS, QuietHandler, QuietRunner, bind, listen, plain

UNREADABLE = {
    "absolute": head("GET", "http://xn--a/"),
    "absolute, to keep": head("GET", "http://xn--a/", connection="keep-alive"),
    "absolute, a pixel": head("GET", f"http://xn--a/o/{DELIVERY}.gif"),
    "authority": head("CONNECT", "xn--a:1"),
    "authority, with more": head("CONNECT", "xn--a:1") + b"GET / HTTP/1.1\r\n\r\n",
    "absolute, with a body": head("POST", "http://xn--a/", content_length="9") + b"purpose=x",
    "what the parser cannot read": head("OPTIONS", "http://[v1.a]@/-"),
}
LARGE = 8 * 2**20
"""Octets: more than the kernel takes of them."""
SMALL = 40_000
"""Octets: few enough to be written without a pause, and more than a kernel with little room takes."""
LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [asyncio.new_event_loop, uvloop.new_event_loop]


@asynccontextmanager
async def running(**how: Any) -> AsyncIterator[tuple[QuietRunner, tuple[str, int]]]:
    """A listener that has an answer of each size, and its address.

    HOW: `more` handlers by path; `little_room` in its kernel for what is sent; the rest is for `listen`.
    """

    async def sized(request: web.Request) -> web.Response:
        return web.Response(body=b"x" * int(request.match_info["size"]))

    app = web.Application()
    app.router.add_get("/{size:[0-9]+}", sized)
    for path, handler in how.pop("more", {}).items():
        app.router.add_get(path, handler)
    (listening,) = bind("127.0.0.1", 0)
    if how.pop("little_room", False):
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
    runner = await listen(app, (listening,), **how)
    try:
        yield runner, runner.addresses[0]
    finally:
        await runner.cleanup()


@contextmanager
def caller(address: tuple[str, int]) -> Iterator[socket.socket]:
    """A connection whose kernel holds little of what was not read."""
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        one.connect(address)
        one.setblocking(False)
        yield one


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not is_so():
            await asyncio.sleep(0)


def connections(runner: QuietRunner) -> list[QuietHandler]:
    assert runner.server is not None
    return [one for one in runner.server.connections if isinstance(one, QuietHandler)]


def run(work: Coroutine[Any, Any, None], factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """Do WORK on the loop of a test, or on that of the program."""
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(work)


# --- what nobody can read ------------------------------------------------------------------------


@pytest.mark.parametrize("what", UNREADABLE)
async def test_a_target_that_nobody_can_read_is_malformed_and_ends_the_connection(
    what: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    statuses: list[int] = []

    def malformed(status: int) -> web.Response:
        statuses.append(status)
        return plain(status)

    async with running(malformed=malformed) as (runner, address), asyncio.timeout(10):
        answer = await Wire(address[1]).send(UNREADABLE[what])
        assert (answer.status, answer.body, statuses) == (400, b"400 Bad Request\n", [400])
        assert answer.raw.count(b"HTTP/1.") == 1
        await until(lambda: not connections(runner))
    assert not [record for record in caplog.records if record.name != "asyncio"]


@pytest.mark.parametrize("target", ["http://xn--a/", "http://[v1.a]@/-"])
async def test_a_target_that_nobody_can_read_is_malformed_after_a_hit_too(target: str) -> None:
    async with public_door() as door, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", door.wire.port)
        writer.write(head("GET", f"/o/{DELIVERY}.gif", connection="keep-alive"))
        assert b" 200 OK\r\n" in await reader.readuntil(PIXEL)
        writer.write(head("GET", target, connection="keep-alive"))
        assert b" 400 Bad Request\r\n" in await reader.read()
        writer.close()
        await writer.wait_closed()


async def test_a_connection_whose_task_failed_is_closed_and_its_failure_told(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)

    def fail(*_: object) -> None:
        raise ValueError(CANARY)

    monkeypatch.setattr(server, "Unreadable", fail)
    async with running() as (runner, address), asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(UNREADABLE["absolute"])
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        await until(lambda: not connections(runner))
    assert "connection failed: ValueError at tracker/doors/server.py:" in caplog.text
    assert CANARY not in said(caplog)
    assert PEER not in said(caplog)


# --- who does not read ---------------------------------------------------------------------------


@pytest.mark.parametrize("factory", LOOPS)
@pytest.mark.parametrize(
    ("size", "connection"),
    [(LARGE, "keep-alive"), (SMALL, "close"), (SMALL, "keep-alive")],
    ids=["while it is written", "when it was the last", "when nothing more is asked"],
)
def test_who_takes_nothing_of_an_answer_is_cut_off(
    size: int,
    connection: str,
    factory: Callable[[], asyncio.AbstractEventLoop],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A small answer is never waited for by who writes it, but a connection that is closed waits until it is gone."""
    monkeypatch.setitem(LIMITS, "keepalive_timeout", 0.1)

    async def hold() -> None:
        async with running(untaken=0.2, little_room=True) as (runner, address):
            with caller(address) as one:
                await asyncio.get_running_loop().sock_sendall(one, head("GET", f"/{size}", connection=connection))
                await until(lambda: connections(runner))
                (held,) = connections(runner)
                await until(lambda: not connections(runner))
                assert held.transport is None

    caplog.set_level(logging.DEBUG)
    run(hold(), factory)
    assert not told(caplog)


@pytest.mark.parametrize("factory", LOOPS)
def test_who_takes_an_answer_slowly_gets_all_of_it(factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """For several times as long as nothing may be taken, at a pace at which the kernel asks for no more meanwhile."""
    untaken, pauses = 0.5, 30

    async def take() -> None:
        async with running(untaken=untaken) as (_, address):
            with caller(address) as one:
                loop = asyncio.get_running_loop()
                await loop.sock_sendall(one, head("GET", f"/{LARGE}"))
                begun, taken = loop.time(), 0
                while octets := await loop.sock_recv(one, 2**16):
                    taken += len(octets)
                    if pauses > (loop.time() - begun) / 0.05:
                        await asyncio.sleep(0.05)  # what "slow" means
                assert taken > LARGE
                assert loop.time() - begun > 2 * untaken

    run(take(), factory)


@pytest.mark.parametrize("factory", LOOPS)
def test_who_takes_a_stream_as_fast_as_it_is_written_gets_all_of_it(
    factory: Callable[[], asyncio.AbstractEventLoop], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though as much waits at each look as did at the one before."""
    monkeypatch.setattr(server, "_left", lambda _: 2**16)
    untaken, chunk, pauses = 0.2, 2**17, 25

    async def stream(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        for _ in range(pauses):
            await answer.write(b"x" * chunk)
        return answer

    async def take() -> None:
        async with running(untaken=untaken, little_room=True, more={"/stream": stream}) as (_, address):
            reader, writer = await asyncio.open_connection(*address, limit=2**14)
            writer.write(head("GET", "/stream"))
            taken = 0
            for _ in range(pauses):
                taken += len(await reader.readexactly(chunk))
                await asyncio.sleep(0.02)  # what "slow" means
            assert taken + len(await reader.read()) > pauses * chunk
            writer.close()
            await writer.wait_closed()

    run(take(), factory)


async def test_who_takes_nothing_makes_room_for_a_newcomer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sooner than it would be cut off where there is room."""
    monkeypatch.setattr(server, "LOOKS", 10_000)
    async with running(untaken=100, most=2) as (runner, address):
        with caller(address) as first, caller(address) as second:
            for one in (first, second):
                await asyncio.get_running_loop().sock_sendall(one, head("GET", f"/{LARGE}"))
            await until(lambda: len(connections(runner)) == 2 and all(one.untaken_looks for one in connections(runner)))
            held = connections(runner)
            assert (await Wire(address[1]).get("/3")).body == b"xxx"
            assert sum(one.transport is not None for one in held) == 1, "and no more than that one place needs"


# --- who comes when all is busy ------------------------------------------------------------------


async def test_of_those_turned_away_the_log_tells_once_a_minute(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    faults: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    began, may_end = asyncio.Event(), asyncio.Event()

    async def slow(_: web.Request) -> web.Response:
        began.set()
        await may_end.wait()
        return web.Response(text="done")

    async def knock() -> None:
        reader, writer = await asyncio.open_connection(*address)
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()

    async with running(most=1, more={"/slow": slow}) as (runner, address), asyncio.timeout(10):
        asking = asyncio.create_task(Wire(address[1]).get("/slow"))
        await began.wait()
        for _ in range(20):
            await knock()
        assert told(caplog) == ["all 1 connections are busy; callers turned away: 1"]
        monkeypatch.setattr(server, "TOLD_AGAIN", 0.0)
        await knock()
        assert told(caplog)[1:] == ["all 1 connections are busy; callers turned away: 20"]
        may_end.set()
        assert (await asking).body == b"done"
        await until(lambda: not connections(runner))
    assert not faults


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name != "asyncio"]
