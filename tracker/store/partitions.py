"""Makes the partitions of the three large tables on PostgreSQL, one for each last day, and tells which there are.

The law: a row never fails for want of a partition: they are made a week ahead, and at the moment when one is missing.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.model import Day
from tracker.store.engine import Database
from tracker.store.postgres import PostgresDatabase
from tracker.store.schema import deliveries, events, tracked

PARTITIONED: Final = (deliveries, tracked, events)
"""The tables that have partitions; each hangs on the one before it."""
AHEAD: Final = 7
"""Days for which partitions are made before they are needed."""

_MAKING: Final = 7_272_002
"""The advisory lock of whoever makes partitions."""
_LOCK_TIMEOUT: Final = "300ms"
"""Whoever writes queues behind us while we wait for the tables: rather give up and try again."""


async def ensure_partitions(database: Database, first_day: Day, last_day: Day) -> None:
    """Make what is missing for rows whose last day is one from FIRST_DAY to LAST_DAY; nothing on SQLite.

    Safe on many servers at once. Raises StoreUnavailable.
    """
    await ensure_days(database, [Day(day) for day in range(first_day, last_day + 1)])


async def ensure_days(database: Database, days: Collection[Day]) -> None:
    """The same for each of DAYS."""
    if not isinstance(database, PostgresDatabase) or database.days.issuperset(days):
        return
    async with database.read() as connection:
        there = await partitions(connection)
    for day in sorted(set(days) - there.keys()):
        async with database.write(alone=False) as connection:
            await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MAKING})")
            await connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
            await _make(connection, day)
    database.days.update(days)


async def partitions(connection: AsyncConnection) -> dict[Day, tuple[str, ...]]:
    """The last days that have partitions, in order, each with their names: what hangs on others first."""
    found: dict[Day, list[str]] = {}
    for table in reversed(PARTITIONED):
        for name in await _attached(connection, table.name):
            found.setdefault(Day(int(name.rpartition("_")[2])), []).append(name)
    return {day: tuple(found[day]) for day in sorted(found)}


async def _attached(connection: AsyncConnection, table: str) -> Collection[str]:
    query = (
        "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid"
        " WHERE inhparent = to_regclass(:parent)"
    )
    return (await connection.execute(text(query), {"parent": table})).scalars().all()


async def _make(connection: AsyncConnection, day: Day) -> None:
    """Make the partitions of DAY. To be attached they hold up writers for a moment, and nobody who reads."""
    for table in PARTITIONED:
        name = f"{table.name}_{day}"
        if name not in await _attached(connection, table.name):
            await connection.exec_driver_sql(f"CREATE TABLE {name} (LIKE {table.name} INCLUDING ALL)")
            await connection.exec_driver_sql(f"ALTER TABLE {table.name} ATTACH PARTITION {name} FOR VALUES IN ({day})")
