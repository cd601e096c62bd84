"""The database as one SQLite file: a pool of one writer and one of a few readers.

The law: one writer connection, BEGIN IMMEDIATE for every write; readers cannot write.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar
from urllib.parse import quote

from sqlalchemy import event
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from tracker.model import Day, StoreUnavailable
from tracker.store.engine import BUSY_SECONDS, QUEUE_SECONDS, Database, make_private_file, translated

Answer = TypeVar("Answer")

READERS: Final = 3
PRAGMAS: Final = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "secure_delete=ON",
    "foreign_keys=ON",
    "temp_store=MEMORY",  # what a statement of many rows might have to take back is no file
    # Pages of the log (16 MB) before they are copied to the file: most pages of `events` are changed by many groups.
    "wal_autocheckpoint=4000",
)
"""What a writer sets."""


class SqliteDatabase(Database):
    """A SQLite file."""

    TRIGGERS: ClassVar[str] = "SELECT name FROM sqlite_master WHERE type = 'trigger'"

    def __init__(self, path: Path, busy_seconds: float = BUSY_SECONDS) -> None:
        self.path = path
        self._sweep_day: Day | None = None
        self._writer = _engine(path, 1, busy_seconds, "BEGIN IMMEDIATE", self._prepare_writer)
        self._readers = _engine(path, READERS, busy_seconds, "BEGIN", _prepare_reader)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection that sees one state of the database. Raises StoreUnavailable."""
        with translated(sqlite3.Error):
            async with self._readers.begin() as connection:
                yield connection

    @asynccontextmanager
    async def write(self, sweep_day: Day | None = None, *, alone: bool = True) -> AsyncIterator[AsyncConnection]:
        """The writer in a transaction, always ALONE."""
        with translated(sqlite3.Error):
            async with self._writer.begin() as connection:
                self._sweep_day = sweep_day
                try:
                    yield connection
                finally:
                    self._sweep_day = None

    async def write_at_once(self, work: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """What WORK returns, run in the writer's own thread. Each of its statements is a transaction of its own.

        One step to that thread and back, where `write` takes one for each statement. Raises StoreUnavailable.
        """
        with translated(sqlite3.Error):
            async with self._writer.connect() as connection:
                driver: Any = (await connection.get_raw_connection()).driver_connection
                answer: Answer = await driver._execute(work, driver._conn)
                return answer

    async def is_there(self) -> bool:
        """Whether there is a file."""
        return self.path.exists()

    async def vacuum(self) -> bool:
        """Rewrite the file and empty the write-ahead log; True.

        Raises StoreUnavailable, also when a reader of another program kept the log from being emptied.
        """
        with translated(sqlite3.Error):
            async with self._writer.connect() as connection:
                driver: Any = (await connection.get_raw_connection()).driver_connection
                await driver.execute_fetchall("VACUUM")
                ((busy, _, _),) = await driver.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")
        if busy:
            raise StoreUnavailable("another program reads the database: what was deleted is still in its log")
        return True

    async def copy_to(self, folder: Path) -> Path:
        """Write a copy of this moment to a new file in FOLDER, called as the database. Raises StoreUnavailable.

        VACUUM INTO rather than a copy page by page: it leaves out what index pages remember of deleted rows.
        """
        path = folder / self.path.name
        make_private_file(path)
        with translated(sqlite3.Error):
            async with self._writer.connect() as connection:  # a reader may not; other processes are not held up
                driver: Any = (await connection.get_raw_connection()).driver_connection
                await driver.execute_fetchall("VACUUM INTO ?", (str(path),))
        return path

    async def close(self) -> None:
        """Close every connection; the last one folds the write-ahead log into the file."""
        await self._readers.dispose()
        await self._writer.dispose()

    def _prepare_writer(self, connection: Any) -> None:
        connection.create_function("tracker_today", 0, lambda: self._sweep_day)
        _pragmas(connection, *PRAGMAS)


def _engine(path: Path, size: int, busy_seconds: float, begin: str, prepare: Callable[[Any], None]) -> AsyncEngine:
    # mode=rw: a database that was moved away is an error, not a reason to begin an empty one.
    url = URL.create("sqlite+aiosqlite", database=f"file:{quote(str(path))}", query={"uri": "true", "mode": "rw"})
    engine = create_async_engine(
        url,
        hide_parameters=True,
        pool_size=size,
        max_overflow=0,
        pool_timeout=QUEUE_SECONDS,
        connect_args={"timeout": busy_seconds},
        pool_reset_on_return=None,
    )

    def about_to_connect(*_: object) -> None:
        # The driver leaves a thread behind when a connection cannot be opened.
        if not os.access(path, os.R_OK | os.W_OK):
            raise FileNotFoundError

    def connected(connection: Any, _record: object) -> None:
        try:
            connection.isolation_level = None  # the driver begins nothing by itself
            prepare(connection)
        except BaseException:
            connection.close()
            raise

    def returned(connection: Any, *_: object) -> None:
        # Asking is free; a rollback is a step to the driver's thread and back, and there is hardly ever one to make.
        if connection.driver_connection.in_transaction:
            connection.rollback()

    event.listen(engine.sync_engine, "do_connect", about_to_connect)
    event.listen(engine.sync_engine, "reset", returned)
    event.listen(engine.sync_engine, "connect", connected)
    event.listen(engine.sync_engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


def _prepare_reader(connection: Any) -> None:
    _pragmas(connection, "query_only=ON")


def _pragmas(connection: Any, *pragmas: str) -> None:
    cursor = connection.cursor()
    for pragma in pragmas:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
