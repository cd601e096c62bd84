"""Growth: what each act costs in a database of 10⁴, 10⁶ (and, when asked, 10⁷) events, on the same rows.

`python -m tests.bench.growth [EVENTS ...]` measures other sizes and says more: bytes for each row, the VACUUM.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Final

from sqlalchemy import insert

from tests.bench.filling import LINKS, Filling, fill_sqlite
from tracker.core.calendar import day_of, hour_of, later
from tracker.model import (
    MAIL_PURPOSES,
    Agent,
    Day,
    DeliveryId,
    Event,
    Language,
    Link,
    LinkNumber,
    Notice,
    Owner,
    Purpose,
    Registration,
)
from tracker.store.schema import deliveries, events, tracked
from tracker.store.store import Store

NOW: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)
TODAY: Final = day_of(NOW)
PROOF: Final = 1_095
SIZES: Final = (10_000, 1_000_000)
TIMES: Final = 15
"""How often each act is timed; the median counts."""
SWEPT: Final = 250
"""Copies that each sweep deletes, with 1,000 events."""
FINGERPRINT: Final = b"f" * 16
NOTICES: Final = (Notice("2026-1", Language.DE, "Dürfen wir?"),)


class Grown:
    """A filled database, and people in it who have not been used up by an act."""

    def __init__(self, store: Store, filling: Filling) -> None:
        self.store = store
        self.filling = filling
        self._used = 0

    def acts(self) -> dict[str, Callable[[int], Awaitable[float]]]:
        """What is measured; each takes the number of its turn and gives seconds."""
        return {
            "grants looked up": self.look_up,
            "copy registered": self.register,
            "event recorded": self.record,
            "figures of a message of 1,000 copies": self.message,
            "figures of a person of 20 copies": self.person,
            "sweep of 1,000 events": self.sweep,
            "withdrawal with 80 events": self.withdraw,
            "erasure with 80 events": self.erase,
        }

    async def look_up(self, turn: int) -> float:
        who = self.filling.pseudonym(self._somebody(turn))
        return await _timed(self.store.grants_of(who, TODAY))

    async def register(self, turn: int) -> float:
        campaign = turn * 7 % self.filling.campaigns
        copy = Registration(
            recipient=self.filling.pseudonym(self._somebody(turn)),
            delivery=DeliveryId(self.filling.delivery(turn)[::-1]),
            last_day=later(TODAY, 90),
            sent_hour=hour_of(NOW),
            message=self.filling.message(campaign),
            owner=Owner(bytes(16)),
            label="Offer",
            links=(Link(LinkNumber(LINKS[0]), "shop.example.com", "/a"),),
            purposes=MAIL_PURPOSES,
            source="crm",
        )
        return await _timed(self.store.register(copy, TODAY))

    async def record(self, turn: int) -> float:
        copy = turn * 997 % self.filling.copies
        delivery = self.filling.delivery(copy)
        event = Event(self.filling.day(copy), delivery, Purpose.OPEN, LinkNumber(0), hour_of(NOW), Agent.PROXY)
        return await _timed(self.store.record(event, TODAY))

    async def message(self, turn: int) -> float:
        campaign = turn * 7 % self.filling.campaigns
        return await _timed(self.store.message(self.filling.message(campaign), None, TODAY))

    async def person(self, turn: int) -> float:
        return await _timed(self.store.person(self.filling.pseudonym(self._somebody(turn)), None, TODAY))

    async def sweep(self, turn: int) -> float:
        """Of a day that has passed: all other rows are of later days."""
        await self._overdue(turn)
        return await _timed(self.store.sweep(TODAY, NOW, PROOF))

    async def withdraw(self, turn: int) -> float:
        who = self.filling.pseudonym(self._fresh())
        start = perf_counter()
        async with self.store.consents() as book:
            await book.withdraw(
                who,
                MAIL_PURPOSES,
                now=NOW,
                actor="recipient",
                language=None,
                content_last_day=later(TODAY, PROOF),
                suppression_last_day=later(TODAY, PROOF),
            )
        return perf_counter() - start

    async def erase(self, turn: int) -> float:
        who = self.filling.pseudonym(self._fresh())
        start = perf_counter()
        async with self.store.subjects() as book:
            await book.erase(
                who,
                now=NOW,
                actor="recipient",
                language=None,
                content_last_day=later(TODAY, PROOF),
                suppression_last_day=later(TODAY, PROOF),
                tell_until=later(TODAY, 90),
            )
        return perf_counter() - start

    def _somebody(self, turn: int) -> int:
        """Who was not used up: those are taken from the front."""
        return self.filling.people - turn * 31 % (self.filling.people // 2)

    def _fresh(self) -> int:
        self._used += 1
        return self._used

    async def _overdue(self, turn: int) -> None:
        """Copies of one message with their events, whose last day was yesterday."""
        day = Day(TODAY - 1)
        people = [self._somebody(number) for number in range(SWEPT)]
        ids = [self.filling.delivery(turn * SWEPT + number)[::-1] for number in range(SWEPT)]
        message, hour = self.filling.message(0), (TODAY - 91) * 24
        async with self.store._database.write() as connection:
            await connection.execute(
                insert(deliveries),
                [
                    {"last_day": day, "id": each, "recipient": person, "message": message, "sent_hour": hour}
                    for each, person in zip(ids, people, strict=True)
                ],
            )
            await connection.execute(
                insert(tracked),
                [
                    {"last_day": day, "delivery": each, "purpose": purpose, "recipient": person, "closed": 0}
                    for each, person in zip(ids, people, strict=True)
                    for purpose in MAIL_PURPOSES
                ],
            )
            await connection.execute(insert(events), [row for each in ids for row in _events(day, each, hour)])


def _events(day: Day, delivery: bytes, hour: int) -> list[dict[str, Any]]:
    at = {"last_day": day, "delivery": delivery}
    opens = [
        {**at, "purpose": Purpose.OPEN, "link": 0, "hour": hour + later, "agent": Agent.HUMAN} for later in range(2)
    ]
    clicks = [{**at, "purpose": Purpose.CLICK, "link": link, "hour": hour, "agent": Agent.HUMAN} for link in LINKS]
    return opens + clicks


async def _timed(act: Awaitable[object]) -> float:
    start = perf_counter()
    await act
    return perf_counter() - start


@asynccontextmanager
async def sqlite(events: int, folder: Path) -> AsyncIterator[Grown]:
    """An open SQLite store with EVENTS."""
    path = folder / f"{events}.db"
    url = f"sqlite+aiosqlite:///{path}"
    filling = Filling(events, TODAY)
    await Store.create(url, fingerprint=FINGERPRINT, notices=NOTICES)
    fill_sqlite(path, filling)
    store = await Store.open(url, ledger_key=b"l" * 32, fingerprint=FINGERPRINT)
    try:
        yield Grown(store, filling)
    finally:
        await store.close()


async def costs(grown: Grown) -> dict[str, float]:
    """Median seconds of each act."""
    return {name: median([await act(turn) for turn in range(TIMES)]) for name, act in grown.acts().items()}


async def measured(sizes: Sequence[int], folder: Path) -> dict[int, dict[str, float]]:
    """Median seconds of each act by size of the database."""
    found = {}
    for size in sizes:
        async with sqlite(size, folder) as grown:
            found[size] = await costs(grown)
    return found


def table() -> list[tuple[str, ...]]:
    """The rows: what, ratio, yardstick, aim."""
    return _rows(SIZES)


def _rows(sizes: Sequence[int]) -> list[tuple[str, ...]]:
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(measured(sizes, Path(folder)))
    first = sizes[0]
    return [
        (
            f"SQLite, {size:,} events: {act}",
            f"{seconds / found[first][act]:.2f}",
            f"{first:,} ({1000 * found[first][act]:.1f} ms)",
            "<= 3",
        )
        for size in sizes[1:]
        for act, seconds in found[size].items()
    ]


if __name__ == "__main__":
    for row in _rows([int(word) for word in sys.argv[1:]] or SIZES):
        print("  ".join(row))
