"""Hits at a steady pace, and how long the slowest of them take."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import perf_counter
from urllib.parse import urlsplit

from tests.bench.driver import FIELDS, answer


def times(urls: Sequence[str], pace: float, lanes: int = 1) -> list[float]:
    """The seconds that each of URLS took to be answered, asked for one in PACE seconds over so many connections.

    A new connection for each would measure that; one that waits for a slow answer would hide it: so several LANES.
    """
    return asyncio.run(_times(urls, pace, lanes))


def slowest(times: Sequence[float]) -> float:
    """What 99 of 100 TIMES are at most."""
    return sorted(times)[len(times) * 99 // 100]


async def _times(urls: Sequence[str], pace: float, lanes: int) -> list[float]:
    begun = perf_counter()

    async def lane(number: int) -> list[float]:
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(urls[0]).port)
        took = []
        for at in range(number, len(urls), lanes):
            await asyncio.sleep(begun + at * pace - perf_counter())
            start = perf_counter()
            writer.write(_get(urls[at]))
            await answer(reader)
            took.append(perf_counter() - start)
        writer.close()
        return took

    return [each for took in await asyncio.gather(*map(lane, range(lanes))) for each in took]


def _get(url: str) -> bytes:
    lines = (f"GET {urlsplit(url).path} HTTP/1.1", *(f"{name}: {value}" for name, value in FIELDS.items()))
    return "\r\n".join((*lines, "", "")).encode()
