"""Growth: what each act costs in a database of 10⁴, 10⁶ (and, when asked, 10⁷) events, on the same rows.

`python -m tests.bench.growth EVENTS ...` measures other sizes. What counts is the time on processors, ours and the
server's: that of the clock tells more of what else a machine does.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from os import sysconf
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any, Final

from sqlalchemy import delete, insert

from tests.bench.filling import DAYS, LINKS, Filling, fill_postgres, fill_sqlite
from tests.bench.verdict import line, unmeasured
from tests.postgres import Cluster, programs
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
    Pseudonym,
    Purpose,
    Registration,
)
from tracker.store.partitions import ensure_days, ensure_partitions, partitions
from tracker.store.past_copies import COPIES, PARENTS, drop
from tracker.store.postgres import PostgresDatabase
from tracker.store.schema import deliveries, events, tracked
from tracker.store.store import Store

NOW: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)
TODAY: Final = day_of(NOW)
PROOF: Final = 1_095
SIZES: Final = (10_000, 1_000_000)
TIMES: Final = 15
"""How often each act is timed; the median counts."""
WARMING: Final = 3
"""How often it is done before: connections live for days, and the first use of a partition on each costs more."""
SWEPT: Final = 250
"""Copies that each sweep deletes, with 1,000 events."""
ONE_DAY: Final = 1_000_000
"""Events of the day that is dropped."""
DROP: Final = f"PostgreSQL, a day of {ONE_DAY:,} events dropped"
ACT_AIM: Final = "<= 3"
DROP_AIM: Final = "<= 1/20"
ON_DISK: Final = {"fsync": "on", "full_page_writes": "on", "shared_buffers": "256MB", "max_wal_size": "4GB"}
"""What a server is set to that keeps what it acknowledged."""
FINGERPRINT: Final = b"f" * 16
NOTICES: Final = (Notice("2026-1", Language.DE, "Dürfen wir?"),)


class Grown:
    """A filled database, and people in it who have not been used up by an act."""

    def __init__(self, store: Store, filling: Filling, server: Callable[[], float]) -> None:
        """SERVER tells how many seconds a server has worked for it."""
        self.store = store
        self._server = server
        self.filling = filling
        self._used = 0

    async def warm(self) -> None:
        """Use every day, and do every act, before it is timed."""
        for campaign in range(DAYS):
            await self._record(self.filling.copies_of(campaign)[0])
        for act in self.acts().values():
            for turn in range(WARMING):
                await act(-1 - turn)

    def acts(self) -> dict[str, Callable[[int], Awaitable[float]]]:
        """What is measured; each takes the number of its turn and gives seconds of processor time."""
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
        return await self._timed(self.store.grants_of(who, TODAY))

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
        return await self._timed(self.store.register(copy, TODAY))

    async def record(self, turn: int) -> float:
        return await self._record(turn * 997 % self.filling.copies)

    async def _record(self, copy: int) -> float:
        delivery = self.filling.delivery(copy)
        event = Event(self.filling.day(copy), delivery, Purpose.OPEN, LinkNumber(0), hour_of(NOW), Agent.PROXY)
        return await self._timed(self.store.record(event, TODAY))

    async def message(self, turn: int) -> float:
        campaign = turn * 7 % self.filling.large
        return await self._timed(self.store.message(self.filling.message(campaign), None, TODAY))

    async def person(self, turn: int) -> float:
        return await self._timed(self.store.person(self.filling.pseudonym(self._somebody(turn)), None, TODAY))

    async def sweep(self, turn: int) -> float:
        """Of a day that has passed: all other rows are of later days."""
        await self._overdue(turn)
        return await self._timed(self.store.sweep(TODAY, NOW, PROOF))

    async def withdraw(self, turn: int) -> float:
        return await self._timed(self._withdraw(self.filling.pseudonym(self._fresh())))

    async def _withdraw(self, who: Pseudonym) -> None:
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

    async def erase(self, turn: int) -> float:
        return await self._timed(self._erase(self.filling.pseudonym(self._fresh())))

    async def _erase(self, who: Pseudonym) -> None:
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

    async def _timed(self, act: Awaitable[object]) -> float:
        start = process_time() + self._server()
        await act
        return process_time() + self._server() - start

    def _somebody(self, turn: int) -> int:
        """Somebody with twenty copies who was not used up: those are taken from the front."""
        return self.filling.regulars - turn * 31 % (self.filling.regulars // 2)

    def _fresh(self) -> int:
        self._used += 1
        return self._used

    async def _overdue(self, turn: int) -> None:
        """Copies of one message with their events, whose last day was yesterday."""
        day = Day(TODAY - 1)
        people = [self.filling.person(number) for number in range(SWEPT)]
        ids = [self.filling.delivery(turn * SWEPT + number)[::-1] for number in range(SWEPT)]
        await ensure_days(self.store._database, [day])
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
            await connection.execute(insert(events).values([row for each in ids for row in _events(day, each, hour)]))


def _events(day: Day, delivery: bytes, hour: int) -> list[dict[str, Any]]:
    at = {"last_day": day, "delivery": delivery}
    opens = [
        {**at, "purpose": Purpose.OPEN, "link": 0, "hour": hour + later, "agent": Agent.HUMAN} for later in range(2)
    ]
    clicks = [{**at, "purpose": Purpose.CLICK, "link": link, "hour": hour, "agent": Agent.HUMAN} for link in LINKS]
    return opens + clicks


def on_processors(cluster: Cluster) -> float:
    """Seconds that the server of CLUSTER has worked, with those of its processes that have ended."""
    parent = (cluster.data / "postmaster.pid").read_text().split()[0]
    ended = Path(f"/proc/{parent}/stat").read_text().rpartition(")")[2].split()[13:15]
    seconds = sum(map(int, ended)) / sysconf("SC_CLK_TCK")
    for children in Path(f"/proc/{parent}/task").glob("*/children"):
        for child in children.read_text().split():
            with suppress(FileNotFoundError, ProcessLookupError):
                seconds += int(Path(f"/proc/{child}/schedstat").read_text().split()[0]) / 1e9
    return seconds


@asynccontextmanager
async def opened(url: str, filling: Filling, server: Callable[[], float] = float) -> AsyncIterator[Grown]:
    """The store at URL."""
    store = await Store.open(url, ledger_key=b"l" * 32, fingerprint=FINGERPRINT)
    try:
        yield Grown(store, filling, server)
    finally:
        await store.close()


@asynccontextmanager
async def sqlite(events: int, folder: Path) -> AsyncIterator[Grown]:
    """An open SQLite store with EVENTS."""
    path = folder / f"{events}.db"
    url = f"sqlite+aiosqlite:///{path}"
    filling = Filling(events, TODAY)
    await Store.create(url, fingerprint=FINGERPRINT, notices=NOTICES)
    fill_sqlite(path, filling)
    async with opened(url, filling) as grown:
        yield grown


@asynccontextmanager
async def postgres(events: int, cluster: Cluster) -> AsyncIterator[Grown]:
    """The same on a server."""
    url = cluster.url(cluster.make())
    filling = Filling(events, TODAY)
    await Store.create(url, fingerprint=FINGERPRINT, notices=NOTICES)
    async with opened(url, filling, partial(on_processors, cluster)) as grown:
        await ensure_partitions(grown.store._database, Day(TODAY - 1), later(TODAY, DAYS))
        await fill_postgres(url, filling)
        yield grown


async def measured(
    sizes: Sequence[int], made: Callable[[int], AbstractAsyncContextManager[Grown]]
) -> dict[int, dict[str, float]]:
    """Seconds of processor time of each act by size of the database: in turns, so that all suffer what else goes on."""
    async with AsyncExitStack() as stack:
        databases = {size: await stack.enter_async_context(made(size)) for size in sizes}
        for grown in databases.values():
            await grown.warm()
        found: dict[int, dict[str, float]] = {size: {} for size in sizes}
        for name in next(iter(databases.values())).acts():
            times: dict[int, list[float]] = {size: [] for size in sizes}
            for turn in range(TIMES):
                for size, grown in databases.items():
                    times[size].append(await grown.acts()[name](turn))
            for size in sizes:
                found[size][name] = median(times[size])
        return found


def rows(engine: str, found: Mapping[int, Mapping[str, float]]) -> Iterator[tuple[str, ...]]:
    """What was FOUND on ENGINE, as rows of a table: the larger databases against the smallest."""
    first, *larger = found
    for size in larger:
        for act, seconds in found[size].items():
            least = found[first][act]
            before = f"{first:,} ({1000 * least:.1f} ms)"
            yield f"{engine}, {size:,} events: {act}", f"{seconds / least:.2f}", before, ACT_AIM


def table(sizes: Sequence[int] = SIZES) -> list[tuple[str, ...]]:
    """The rows: what, ratio, yardstick, aim."""
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(measured(sizes, lambda size: sqlite(size, Path(folder))))
        table = list(rows("SQLite", found))
    return [*table, *on_postgres(sizes)]


def on_postgres(sizes: Sequence[int] = SIZES) -> list[tuple[str, ...]]:
    """The rows of a server, or where there is none, that they are not measured."""
    if programs() is None:
        first, *larger = sizes
        why = unmeasured("no PostgreSQL")
        acts = [(f"PostgreSQL, {size:,} events: every act", why, f"{first:,}", ACT_AIM) for size in larger]
        return [*acts, (DROP, why, "DELETE", DROP_AIM)]
    with Cluster(b"", b"", **ON_DISK) as cluster:
        found = asyncio.run(measured(sizes, lambda size: postgres(size, cluster)))
        return [*rows("PostgreSQL", found), asyncio.run(dropped(cluster))]


async def dropped(cluster: Cluster) -> tuple[str, ...]:
    """A day of 10⁶ events: its partitions dropped, against the rows of another such day deleted."""
    url = cluster.url(cluster.make())
    await Store.create(url, fingerprint=FINGERPRINT, notices=NOTICES)
    async with opened(url, Filling(2 * ONE_DAY, TODAY, days=2)) as grown:
        await ensure_partitions(grown.store._database, TODAY, later(TODAY, 1))
        await fill_postgres(url, grown.filling)
    database = PostgresDatabase(url, patient=True)
    try:
        start = perf_counter()
        for name in (await _partitions(database))[TODAY]:
            assert await drop(database, name, parent=PARENTS[name.rpartition("_")[0]], day=TODAY)
        drops = perf_counter() - start
        start = perf_counter()
        async with database.write() as connection:
            for rows in COPIES:
                await connection.execute(delete(rows).where(rows.c.last_day == later(TODAY, 1)))
        deletes = perf_counter() - start
    finally:
        await database.close()
    return DROP, f"1/{deletes / drops:.1f}", f"DELETE ({deletes:.1f} s)", DROP_AIM


async def _partitions(database: PostgresDatabase) -> Mapping[Day, Sequence[str]]:
    async with database.read() as connection:
        return await partitions(connection)


if __name__ == "__main__":
    for row in table([int(word) for word in sys.argv[1:]] or SIZES):
        print(line(row), flush=True)
