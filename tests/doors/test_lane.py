"""The short way of hits answers as the routes do, in order, and leaves connections as they should be."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_network

import pytest
from aiohttp.http import RawRequestMessage

from tests.doors.public_fakes import DELIVERY, Public, public_door
from tests.doors.test_public_pixel import PATHS
from tests.doors.wire import Answer, head
from tracker.doors.hits import PIXEL
from tracker.doors.lane import HitLane
from tracker.doors.server import LIMITS, QuietHandler, Reply

GIF = f"/o/{DELIVERY}.gif"
LINK = f"/c/{DELIVERY}/part.mac/shop.example.com/"
ALTERED = f"/c/{DELIVERY}/part.mad/shop.example.com/"
ALL = [path for path in (*PATHS, LINK, LINK[:-1], ALTERED, "/c/x/y/z/", "/c/%c3%a4/y/z") if "?" not in path]


@asynccontextmanager
async def connected(door: Public) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.wire.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        await writer.wait_closed()


async def answer(reader: asyncio.StreamReader) -> bytes:
    """The next answer on a connection that stays open, with its body."""
    octets = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", octets.lower())
    assert length
    return octets + await reader.readexactly(int(length[1]))


def ask(path: str, **fields: str) -> bytes:
    return head("GET", path, **{"connection": "keep-alive", **fields})


def plain(answer: Answer) -> tuple[int, list[tuple[str, str]], bytes]:
    """An answer without its date, and whatever the order of its fields."""
    status, headers, body = answer.without_date
    return status, sorted(headers), body


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("path", ALL)
async def test_both_ways_give_the_same_answer_and_count_it_alike(path: str, slow: bool) -> None:
    async with public_door() as door:
        door.hits.slow = slow
        short = await door.wire.get(path, accept_language="fr")
        long = await door.wire.get(path + "?", accept_language="fr")  # a query is for the routes
    assert plain(short) == plain(long)
    assert door.answered[0] == door.answered[1]
    assert door.hits.opens[:1] == door.hits.opens[1:]
    assert door.hits.clicks[:1] == door.hits.clicks[1:]


@pytest.mark.parametrize("slow", [False, True])
async def test_a_connection_goes_on_after_a_hit(slow: bool) -> None:
    async with public_door() as door, connected(door) as (reader, writer):
        door.hits.slow = slow
        for path in (GIF, "/robots.txt", LINK, GIF, ALTERED, "/robots.txt", GIF):
            writer.write(ask(path))
            got = await answer(reader)
            assert b"connection: close" not in got.lower()
            assert (PIXEL in got, b"Disallow" in got, b"302" in got, b" 404 " in got) == (
                path == GIF,
                path == "/robots.txt",
                path == LINK,
                path == ALTERED,
            )
    assert len(door.answered) == 7


@pytest.mark.parametrize("slow", [False, True])
async def test_what_comes_while_a_hit_waits_is_answered_after_it(slow: bool) -> None:
    """Pipelining, in one piece and in two."""
    async with public_door() as door, connected(door) as (reader, writer):
        door.hits.slow = slow
        writer.write(ask(GIF) + ask(LINK) + ask("/robots.txt"))
        for sign in (PIXEL, b"302", b"Disallow"):
            assert sign in await answer(reader)
        writer.write(ask(GIF))
        await asyncio.sleep(0)
        writer.write(ask("/robots.txt") + ask(LINK))
        for sign in (PIXEL, b"Disallow", b"302"):
            assert sign in await answer(reader)


async def test_a_request_in_pieces_is_the_same_request() -> None:
    async with public_door() as door, connected(door) as (reader, writer):
        for octet in ask(GIF):
            writer.write(bytes((octet,)))
            await writer.drain()
            await asyncio.sleep(0)
        assert PIXEL in await answer(reader)
    assert len(door.hits.opens) == 1


async def test_a_body_with_a_hit_is_read_and_not_taken_for_a_request() -> None:
    async with public_door() as door, connected(door) as (reader, writer):
        smuggled = head("GET", "/o/smuggled.gif")
        writer.write(ask(GIF, content_length=str(len(smuggled))) + smuggled)
        assert PIXEL in await answer(reader)
        writer.write(ask("/robots.txt"))
        assert b"Disallow" in await answer(reader)
    assert [token for token, _ in door.hits.opens] == [DELIVERY]


async def test_http_1_0_ends_the_connection() -> None:
    async with public_door() as door:
        got = await door.wire.send(f"GET {GIF} HTTP/1.0\r\nHost: x\r\n\r\n".encode())
    assert (got.status, got.body) == (200, PIXEL)


async def test_who_leaves_before_the_answer_leaves_no_trace(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with public_door() as door:
        door.hits.slow = True
        async with connected(door) as (_, writer):
            writer.write(ask(GIF))
            await writer.drain()
            async with asyncio.timeout(5):
                while not door.hits.opens:
                    await asyncio.sleep(0)
        async with asyncio.timeout(5):
            while not door.answered:
                await asyncio.sleep(0)
        assert PIXEL in (await door.wire.get(GIF)).body
    assert not [record for record in caplog.records if record.name != "asyncio"]


async def test_a_hit_that_waits_while_the_listener_stops_is_answered() -> None:
    async with public_door() as door:
        door.hits.slow = True
        reader, writer = await asyncio.open_connection("127.0.0.1", door.wire.port)
        writer.write(ask(GIF))
        async with asyncio.timeout(5):
            while not door.hits.opens:
                await asyncio.sleep(0)
    assert PIXEL in await reader.read()
    writer.close()
    await writer.wait_closed()


async def test_a_fault_of_ours_is_told_and_not_quoted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with public_door() as door:
        door.hits.broken = True
        short, long = await door.wire.get(LINK), await door.wire.get(LINK + "?")
    assert short.status == long.status == 500
    assert short.body == long.body
    assert "request failed: RuntimeError at " in caplog.text
    assert "anna@" not in caplog.text


@pytest.mark.parametrize("slow", [False, True])
async def test_a_location_holds_no_line_break(slow: bool) -> None:
    async with public_door() as door:
        door.hits.slow = slow
        door.hits.target = "https://shop.example.com/\r\nSet-Cookie: x"
        got = await door.wire.get(LINK)
    assert got.status == 500
    assert got.header("Set-Cookie") is None


# --- requests whose fields were parsed before ----------------------------------------------------


def answers(octets: bytes) -> bytes:
    """Without dates, and whatever the order of fields: the routes have another than the lane."""

    def fields(found: re.Match[bytes]) -> bytes:
        return b"\r\n".join(sorted(line for line in found[0].split(b"\r\n") if not line.startswith(b"Date: ")))

    return re.sub(rb"HTTP/1\.[01] (?s:.*?)\r\n\r\n", fields, octets)


async def told(
    pieces: Sequence[bytes], *, slow: bool, trusted: bool = True
) -> tuple[bytes, list[object], list[object]]:
    """What PIECES are answered on a connection that then ends, with what is counted of them, and where they lead.

    A hit before them, on another connection, has told the lane their fields.
    """
    async with public_door(trusted=[ip_network("127.0.0.0/8")] if trusted else []) as door:
        async with connected(door) as (reader, writer):
            writer.write(ask(GIF))
            await answer(reader)
        door.hits.slow = slow
        reader, writer = await asyncio.open_connection("127.0.0.1", door.wire.port)
        received = asyncio.create_task(reader.read())
        for piece in (*pieces, ask("/robots.txt", connection="close")):
            if received.done():  # what came before was the end of it
                break
            writer.write(piece)
            for _ in range(20):  # the server is in this process: time to look, none to wait
                await asyncio.sleep(0)
        async with asyncio.timeout(5):
            raw = await received
        writer.close()
        await writer.wait_closed()
        hits = [hit._replace(number=None) for _, hit in door.hits.opens]
        hits += [hit._replace(number=None) for *_, hit in door.hits.clicks]
        return answers(raw), [*door.answered], [*hits]


ODD = {
    "the same again": [ask(GIF), ask(GIF), ask(LINK), ask(ALTERED), ask(GIF)],
    "a page in between": [ask(GIF), ask("/robots.txt"), ask(LINK)],
    "two at once": [ask(GIF) + ask(LINK), ask(GIF)],
    "one and a half": [ask(GIF) + ask(LINK)[:30], ask(LINK)[30:], ask(GIF)],
    "half of a request line while one waits": [ask(GIF), b"GET /notice?", ask(GIF)],
    "half of the fields while one waits": [ask(GIF), b"GET /robots.txt HTTP/1.1\r\nx: ", ask(GIF), ask(LINK)],
    "in pieces": [ask(GIF)[:20], ask(GIF)[20:], ask(LINK)],
    "a body": [ask(GIF, content_length="3") + b"abc", ask(GIF)],
    "a body that looks like a hit": [ask(GIF, content_length=str(len(ask(LINK)))), ask(LINK), ask(GIF)],
    "chunks": [ask(GIF, transfer_encoding="chunked") + b"0\r\n\r\n", ask(GIF)],
    "a folded field": [ask(GIF)[:-2] + b" folded\r\n\r\n", ask(GIF)],
    "a bare line feed": [ask(GIF).replace(b"\r\n\r\n", b"\n\n"), ask(GIF)],
    "line ends before": [b"\r\n\r\n" + ask(GIF), ask(GIF)],
    "line ends after": [ask(GIF) + b"\r\n", ask(GIF)],
    "another method": [ask(GIF).replace(b"GET", b"HEAD"), ask(GIF)],
    "HTTP/1.0": [ask(GIF).replace(b"HTTP/1.1", b"HTTP/1.0")],
    "HTTP/1.0 before": [ask(GIF), ask(GIF).replace(b"HTTP/1.1", b"HTTP/1.0")],
    "the last one": [ask(GIF, connection="close")],
    "forwarded": [ask(GIF, X_Forwarded_For="198.51.100.7"), ask(GIF, X_Forwarded_For="203.0.113.9"), ask(LINK)],
    "forwarded by two": [ask(GIF, X_Forwarded_For="198.51.100.7, 127.0.0.2"), ask(GIF, X_Forwarded_For="127.0.0.3")],
    "forwarded twice": 2 * [ask(GIF, X_Forwarded_For="198.51.100.7", x_forwarded_for="203.0.113.9")],
    "forwarded for nobody": 2 * [ask(GIF, X_Forwarded_For="unknown")],
    "an upgrade": [ask(GIF, upgrade="websocket"), ask(GIF)],
    "what is no request": [ask(GIF), b"\x16\x03\x01" + ask(GIF)],
}


@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("name", ODD)
async def test_a_request_that_need_not_be_parsed_is_answered_as_one_that_is(
    name: str, slow: bool, trusted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    unparsed = await told(ODD[name], slow=slow, trusted=trusted)
    monkeypatch.setattr(HitLane, "take_again", lambda *_: False)
    assert unparsed == await told(ODD[name], slow=slow, trusted=trusted)


async def test_a_request_whose_fields_came_before_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[object] = []
    take = HitLane.take

    def counted(lane: HitLane, request: RawRequestMessage, octets: bytes, peer: str, reply: Reply) -> bool:
        parsed.append(request)
        return take(lane, request, octets, peer, reply)

    monkeypatch.setattr(HitLane, "take", counted)
    async with public_door() as door:
        for _ in range(2):
            async with connected(door) as (reader, writer):
                for path in (GIF, LINK, "/robots.txt", GIF):
                    writer.write(ask(path))
                    await answer(reader)
    assert (len(door.hits.opens), len(door.hits.clicks)) == (4, 2)
    assert len(parsed) == 1 + 2, "the first hit, and what is none"


async def test_a_connection_whose_time_was_over_while_an_answer_waited_ends_when_its_next_time_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(LIMITS, "keepalive_timeout", 0.1)
    held: list[Callable[[], None]] = []
    over = asyncio.Event()
    look = QuietHandler._process_keepalive

    def look_and_tell(handler: QuietHandler) -> None:
        look(handler)
        if held:
            over.set()

    monkeypatch.setattr(QuietHandler, "_process_keepalive", look_and_tell)
    async with public_door() as door, connected(door) as (reader, writer):
        monkeypatch.setattr(door.hits, "_soon", held.append)
        writer.write(ask(GIF))
        async with asyncio.timeout(10):
            await over.wait()
            (then,) = held
            then()
            assert PIXEL in await reader.read()


async def test_a_fault_in_the_short_way_ends_the_connection_and_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> bool:
        raise RuntimeError

    async with asyncio.timeout(5), public_door() as door:
        for way in ("take", "take_again"):
            async with connected(door) as (reader, writer):
                if way == "take_again":
                    writer.write(ask(GIF))
                    await answer(reader)
                with monkeypatch.context() as broken:
                    broken.setattr(HitLane, way, fail)
                    writer.write(ask(GIF))
                    assert await reader.read() == b""
            while any("RequestHandler.start" in repr(task) for task in asyncio.all_tasks()):
                await asyncio.sleep(0)
