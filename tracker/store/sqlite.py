"""The database as one SQLite file: a pool of one writer and one of a few readers.

The law: one writer connection, BEGIN IMMEDIATE for every write; readers cannot write.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from time import monotonic
from typing import Any, ClassVar, Final, TypeVar
from urllib.parse import quote

from sqlalchemy import event
from sqlalchemy.engine import URL, Dialect
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from tracker.model import Day, StoreUnavailable
from tracker.store.alone import until_alone
from tracker.store.engine import BUSY_SECONDS, QUEUE_SECONDS, Database, make_private_file, translated
from tracker.store.lock_file import open_lock_file, taken
from tracker.store.sqlite_file import DatabaseFile
from tracker.store.writer_lock import WriterLock

Answer = TypeVar("Answer")

READERS: Final = 3
CALM: Final = 60.0
"""Seconds without anybody who writes, after which nobody is expected to."""
PRAGMAS: Final = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "secure_delete=ON",
    "foreign_keys=ON",
    "temp_store=MEMORY",  # what a statement of many rows might have to take back is no file
    # Pages of the log (32 MB) before they are copied to the file: most pages of `events` are changed by many groups.
    "wal_autocheckpoint=8000",
)
"""What a writer sets."""


class SqliteDatabase(Database):
    """A SQLite file."""

    TRIGGERS: ClassVar[str] = "SELECT name FROM sqlite_master WHERE type = 'trigger'"

    def __init__(self, path: Path, busy_seconds: float = BUSY_SECONDS) -> None:
        self.path = path
        self.file = DatabaseFile(path)
        self._sweep_day: Day | None = None
        self._lock = WriterLock(path, QUEUE_SECONDS)
        self._entry: ConnectionPoolEntry | None = None
        """Of the writer's connection, once there was one."""
        self._epoch = self.file.epoch
        """That of the file to which `write_at_once` wrote last."""
        self._noted = -CALM
        """When many requests were last seen to wait for the writer, or somebody for a transaction of another's."""
        self._writer = _engine(self.file, 1, busy_seconds, "BEGIN IMMEDIATE", self._prepare_writer)
        self._readers = _engine(self.file, READERS, busy_seconds, "BEGIN", _prepare_reader)

    @property
    def replaced(self) -> int:
        """How often another file came into the place of this one, or a damaged one was put right."""
        return self.file.replaced

    async def look(self, *, thoroughly: bool) -> None:
        """Look whether the file is there and is the one that is open. Raises StoreUnavailable while it is not of use.

        One that is known to be damaged is read through when somebody wrote to it, and if THOROUGHLY.
        """
        self.file.notice()
        if self.file.is_damaged and (thoroughly or self.file.was_written):
            await self._examine()
        self.file.check()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection that sees one state of the database. Raises StoreUnavailable."""
        async with self._steady(), self._readers.begin() as connection:
            yield connection

    @asynccontextmanager
    async def write(self, sweep_day: Day | None = None, *, alone: bool = True) -> AsyncIterator[AsyncConnection]:
        """The writer in a transaction, always ALONE."""
        async with self._steady(), self._lock.turn(), self._writer.begin() as connection:
            self._sweep_day = sweep_day
            try:
                yield connection
            finally:
                self._sweep_day = None
                if self._lock.is_wanted():
                    self._noted = monotonic()

    async def write_at_once(self, work: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """What WORK returns, run in the writer's own thread. Each of its statements is a transaction of its own.

        One step to that thread and back, and past the pool, where `write` takes a step for each statement. Raises
        StoreUnavailable.
        """
        self._noted = monotonic()
        async with self._lock.turn(), self._steady():
            if not self._is_at_hand():
                async with self._writer.connect() as connection:
                    await connection.get_raw_connection()
            assert self._entry is not None
            self._epoch = self.file.epoch
            driver: Any = self._entry.driver_connection
            answer: Answer = await driver._execute(work, driver._conn)
            return answer

    def others_write(self) -> bool:
        """Whether hits or mail came in within the last minute, or somebody waited for the end of a transaction."""
        return monotonic() - self._noted < CALM

    def may_keep_turn(self) -> bool:
        """Whether what `write_at_once` wrote is in the file that stands at the path, and nobody else waits to write.

        For its WORK, between two statements.
        """
        return self.file.epoch == self._epoch and self.file.is_in_place() and not self._lock.is_wanted()

    def _is_at_hand(self) -> bool:
        """Whether the writer's connection is open, and to the file that is there now."""
        entry = self._entry
        return entry is not None and entry.dbapi_connection is not None and entry.info.get("epoch") == self.file.epoch

    async def read_at_once(self, work: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """What WORK, which is one statement that reads, returns in the thread of a reader. Raises StoreUnavailable."""
        async with self._steady(), self._readers.connect() as connection:
            driver = await _driver(connection)
            answer: Answer = await driver._execute(work, driver._conn)
            return answer

    @asynccontextmanager
    async def _steady(self) -> AsyncIterator[None]:
        """Around all work on the file: raises StoreUnavailable when the file is not of use, or is another at the end.

        What was committed to a file that was taken away meanwhile is lost: nobody is told that it is written. What
        SQLite says of the file itself is remembered.
        """
        replaced = self.file.replaced
        self._is_still(replaced)
        try:
            with translated(sqlite3.Error):
                yield
        except StoreUnavailable as error:
            self.file.error(error.detail)
            raise
        self._is_still(replaced)

    def _is_still(self, replaced: int) -> None:
        """Whoever was let in to one file must not write to another, which nobody compared with the journal."""
        self.file.check()
        if self.file.replaced != replaced:
            raise StoreUnavailable("another database file was put in place")

    async def _examine(self) -> None:
        """Read a damaged file through, and use it again when it is whole. Raises StoreUnavailable."""
        self.file.is_looked_at()
        with translated(sqlite3.Error):
            async with self._readers.connect() as connection:
                driver = await _driver(connection)
                found = await driver.execute_fetchall("PRAGMA quick_check(1)")
        if found == [("ok",)]:
            self.file.is_whole()

    @asynccontextmanager
    async def alone(self, name: str) -> AsyncIterator[None]:
        """Do the work NAME, which no other process does meanwhile. Raises AnotherSweep, StoreUnavailable."""
        with translated():
            descriptor = open_lock_file(self.path, name)

        async def take() -> bool:
            return taken(descriptor)

        try:
            await until_alone(take)
            yield
        finally:
            os.close(descriptor)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """The place in the queue of the processes that write to the file. Raises StoreUnavailable."""
        with translated():
            async with self._lock.turn():
                yield

    async def is_there(self) -> bool:
        """Whether there is a file."""
        return self.path.exists()

    async def keeps_commits(self) -> bool:
        """True: the writer is told so (synchronous=FULL)."""
        return True

    async def vacuum(self) -> bool:
        """Rewrite the file and empty the write-ahead log; True.

        Raises StoreUnavailable, also when a reader of another program kept the log from being emptied.
        """
        async with self._steady(), self._lock.turn(), self._writer.connect() as connection:
            driver = await _driver(connection)
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
        async with self._steady(), self._writer.connect() as connection:  # a reader may not; others are not held up
            driver = await _driver(connection)
            await driver.execute_fetchall("VACUUM INTO ?", (str(path),))
        return path

    async def close(self) -> None:
        """Close every connection; the last one folds the write-ahead log into the file."""
        await self._readers.dispose()
        await self._writer.dispose()
        self._lock.close()

    def _prepare_writer(self, connection: Any, entry: ConnectionPoolEntry) -> None:
        self._entry = entry
        connection.create_function("tracker_today", 0, lambda: self._sweep_day)
        _pragmas(connection, *PRAGMAS)


def _engine(
    file: DatabaseFile, size: int, busy_seconds: float, begin: str, prepare: Callable[[Any, ConnectionPoolEntry], None]
) -> AsyncEngine:
    # mode=rw: a database that was moved away is an error, not a reason to begin an empty one.
    url = URL.create("sqlite+aiosqlite", database=f"file:{quote(str(file.path))}", query={"uri": "true", "mode": "rw"})
    engine = create_async_engine(
        url,
        hide_parameters=True,
        pool_size=size,
        max_overflow=0,
        pool_timeout=QUEUE_SECONDS,
        connect_args={"timeout": busy_seconds},
        pool_reset_on_return=None,
    )

    def connect(dialect: Dialect, entry: ConnectionPoolEntry | None, words: list[Any], named: dict[str, Any]) -> Any:
        assert entry is not None
        with file.opening():  # first: the driver leaves a thread behind when a connection cannot be opened
            connection: Any = dialect.connect(*words, **named)
            try:
                file.opened()
                connection.isolation_level = None  # the driver begins nothing by itself
                prepare(connection, entry)
                _pragmas(connection, "schema_version")  # is read from the file
                entry.info["epoch"] = file.has_log()
            except BaseException:
                connection.close()
                raise
        return connection

    def about_to_use(_connection: object, entry: ConnectionPoolEntry, _proxy: object) -> None:
        file.notice()
        if entry.info["epoch"] != file.epoch:
            raise DisconnectionError  # the pool opens another

    def returned(connection: Any, *_: object) -> None:
        # Asking is free; a rollback is a step to the driver's thread and back, and there is hardly ever one to make.
        if connection.driver_connection.in_transaction:
            connection.rollback()

    event.listen(engine.sync_engine, "do_connect", connect)
    event.listen(engine.sync_engine, "reset", returned)
    event.listen(engine.sync_engine, "checkout", about_to_use)
    event.listen(engine.sync_engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


async def _driver(connection: AsyncConnection) -> Any:
    """The connection of the driver itself, past SQLAlchemy's transactions."""
    return (await connection.get_raw_connection()).driver_connection


def _prepare_reader(connection: Any, _entry: ConnectionPoolEntry) -> None:
    _pragmas(connection, "query_only=ON")


def _pragmas(connection: Any, *pragmas: str) -> None:
    cursor = connection.cursor()
    for pragma in pragmas:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


@contextmanager
def in_transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Let the statements of the block be one transaction, for who writes in the writer's own thread."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise
