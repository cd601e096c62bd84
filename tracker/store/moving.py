"""Copies an SQLite installation into an empty PostgreSQL database: all of it as of one moment, or nothing.

The law: nobody writes the file meanwhile, so that no withdrawal is left behind in it, and it stays as it is. What is
past its day is left out where it would need a partition of its own; the sweep would delete it anyway.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Table, text
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.model import Day, NotMoved
from tracker.store import migrate
from tracker.store.databases import database_of
from tracker.store.engine import table_names
from tracker.store.examination import examine
from tracker.store.ledger import head
from tracker.store.partitions import PARTITIONED, ensure_days
from tracker.store.postgres import PostgresDatabase
from tracker.store.schema import HEAD, metadata, outbox
from tracker.store.sqlite import SqliteDatabase

CHUNK: Final = 5_000
"""Rows that are copied together."""
PATIENCE: Final = 60.0
"""Seconds for which whoever writes the file is waited for."""
ONE_BY_ONE: Final = ("ledger", "ledger_contents", "ledger_ends")
"""The tables whose triggers want entries as they happened; they rest while the past is copied."""
OF_COPIES: Final = (*PARTITIONED, outbox)
"""The tables of which what is past its day is left out."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What was copied."""

    rows: Mapping[str, int]
    left_out: int
    """Rows of deliveries, tracked copies and events that are past their day."""
    entries: int
    """Of the ledger, the last of which has the digest `head` on both sides."""
    head: bytes


class Progress:
    """Tells how far it is; what is not of interest stays as it is here."""

    def begin(self, rows: int) -> None:
        """There are ROWS to copy."""

    def copied(self, rows: int) -> None:
        """ROWS more are copied."""


async def move(
    source_url: str, target_url: str, fingerprint: bytes, ledger_key: bytes, today: Day, progress: Progress
) -> Moved:
    """Copy the file that SOURCE_URL names into the database that TARGET_URL names, and compare them before the commit.

    Raises NotMoved when the target holds rows or another release's tables, or when the two do not agree afterwards;
    SchemaBehind and WrongKey for a file that is not of this release and key file; BadSetting, StoreUnavailable.
    """
    source = database_of(source_url, PATIENCE)
    target = database_of(target_url, patient=True)
    try:
        if not isinstance(source, SqliteDatabase) or not isinstance(target, PostgresDatabase):
            raise NotMoved("migrate-store goes from a SQLite file to postgresql+asyncpg://USER@HOST/DATABASE")
        await migrate.check(source, {fingerprint})
        await _prepare(target)
        async with source.write() as old:  # nobody else writes it until everything is there
            await ensure_days(target, await _days(old, today))
            counts = {table.name: await _count(old, table, today) for table in metadata.sorted_tables}
            progress.begin(sum(counts.values()))
            async with target.write() as new, _resting(new):
                for table in metadata.sorted_tables:
                    async for rows in _chunks(old, table, today):
                        await _write(new, table, rows)
                        progress.copied(len(rows))
                await _go_on_counting(new)
                entries, digest = await _compare(old, new, counts, ledger_key, today)
            left_out = sum([await _count(old, table) - counts[table.name] for table in OF_COPIES])
        return Moved(counts, left_out, entries, digest)
    finally:
        await target.close()
        await source.close()


async def _prepare(target: PostgresDatabase) -> None:
    """Make the tables unless they are there; raise NotMoved unless they are empty and of this release."""
    async with target.write() as connection:
        there = await table_names(connection)
        if not there:
            await migrate.make_tables(connection)
            return
        if await migrate.version_of(connection) != HEAD or not there >= metadata.tables.keys():
            raise NotMoved("the target holds other tables")
        for table in metadata.sorted_tables:
            if await _count(connection, table):
                raise NotMoved(f"the target holds rows already ({table.name})")


@asynccontextmanager
async def _resting(connection: AsyncConnection) -> AsyncIterator[None]:
    triggers = [*((table, f"{table}_append") for table in ONE_BY_ONE), ("events", "engaged_note")]
    for table, trigger in triggers:
        await connection.exec_driver_sql(f"ALTER TABLE {table} DISABLE TRIGGER {trigger}")
    yield
    for table, trigger in triggers:
        await connection.exec_driver_sql(f"ALTER TABLE {table} ENABLE TRIGGER {trigger}")


def _kept(table: Table, today: Day | None) -> str:
    return f" WHERE last_day >= {today:d}" if today is not None and table in OF_COPIES else ""


async def _count(connection: AsyncConnection, table: Table, today: Day | None = None) -> int:
    query = f"SELECT count(*) FROM {table.name}{_kept(table, today)}"  # noqa: S608 - names of our own
    counted: int = (await connection.exec_driver_sql(query)).scalar_one()
    return counted


async def _days(old: AsyncConnection, today: Day) -> Sequence[Day]:
    found = await old.execute(
        text("SELECT DISTINCT last_day FROM deliveries WHERE last_day >= :today"), {"today": today}
    )
    return [Day(day) for day in found.scalars()]


async def _chunks(old: AsyncConnection, table: Table, today: Day) -> AsyncIterator[Sequence[tuple[Any, ...]]]:
    """The rows of TABLE in the order of its key, as they stand in the file."""
    columns, key = (", ".join(column.name for column in each) for each in (table.c, table.primary_key))
    query = f"SELECT {columns} FROM {table.name}{_kept(table, today)} ORDER BY {key}"  # noqa: S608 - names of our own
    async with old.stream(text(query)) as rows:
        async for chunk in rows.partitions(CHUNK):
            yield [tuple(row) for row in chunk]


async def _write(new: AsyncConnection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    driver: Any = (await new.get_raw_connection()).driver_connection
    await driver.copy_records_to_table(table.name, records=rows, columns=[column.name for column in table.c])


async def _go_on_counting(new: AsyncConnection) -> None:
    """The numbers that the server gives go on after those that were copied."""
    await new.exec_driver_sql(
        "SELECT setval(pg_get_serial_sequence('audit', 'id'), (SELECT coalesce(max(id), 0) + 1 FROM audit), false)"
    )


async def _compare(
    old: AsyncConnection, new: AsyncConnection, counts: Mapping[str, int], ledger_key: bytes, today: Day
) -> tuple[int, bytes]:
    """The ledger's last entry and its digest; raises NotMoved unless both sides agree, and the chain holds."""
    for table in metadata.sorted_tables:
        if await _count(new, table) != counts[table.name]:
            raise NotMoved(f"the copy of {table.name} does not have as many rows as the file")
    there = await examine(new, ledger_key, today)
    if there.faults:
        raise NotMoved(f"the ledger's entry {there.faults[0].entry} {there.faults[0].what}")
    if (there.entries, there.head) != await head(old):
        raise NotMoved("the copied ledger ends otherwise than that in the file")
    return there.entries, there.head
