"""Counts copies that left untouched: added up in memory, written every second and at the close."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from typing import Final

from sqlalchemy import case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.core.calendar import later
from tracker.model import Day, MessageKey, Reason, StoreUnavailable, UntouchedCopy
from tracker.store.engine import Database
from tracker.store.schema import deliveries, message_untouched, messages, untouched
from tracker.store.upsert import upsert

PERIOD: Final = 1.0
"""Seconds between the first copy counted and the write."""
CAPACITY: Final = 10_000
"""The most different counts kept while the store is away."""


class Tally:
    """Adds up copies until they are written."""

    def __init__(self, database: Database, worker: int, retention_days: int) -> None:
        self._database = database
        self._worker = worker
        self._retention_days = retention_days
        self._counts: Counter[UntouchedCopy] = Counter()
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self.dropped = 0
        """Copies that were not counted because the store was away for too long."""

    def add(self, copy: UntouchedCopy) -> None:
        """Count COPY; it is written within a second."""
        if copy not in self._counts and len(self._counts) >= CAPACITY:
            self.dropped += 1
            return
        self._counts[copy] += 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write_soon())

    async def flush(self) -> None:
        """Write what was counted so far. Raises StoreUnavailable; then the counts are kept."""
        counts, self._counts = self._counts, Counter()
        try:
            if counts:
                async with self._database.write(alone=False) as connection:
                    await _write(connection, counts, self._worker, self._retention_days)
        except BaseException:
            self._counts.update(counts)
            raise

    async def settle(self) -> None:
        """Write what was counted so far, if the store can take it, so that who sent a copy sees it in the figures."""
        with suppress(StoreUnavailable):
            await self.flush()

    async def close(self) -> None:
        """Write what is left; what a store that is away cannot take is dropped and counted."""
        self._closing.set()
        if self._task is not None:
            await self._task
        try:
            await self.flush()
        except StoreUnavailable:
            self.dropped += self._counts.total()
            self._counts.clear()

    async def _write_soon(self) -> None:
        while self._counts and not self._closing.is_set():
            try:
                await asyncio.wait_for(self._closing.wait(), PERIOD)
            except TimeoutError:
                try:
                    await self.flush()
                except StoreUnavailable:
                    continue


async def outcomes(connection: AsyncConnection) -> Counter[Reason | None]:
    """How many copies that are remembered left untouched for each reason, and (None) tracked."""
    counts: Counter[Reason | None] = Counter()
    for table in (untouched, message_untouched):
        rows = await connection.execute(select(table.c.reason, func.sum(table.c.count)).group_by(table.c.reason))
        counts.update({Reason(reason): int(count) for reason, count in rows})
    counts[None] = (await connection.execute(select(func.count()).select_from(deliveries))).scalar_one()
    return counts


async def _write(connection: AsyncConnection, counts: Counter[UntouchedCopy], worker: int, retention_days: int) -> None:
    named = {copy.message for copy in counts if copy.message is not None}
    rows = await connection.execute(select(messages.c.id).where(messages.c.id.in_(named)))
    known = set(rows.scalars())
    of_messages: Counter[tuple[MessageKey, Day, str]] = Counter()
    of_owners: Counter[tuple[bytes, Day, str]] = Counter()
    days: dict[MessageKey, tuple[bytes, Day]] = {}
    for copy, count in counts.items():
        if copy.message is not None and (copy.campaign or copy.message in known):
            of_messages[copy.message, copy.day, copy.reason] += count
            days[copy.message] = (copy.owner, max(copy.day, days.get(copy.message, (b"", copy.day))[1]))
        else:
            of_owners[copy.owner, copy.day, copy.reason] += count
    if days:
        await _write_messages(connection, days, retention_days)
        add = upsert(message_untouched)
        await connection.execute(
            add.on_conflict_do_update(
                index_elements=["message", "day", "reason", "worker"],
                set_={"count": message_untouched.c.count + add.excluded.count},
            ),
            [
                {"message": message, "day": day, "reason": reason, "worker": worker, "count": count}
                for (message, day, reason), count in sorted(of_messages.items())
            ],
        )
    if of_owners:
        more = upsert(untouched)
        await connection.execute(
            more.on_conflict_do_update(
                index_elements=["owner", "day", "reason", "worker"],
                set_={"count": untouched.c.count + more.excluded.count},
            ),
            [
                {
                    "owner": owner,
                    "day": day,
                    "reason": reason,
                    "worker": worker,
                    "count": count,
                    "last_day": later(day, retention_days),
                }
                for (owner, day, reason), count in sorted(of_owners.items())
            ],
        )


async def _write_messages(
    connection: AsyncConnection, days: dict[MessageKey, tuple[bytes, Day]], retention_days: int
) -> None:
    """Make or prolong the rows of messages with untouched copies; they take no label from those."""
    message = upsert(messages)
    known, new = messages.c, message.excluded
    await connection.execute(
        message.on_conflict_do_update(
            index_elements=["id"],
            set_={
                "last_hour": case((new.last_hour > known.last_hour, new.last_hour), else_=known.last_hour),
                "last_day": case((new.last_day > known.last_day, new.last_day), else_=known.last_day),
            },
        ),
        [
            {"id": key, "owner": owner, "last_hour": day * 24, "last_day": later(day, retention_days)}
            for key, (owner, day) in sorted(days.items())
        ],
    )
