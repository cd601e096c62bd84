"""The short way of hits answers as the routes do, in order, and leaves connections as they should be."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.doors.public_fakes import DELIVERY, Public, public_door
from tests.doors.test_public_pixel import PATHS
from tests.doors.wire import head
from tracker.doors.hits import PIXEL

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


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("path", ALL)
async def test_both_ways_give_the_same_answer_and_count_it_alike(path: str, slow: bool) -> None:
    async with public_door() as door:
        door.hits.slow = slow
        short = await door.wire.get(path, accept_language="fr")
        long = await door.wire.get(path + "?", accept_language="fr")  # a query is for the routes
    assert (short.status, sorted(short.headers[:-1]), short.body) == (long.status, sorted(long.headers[:-1]), long.body)
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
