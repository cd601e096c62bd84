"""Figures: the first page of a long list of messages against that of a short one."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from time import perf_counter
from typing import Any

from tests.store.world import FINGERPRINT, GRANTED, JONAS, LEDGER_KEY, NOW, RETENTION, TODAY, World, on
from tracker.core.calendar import hour_of
from tracker.model import MessageQuery, Order
from tracker.store.store import Store

SHORT, LONG = 1_000, 100_000
"""Messages of one rep."""
EACH = 3
"""Every so many-th message was opened."""
LOOKS = 15


def table() -> list[tuple[str, ...]]:
    """The rows: what, ratio, yardstick, aim."""
    short, long = (asyncio.run(_times(count)) for count in (SHORT, LONG))
    return [
        (
            f"first page of 100,000 messages, {what}",
            f"{long[order] / short[order]:.2f}",
            "first page of 1,000",
            "<= 1.5",
        )
        for order, what in ((Order.ENGAGED, "by engagement"), (Order.SENT, "by sending"))
    ]


async def _times(count: int) -> dict[Order, float]:
    """Seconds for the first page of COUNT messages, the best of some looks."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tracker.db"
        url = f"sqlite+aiosqlite:///{path}"
        await Store.create(url, fingerprint=FINGERPRINT, notices=[])
        store = await Store.open(url, ledger_key=LEDGER_KEY, fingerprint=FINGERPRINT)
        try:
            await World(store, url).give(days=GRANTED)
            _fill(path, count)
            times: dict[Order, list[float]] = {order: [] for order in Order}
            for _ in range(LOOKS):
                for order in Order:
                    began = perf_counter()
                    page, more = await store.messages(MessageQuery(frozenset({JONAS}), order), TODAY)
                    times[order].append(perf_counter() - began)
                    assert len(page) == 50
                    assert more is not None
            return {order: min(measured) for order, measured in times.items()}
        finally:
            await store.close()


def _fill(path: Path, count: int) -> None:
    """Messages of one copy each, sent over the days of a retention, with a link; some of them opened."""
    with closing(sqlite3.connect(path)) as plain:
        ((recipient,),) = plain.execute("SELECT id FROM recipients").fetchall()
        for insert, rows in _rows(count, recipient).items():
            plain.executemany(insert, rows)
        plain.commit()


def _rows(count: int, recipient: int) -> dict[str, Iterator[tuple[Any, ...]]]:
    last, now = on(RETENTION), hour_of(NOW)

    def key(number: int) -> bytes:
        return number.to_bytes(16, "big")

    def sent(number: int) -> int:
        return now - number * 24 * (RETENTION - 1) // count

    everyone = range(count)
    opened = range(0, count, EACH)
    return {
        "INSERT INTO messages (id, owner, label, first_hour, last_hour, last_day) VALUES (?, ?, ?, ?, ?, ?)": (
            (key(n), JONAS, f"Offer {n}", sent(n), sent(n), last) for n in everyone
        ),
        "INSERT INTO links (message, number, host, path) VALUES (?, 1, 'shop.example.com', '/')": (
            (key(n),) for n in everyone
        ),
        "INSERT INTO deliveries (last_day, id, recipient, message, sent_hour) VALUES (?, ?, ?, ?, ?)": (
            (last, key(n), recipient, key(n), sent(n)) for n in everyone
        ),
        "INSERT INTO tracked (last_day, delivery, purpose, recipient, closed) VALUES (?, ?, 'o', ?, 0)": (
            (last, key(n), recipient) for n in everyone
        ),
        "INSERT INTO events (last_day, delivery, purpose, link, hour, agent) VALUES (?, ?, 'o', 0, ?, 3)": (
            (last, key(n), sent(n) + 1) for n in opened
        ),
        "INSERT INTO engaged (last_day, delivery, purpose, recipient, owner, message, hour) "
        "VALUES (?, ?, 'o', ?, ?, ?, ?)": ((last, key(n), recipient, JONAS, key(n), sent(n) + 1) for n in opened),
    }
