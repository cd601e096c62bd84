"""Opens the database, begins and ends transactions, and turns whatever fails into StoreUnavailable.

The law: one writer connection, BEGIN IMMEDIATE for every write; readers cannot write. What a driver says about an
error may quote values, so it never leaves this module.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from tracker.model import BadSetting, Day, StoreUnavailable
from tracker.store.alone import alone
from tracker.store.writer_lock import WriterLock

READERS: Final = 3
BUSY_SECONDS: Final = 2.0
"""How long a statement waits for a lock that another process holds."""
QUEUE_SECONDS: Final = 2.0
"""How long a transaction waits for its turn. Together less than the 5 s after which a sender sends what it has."""


class RowRefused(StoreUnavailable):
    """The database works but does not take this row; others may go through."""


class Database:
    """A SQLite file with its pools of one writer and a few readers."""

    def __init__(self, path: Path, busy_seconds: float = BUSY_SECONDS) -> None:
        self.path = path
        self._sweep_day: Day | None = None
        self._lock = WriterLock(path, QUEUE_SECONDS)
        self._writer = _engine(path, 1, busy_seconds, "BEGIN IMMEDIATE", self._prepare_writer)
        self._readers = _engine(path, READERS, busy_seconds, "BEGIN", _prepare_reader)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection that sees one state of the database. Raises StoreUnavailable."""
        with translated():
            async with self._readers.begin() as connection:
                yield connection

    @asynccontextmanager
    async def write(self, sweep_day: Day | None = None) -> AsyncIterator[AsyncConnection]:
        """The writer in a transaction, committed when the block ends and rolled back when it raises.

        The ledger's triggers let contents go only in a transaction with a SWEEP_DAY. Raises StoreUnavailable.
        """
        with translated():
            async with self._lock.turn(), self._writer.begin() as connection:
                self._sweep_day = sweep_day
                try:
                    yield connection
                finally:
                    self._sweep_day = None

    async def vacuum(self) -> None:
        """Rewrite the file and empty the write-ahead log.

        Raises StoreUnavailable, also when a reader of another program kept the log from being emptied.
        """
        with translated():
            async with self._lock.turn(), self._writer.connect() as connection:
                driver: Any = (await connection.get_raw_connection()).driver_connection
                await driver.execute_fetchall("VACUUM")
                ((busy, _, _),) = await driver.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")
        if busy:
            raise StoreUnavailable("another program reads the database: what was deleted is still in its log")

    @asynccontextmanager
    async def alone(self, name: str) -> AsyncIterator[None]:
        """Do the work NAME, which no other process does meanwhile. Raises AnotherSweep, StoreUnavailable."""
        async with AsyncExitStack() as stack:
            with translated():
                await stack.enter_async_context(alone(self.path, name))
            yield

    async def copy_to(self, path: Path) -> None:
        """Write a copy of this moment to PATH, a new file that only its owner can read. Raises StoreUnavailable.

        VACUUM INTO rather than a copy page by page: it leaves out what index pages remember of deleted rows.
        """
        make_private_file(path)
        with translated():
            async with self._writer.connect() as connection:  # a reader may not; other processes are not held up
                driver: Any = (await connection.get_raw_connection()).driver_connection
                await driver.execute_fetchall("VACUUM INTO ?", (str(path),))

    async def close(self) -> None:
        """Close every connection; the last one folds the write-ahead log into the file."""
        await self._readers.dispose()
        await self._writer.dispose()
        self._lock.close()

    def _prepare_writer(self, connection: Any) -> None:
        connection.create_function("tracker_today", 0, lambda: self._sweep_day)
        _pragmas(connection, "journal_mode=WAL", "synchronous=FULL", "secure_delete=ON", "foreign_keys=ON")


def database_path(url: str) -> Path:
    """The file that URL names. Raises BadSetting for anything but sqlite+aiosqlite with a file."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise BadSetting("database_url: not a database URL") from None
    if parsed.drivername != "sqlite+aiosqlite" or parsed.host or parsed.query:
        raise BadSetting("database_url: must be sqlite+aiosqlite:///FILE")
    if not parsed.database or parsed.database == ":memory:" or parsed.database.startswith("file:"):
        raise BadSetting("database_url: must name a file")
    return Path(parsed.database).absolute()


def make_private_file(path: Path) -> None:
    """Make PATH an empty file that only its owner can read; SQLite gives its log files the same mode.

    Raises StoreUnavailable. A file that is there stays as it is, but for its mode: it is not even opened, since
    closing it again would take away the locks that SQLite holds on it in this process.
    """
    with translated():
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            path.chmod(0o600)


@contextmanager
def translated() -> Iterator[None]:
    """Turn what the database, its driver or the disk raise into StoreUnavailable, without their words."""
    try:
        yield
    except (IntegrityError, OverflowError, UnicodeError) as error:
        raise RowRefused(_cause(error)) from None
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise StoreUnavailable(_cause(error)) from None


def _cause(error: BaseException) -> str:
    original = error.orig if isinstance(error, DBAPIError) else error
    return getattr(original, "sqlite_errorname", None) or type(original).__name__


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

    event.listen(engine.sync_engine, "do_connect", about_to_connect)
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


async def table_names(connection: AsyncConnection) -> frozenset[str]:
    """The tables that are there."""
    rows = await connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'"))
    return frozenset(rows.scalars())
