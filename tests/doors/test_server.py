"""Nothing that a client sent comes back in an error or reaches a log record."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
from pathlib import Path

import pytest
from aiohttp import web

from tests.doors.wire import Wire, head, serving
from tracker.doors.languages import Languages
from tracker.doors.middlewares import access_log, errors
from tracker.doors.server import QuietRunner, bind, listen, place, plain
from tracker.model import NotFound, TrackerError

CANARY = "anna@example.org"
PEER = "127.0.0.77"
CLOSE = b"Connection: close\r\n\r\n"
MALFORMED = {
    "request line": b"GET /" + CANARY.encode() + b" and more HTTP/1.1\r\n\r\n",
    "method": CANARY.encode() + b" / HTTP/1.1\r\n\r\n",
    "version": b"GET / HTTP/" + CANARY.encode() + b"\r\n\r\n",
    "header name": b"GET / HTTP/1.1\r\n" + CANARY.encode() + b" x\r\n\r\n",
    "header value": b"GET / HTTP/1.1\r\nx: " + CANARY.encode() + b"\x00\r\n\r\n",
    "header size": b"GET / HTTP/1.1\r\nx: " + CANARY.encode() * 2_000 + b"\r\n\r\n",
    "line size": b"GET /" + CANARY.encode() * 2_000 + b" HTTP/1.1\r\n\r\n",
    "content length": b"POST / HTTP/1.1\r\nContent-Length: " + CANARY.encode() + b"\r\n\r\n",
    "not HTTP": b"\x16\x03\x01 " + CANARY.encode() + b"\r\n\r\n",
}


def application() -> web.Application:
    """An application that fails in every way."""

    async def fail(request: web.Request) -> web.Response:
        raise ValueError(f"cannot read {await request.text()} of {CANARY}")

    async def refuse(_: web.Request) -> web.Response:
        raise NotFound(CANARY)

    async def read(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(text="read")

    async def break_off(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"begun")
        raise ValueError(CANARY)

    def answer(_: web.Request, error: TrackerError) -> web.Response:
        return plain(error.status)

    app = web.Application(middlewares=[access_log(), errors(answer)])
    app.router.add_route("*", "/fail/{token}", fail)
    app.router.add_get("/refuse", refuse)
    app.router.add_post("/read", read)
    bare = web.Application()
    bare.router.add_get("/fail", fail)
    bare.router.add_get("/break-off", break_off)
    outer = web.Application()
    outer.add_subapp("/bare/", bare)
    outer.add_subapp("/in/", app)
    return outer


def said(caplog: pytest.LogCaptureFixture) -> str:
    """All that any logger said, with everything that hangs on the records."""
    formatter = logging.Formatter()
    return "\n".join(f"{formatter.format(record)} {record.__dict__}" for record in caplog.records)


@pytest.mark.parametrize("what", MALFORMED)
async def test_a_malformed_request_gets_a_constant_answer_and_no_line(
    what: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving(application()) as wire:
        answer = await wire.send(MALFORMED[what])
    assert answer.status == 400
    assert answer.body == b"400 Bad Request\n"
    assert CANARY.encode() not in answer.raw
    assert CANARY not in said(caplog)
    assert PEER not in said(caplog)


async def test_malformed_chunks_are_answered_without_an_echo(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    request = b"POST /in/read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n" + CLOSE + CANARY.encode() + b"\r\n"
    async with serving(application()) as wire:
        answer = await wire.send(request)
    assert answer.status >= 400
    assert CANARY.encode() not in answer.raw
    assert CANARY not in said(caplog)
    assert PEER not in said(caplog)


async def test_an_expectation_that_we_do_not_know_is_not_quoted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving(application()) as wire:
        answer = await wire.get("/in/refuse", expect=CANARY)
    assert answer.status == 417
    assert CANARY.encode() not in answer.raw
    assert CANARY not in said(caplog)


@pytest.mark.parametrize(("target", "reading"), [("/in/fail/token", b"500 "), ("/bare/fail", b"500 ")])
async def test_of_a_failure_only_its_type_and_place_are_logged(
    target: str, reading: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving(application()) as wire:
        answer = await wire.get(target, x_note=CANARY)
    assert answer.status == 500
    assert answer.body.startswith(reading)
    assert "request failed: ValueError at " in said(caplog)
    assert CANARY not in said(caplog)
    assert CANARY.encode() not in answer.raw
    assert PEER not in said(caplog)


async def test_an_answer_that_broke_off_is_not_followed_by_another(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving(application()) as wire:
        answer = await wire.get("/bare/break-off")
    assert answer.status == 200
    assert answer.raw.count(b"HTTP/1.1") == 1
    assert CANARY not in said(caplog)


async def test_the_answer_does_not_name_the_software_behind_it() -> None:
    async with serving(application()) as wire:
        for target in ("/in/refuse", "/in/fail/x", "/bare/fail", "/nowhere"):
            assert (await wire.get(target)).header("Server") == "tracker"


async def test_the_access_log_holds_template_method_status_and_duration_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """R62: templates, no tokens."""
    caplog.set_level(logging.DEBUG)
    async with serving(application()) as wire:
        await wire.get(f"/in/fail/{CANARY}?a={CANARY}", user_agent=CANARY, referer=CANARY)
    (line,) = (record.getMessage() for record in caplog.records if record.name == "tracker.access")
    assert line.startswith("GET /in/fail/{token} 500 ")
    assert line.endswith(" ms")
    assert CANARY not in said(caplog)
    assert PEER not in said(caplog)


async def test_a_method_of_the_clients_own_making_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving(application()) as wire:
        await wire.send(head("PROPFIND", "/in/refuse"))
    assert [record.getMessage()[:6] for record in caplog.records if record.name == "tracker.access"] == ["OTHER "]


async def test_a_request_in_progress_is_finished_before_the_server_stops() -> None:
    began, may_end = asyncio.Event(), asyncio.Event()

    async def slow(_: web.Request) -> web.Response:
        began.set()
        await may_end.wait()
        return web.Response(text="done")

    app = web.Application()
    app.router.add_get("/", slow)
    runner = await listen(app, bind("127.0.0.1", 0))
    asking = asyncio.create_task(Wire(runner.addresses[0][1]).get("/"))
    await began.wait()
    stopping = asyncio.create_task(runner.cleanup())
    may_end.set()
    assert (await asking).body == b"done"
    await stopping


def greeting() -> web.Application:
    """An application that answers."""

    async def greet(_: web.Request) -> web.Response:
        return web.Response(text="good day")

    app = web.Application()
    app.router.add_get("/", greet)
    return app


class KeepAlive:
    """A connection that a client goes on using."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def get(self, target: str = "/") -> bytes:
        """The head and the body of the answer."""
        self._writer.write(head("GET", target, connection="keep-alive"))
        got = await self._reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", got)
        assert length is not None
        return got + await self._reader.readexactly(int(length[1]))

    async def is_closed(self) -> bool:
        """Wait until the server ends the connection."""
        return await asyncio.wait_for(self._reader.read(), 10) == b""

    def close(self) -> None:
        self._writer.close()


async def connected(runner: QuietRunner) -> KeepAlive:
    return KeepAlive(*await asyncio.open_connection(*runner.addresses[0]))


async def test_who_hands_over_answers_once_more_on_each_connection_and_says_so() -> None:
    runner = await listen(greeting(), bind("127.0.0.1", 0))
    used = await connected(runner)
    assert b"connection: close" not in (await used.get()).lower()
    leaving = asyncio.create_task(runner.hand_over(10))
    await asyncio.sleep(0)
    assert b"connection: close" in (await used.get()).lower()
    assert await used.is_closed()
    await asyncio.wait_for(leaving, 5)  # and not only after ten seconds
    used.close()
    await runner.cleanup()


async def test_who_hands_over_closes_an_idle_connection_only_after_a_while() -> None:
    runner = await listen(greeting(), bind("127.0.0.1", 0))
    idle = await connected(runner)
    await idle.get()
    begun = asyncio.get_running_loop().time()
    await runner.hand_over(0.2)
    assert asyncio.get_running_loop().time() - begun >= 0.2
    await runner.cleanup()
    assert await idle.is_closed()
    idle.close()


async def test_to_clean_up_twice_does_no_harm() -> None:
    runner = await listen(greeting(), bind("127.0.0.1", 0))
    idle = await connected(runner)
    await idle.get()
    await runner.hand_over(0.1)
    await runner.cleanup()
    assert await idle.is_closed()
    await runner.cleanup()
    idle.close()


async def test_who_hands_over_leaves_new_connections_to_others() -> None:
    sockets = bind("127.0.0.1", 0)
    ours = [socket.socket(fileno=os.dup(one.fileno())) for one in sockets]
    old = await listen(greeting(), sockets)
    new = await listen(greeting(), ours)
    address = new.addresses[0]
    await old.hand_over(1)
    for _ in range(20):
        connection = KeepAlive(*await asyncio.open_connection(*address))
        assert b"connection: close" not in (await connection.get()).lower()
        connection.close()
    await old.cleanup()
    await new.cleanup()


async def test_a_port_that_is_taken_is_said_and_leaves_nothing_behind() -> None:
    async with serving(application()) as wire:
        with pytest.raises(OSError, match=r"(?i)address already in use"):
            bind("127.0.0.1", wire.port)


def test_a_place_is_a_type_and_a_line_of_our_own() -> None:
    with pytest.raises(FileNotFoundError) as caught:
        Languages(Path(CANARY))
    assert re.fullmatch(r"FileNotFoundError at tracker/doors/languages\.py:\d+", place(caught.value))
    assert place(KeyError(CANARY)) == "KeyError at a library"
