"""Figures: the first page of a long list of messages, with what stands below it, against that of a short one."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, closing
from pathlib import Path
from time import perf_counter
from typing import Any

import asyncpg

from tests.bench.verdict import unmeasured
from tests.postgres import Cluster, programs
from tests.store.world import FINGERPRINT, GRANTED, JONAS, LEDGER_KEY, NOW, RETENTION, TODAY, World, on
from tracker.core.calendar import hour_of, later
from tracker.doors.dashboard.feed_page import LATELY, NEWEST
from tracker.model import MessageQuery, Order
from tracker.store.store import Store

SHORT, LONG = 1_000, 100_000
"""Messages of one rep."""
JONAS_ALONE = frozenset({JONAS})
EACH = 3
"""Every so many-th message was opened."""
LOOKS = 25
WAYS = {Order.ENGAGED: "by engagement", Order.SENT: "by sending"}
Tables = dict[tuple[str, tuple[str, ...]], Iterator[tuple[Any, ...]]]


def table() -> list[tuple[str, ...]]:
    """The rows: what, ratio, yardstick, aim."""
    with tempfile.TemporaryDirectory() as folder:
        urls = [f"sqlite+aiosqlite:///{folder}/{count}.db" for count in (SHORT, LONG)]
        return [*_rows("SQLite", _ratios(urls)), *on_postgres()]


def on_postgres() -> list[tuple[str, ...]]:
    """The rows of a server, or where there is none, that they are not measured."""
    if programs() is None:
        return _rows("PostgreSQL", dict.fromkeys(WAYS, unmeasured("no PostgreSQL")))
    with Cluster(autovacuum="on") as cluster:
        return _rows("PostgreSQL", _ratios([cluster.url(cluster.make()) for _ in (SHORT, LONG)]))


def _rows(engine: str, measured: Mapping[Order, str]) -> list[tuple[str, ...]]:
    what = "first page of 100,000 messages"
    return [(f"{what}, {way}, {engine}", measured[order], "that of 1,000", "<= 1.5") for order, way in WAYS.items()]


def _ratios(urls: Sequence[str]) -> dict[Order, str]:
    """The time in a database of many messages by that in one of few, at such URLS."""
    short, long = asyncio.run(_times(urls))
    return {order: f"{long[order] / short[order]:.2f}" for order in WAYS}


async def _times(urls: Sequence[str]) -> list[dict[Order, float]]:
    """Seconds for the first page in new databases at URLS, of few messages and of many; the best of looks in turn."""
    async with AsyncExitStack() as stack:
        stores = [await _made(stack, url, count) for url, count in zip(urls, (SHORT, LONG), strict=True)]
        best = [dict.fromkeys(Order, float("inf")) for _ in stores]
        for _ in range(LOOKS):
            for store, times in zip(stores, best, strict=True):
                for order in Order:
                    began = perf_counter()
                    page, more = await store.messages(MessageQuery(JONAS_ALONE, order), TODAY, hour_of(NOW))
                    await store.reasons(JONAS_ALONE, later(TODAY, 1 - LATELY), TODAY, NEWEST)
                    times[order] = min(times[order], perf_counter() - began)
                    assert len(page) == 50
                    assert more is not None
        return best


async def _made(stack: AsyncExitStack, url: str, count: int) -> Store:
    """A store at URL with COUNT messages in it."""
    await Store.create(url, fingerprint=FINGERPRINT, notices=[])
    store = await Store.open(url, ledger_key=LEDGER_KEY, fingerprint=FINGERPRINT)
    stack.push_async_callback(store.close)
    world = World(store, url)
    await world.give(days=GRANTED)
    await store.make_room(TODAY, RETENTION)
    ((recipient,),) = world.rows("SELECT id FROM recipients")
    await _fill(url, _messages(count, recipient))
    return store


async def _fill(url: str, tables: Tables) -> None:
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(Path(url.partition(":///")[2]))) as plain:
            for (name, columns), rows in tables.items():
                marks = ", ".join("?" * len(columns))
                plain.executemany(f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({marks})", rows)
            plain.commit()
        return
    server = await asyncpg.connect(url.replace("+asyncpg", ""))
    for (name, columns), rows in tables.items():
        await server.copy_records_to_table(name, records=list(rows), columns=columns)
    await server.execute("ANALYZE")  # as autovacuum does a minute after so much was written
    await server.close()


def _messages(count: int, recipient: int) -> Tables:
    """COUNT messages of one copy each, sent over the days of a retention, with a link; some of them opened.

    Another copy of each left untouched, since a page says of them why.
    """
    last, now = on(RETENTION), hour_of(NOW)

    def key(number: int) -> bytes:
        return number.to_bytes(16, "big")

    def sent(number: int) -> int:
        return now - number * 24 * (RETENTION - 1) // count

    every, opened = range(count), range(0, count, EACH)
    return {
        ("messages", ("id", "owner", "label", "first_hour", "last_hour", "last_day")): (
            (key(n), JONAS, f"Offer {n}", sent(n), sent(n), last) for n in every
        ),
        ("links", ("message", "number", "host", "path")): ((key(n), 1, "shop.example.com", "/") for n in every),
        ("deliveries", ("last_day", "id", "recipient", "message", "sent_hour")): (
            (last, key(n), recipient, key(n), sent(n)) for n in every
        ),
        ("tracked", ("last_day", "delivery", "purpose", "recipient", "closed")): (
            (last, key(n), "o", recipient, 0) for n in every
        ),
        ("message_untouched", ("message", "day", "reason", "worker", "count")): (
            (key(n), sent(n) // 24, "no-grant", 1, 1) for n in every
        ),
        ("events", ("last_day", "delivery", "purpose", "link", "hour", "agent")): (
            (last, key(n), "o", 0, sent(n) + 1, 3) for n in opened
        ),
    }
