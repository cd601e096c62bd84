"""Folds the copies whose last day has passed, and deletes them: row by row on SQLite, whole days on PostgreSQL.

The law: a day is folded once. On SQLite the rows go in the transaction that folds them. On PostgreSQL a day is marked
in the transaction that folds it; then its partitions go, children first, each in a transaction of its own, which gives
up rather than let hits queue behind it. What a crash or a long reader left, the next sweep finishes.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Final

from sqlalchemy import ColumnElement, Table, and_, delete, exists, func, insert, select, table
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.model import Day, Hour, StoreUnavailable
from tracker.store.engine import Database
from tracker.store.folding import fold, fold_copies, hold_folding, of_day
from tracker.store.pace import Pace
from tracker.store.partitions import PARTITIONED, detached, partitions
from tracker.store.postgres import PostgresDatabase
from tracker.store.schema import deliveries, events, folded_days, ledger_contents, recipients, tracked
from tracker.store.unneeded import forget_unneeded

COPIES: Final = (events, tracked, deliveries)
"""The tables of which whole days go, children first."""
LOCK_TIMEOUT: Final = "50ms"
"""Whoever reads or writes queues behind us while we wait for the tables."""
TRIES: Final = 10
PAUSE: Final = 0.2
"""Seconds between two tries."""


async def delete_past(database: Database, today: Day, hour: Hour, minimum_group: int) -> Counter[str]:
    """Fold and delete the copies whose last day is before TODAY; rows by table. Raises StoreUnavailable."""
    if isinstance(database, PostgresDatabase):
        return await _drop_days(database, today, hour, minimum_group)
    return await _delete_days(database, today, hour, minimum_group)


# --- row by row -------------------------------------------------------------------------------------


async def _delete_days(database: Database, today: Day, hour: Hour, minimum_group: int) -> Counter[str]:
    """Day by day, in the order of their ids."""
    deleted: Counter[str] = Counter()
    first = select(deliveries.c.last_day).where(deliveries.c.last_day < today).order_by(deliveries.c.last_day).limit(1)
    pace = Pace(others_write=database.others_write)
    while True:
        taken, gone = pace.rows, Counter[str]()
        async with database.write() as connection:
            with pace.measured():
                day: Day | None = (await connection.execute(first)).scalar_one_or_none()
                if day is not None:
                    gone = await _delete_copies(connection, day, taken, hour, minimum_group)
        if day is None:
            return deleted
        deleted += gone
        if gone[deliveries.name] == taken:  # else hardly anything is left to rest for
            await pace.rest()


async def _delete_copies(
    connection: AsyncConnection, day: Day, count: int, hour: Hour, minimum_group: int
) -> Counter[str]:
    """Fold and delete the first COUNT copies of DAY; rows by table."""
    ids = select(deliveries.c.id).where(deliveries.c.last_day == day).order_by(deliveries.c.id)
    upto: bytes | None = (await connection.execute(ids.limit(1).offset(count - 1))).scalar_one_or_none()
    await fold(connection, of_day(day, upto), hour, minimum_group)
    await fold_copies(connection, day, upto)
    here = {
        rows: rows.c.last_day == day if upto is None else and_(rows.c.last_day == day, column <= upto)
        for rows, column in ((events, events.c.delivery), (tracked, tracked.c.delivery), (deliveries, deliveries.c.id))
    }
    doubtful = await _doubtful(connection, here[deliveries])
    deleted: Counter[str] = Counter()
    for rows in COPIES:
        deleted[rows.name] = (await connection.execute(delete(rows).where(here[rows]))).rowcount
    deleted[recipients.name] = await forget_unneeded(connection, doubtful)
    return deleted


async def _doubtful(connection: AsyncConnection, here: ColumnElement[bool]) -> Sequence[int]:
    """Who got copies HERE and is not in the ledger any more: perhaps nothing else is left of them."""
    told = exists().where(ledger_contents.c.recipient == deliveries.c.recipient)
    people = select(deliveries.c.recipient).where(here, ~told).distinct()
    return (await connection.execute(people)).scalars().all()


# --- whole days -------------------------------------------------------------------------------------


async def _drop_days(database: PostgresDatabase, today: Day, hour: Hour, minimum_group: int) -> Counter[str]:
    """Day by day; what is in use just now stays for the next sweep."""
    replaced = database.replaced
    async with database.read() as connection:
        past = {day: names for day, names in (await partitions(connection)).items() if day < today}
        orphans = await detached(connection, today)
    deleted: Counter[str] = Counter()
    if not past and not orphans:
        return deleted
    patient = PostgresDatabase(database.dsn, patient=True)
    try:
        for orphan in orphans:
            await drop(patient, orphan)
        for day, names in past.items():
            if (database.replaced, patient.replaced) != (replaced, 0):
                raise StoreUnavailable("the server was started anew")  # what was found out may be of another one
            doubtful = await _fold_day(patient, day, hour, minimum_group)
            for name in names:
                rows = await _count(patient, name)
                if not await drop(patient, name, parent=PARENTS[name.rpartition("_")[0]], day=day):
                    return deleted
                deleted[name.rpartition("_")[0]] += rows
            database.days.discard(day)
            async with patient.write() as connection:
                deleted[recipients.name] += await forget_unneeded(connection, doubtful)
    finally:
        await patient.close()
    return deleted


async def _fold_day(database: PostgresDatabase, day: Day, hour: Hour, minimum_group: int) -> Sequence[int]:
    """Fold the copies of DAY unless that was done, and mark it; whom nothing else may be left of."""
    async with database.write(alone=False) as connection:
        # All that is counted is of one moment. LOCK comes first: it is the next statement that says which moment.
        await connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        await hold_folding(connection)
        if not (await connection.execute(select(folded_days).where(folded_days.c.day == day))).first():
            await fold(connection, of_day(day), hour, minimum_group)
            await fold_copies(connection, day)
            await connection.execute(insert(folded_days).values(day=day))
        return await _doubtful(connection, deliveries.c.last_day == day)


async def _count(database: PostgresDatabase, name: str) -> int:
    async with database.read() as connection:
        return int((await connection.execute(select(func.count()).select_from(table(name)))).scalar_one())


async def drop(database: PostgresDatabase, name: str, *, parent: Table | None = None, day: Day | None = None) -> bool:
    """Drop the table NAME, a partition of PARENT; False when others use it just now.

    With the last partition of DAY its mark goes.
    """
    for attempt in range(TRIES):
        if attempt:
            await asyncio.sleep(PAUSE)
        try:
            async with database.write(alone=False) as connection:
                await connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
                if parent is not None:
                    await connection.exec_driver_sql(f"ALTER TABLE {parent.name} DETACH PARTITION {name}")
                await connection.exec_driver_sql(f"DROP TABLE {name}")
                if parent is deliveries:
                    await connection.execute(delete(folded_days).where(folded_days.c.day == day))
        except StoreUnavailable as error:
            if error.detail not in IN_USE:
                raise
        else:
            return True
    return False


PARENTS: Final = {parent.name: parent for parent in PARTITIONED}
IN_USE: Final = ("LockNotAvailableError", "DeadlockDetectedError")
