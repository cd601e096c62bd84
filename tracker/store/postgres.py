"""The database on a PostgreSQL server: a pool for reading and one for writing, and nothing that waits for long.

The law: who writes alone holds one lock of the whole database, on every server; hits and mail never wait for it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar, Final
from weakref import WeakSet

import asyncpg
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from tracker.model import BadSetting, Day, StoreUnavailable
from tracker.store.engine import Database, make_private_file, translated

READERS: Final = 4
WRITERS: Final = 4
CONNECT_SECONDS: Final = 1.0
LOCK_SECONDS: Final = 1.0
"""How long a statement waits for what another transaction holds."""
QUEUE_SECONDS: Final = 1.0
"""How long a transaction waits for a connection, or to be alone."""
STATEMENT_SECONDS: Final = 2.0
"""How long a statement may take, waiting included. In all less than the 5 s after which a sender sends what it has."""
GRACE_SECONDS: Final = 0.5
"""How much later than the server we give a statement up ourselves: the server is gone, or the network to it."""

DUMP: Final = "tracker.dump"
"""What the copy in a backup is called; pg_restore reads it."""
ALONE: Final = 7_272_001
"""The advisory lock of whoever writes alone."""
OPTIONS: Final = frozenset({"host", "sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "target_session_attrs"})
"""What may follow the question mark in the URL, as PostgreSQL's own programs call it."""


class PostgresDatabase(Database):
    """A database on a server."""

    TRIGGERS: ClassVar[str] = (
        "SELECT tgname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid"
        " WHERE NOT tgisinternal AND tgenabled IN ('O', 'A') AND relnamespace = current_schema()::regnamespace"
    )

    MORE_TRIGGERS: ClassVar[frozenset[str]] = frozenset(
        f"{table}_no_truncate" for table in ("ledger", "ledger_contents", "ledger_ends")
    )

    def __init__(self, url: str, lock_seconds: float = LOCK_SECONDS, *, patient: bool = False) -> None:
        """PATIENT: for work on the whole database, whose statements may take as long as they need."""
        self.dsn = dsn(url)
        self.days: set[Day] = set()
        """Last days whose partitions are known to be there."""
        self._turn = asyncio.Lock()
        self._readers = _Pool(self.dsn, READERS, lock_seconds, patient, reading=True)
        self._writers = _Pool(self.dsn, WRITERS, lock_seconds, patient, reading=False)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection that sees one state of the database. Raises StoreUnavailable."""
        async with self._readers.begin() as connection:
            yield connection

    @asynccontextmanager
    async def write(self, sweep_day: Day | None = None, *, alone: bool = True) -> AsyncIterator[AsyncConnection]:
        """A connection in a transaction, ALONE or not. Raises StoreUnavailable."""
        async with self._my_turn(alone), self._writers.begin() as connection:
            if alone:
                await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ALONE})")
            if sweep_day is not None:
                await connection.exec_driver_sql(f"SET LOCAL tracker.sweep_day = {int(sweep_day)}")
            yield connection

    @asynccontextmanager
    async def _my_turn(self, alone: bool) -> AsyncIterator[None]:
        """Of those who want to be alone only one waits on a connection: the others are for hits and mail."""
        if not alone:
            yield
            return
        try:
            async with asyncio.timeout(QUEUE_SECONDS):
                await self._turn.acquire()
        except TimeoutError:
            raise StoreUnavailable("busy") from None
        try:
            yield
        finally:
            self._turn.release()

    async def is_there(self) -> bool:
        """True: a server that has no such database is unavailable."""
        return True

    async def vacuum(self) -> bool:
        """False: the server's autovacuum frees pages and writes over them, and whole days are dropped as files."""
        return False

    async def copy_to(self, folder: Path) -> Path:
        """Write what pg_dump gives of this moment to a new file in FOLDER. Raises StoreUnavailable."""
        path = folder / DUMP
        make_private_file(path)
        url = make_url(self.dsn)
        secret = {} if url.password is None else {"PGPASSWORD": str(url.password)}  # arguments are seen by everybody
        plain = url._replace(password=None).render_as_string()
        with translated():
            dump = await asyncio.create_subprocess_exec(
                *(
                    "pg_dump",
                    "--format=custom",
                    "--no-owner",
                    "--no-privileges",
                    "--file",
                    str(path),
                    "--dbname",
                    plain,
                ),
                stdin=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,  # its words may quote values
                env={**os.environ, **secret},
            )
            if await dump.wait():
                raise StoreUnavailable("pg_dump failed: is it of the server's release or a later one?")
        return path

    async def close(self) -> None:
        """Close every connection."""
        await self._readers.dispose()
        await self._writers.dispose()


class _Pool:
    """Some connections, of which none that is dead is used twice."""

    def __init__(self, dsn: str, size: int, lock_seconds: float, patient: bool, *, reading: bool) -> None:
        self._dsn = dsn
        self._command_seconds = None if patient else STATEMENT_SECONDS + GRACE_SECONDS
        self._settings = {
            "application_name": "tracker",
            "default_transaction_read_only": "on" if reading else "off",
            "default_transaction_isolation": "repeatable read" if reading else "read committed",
            "statement_timeout": "0" if patient else _milliseconds(STATEMENT_SECONDS),
            "lock_timeout": _milliseconds(lock_seconds),
            # What a process holds that hangs, or a machine that lost its power, is free again within a minute.
            "idle_in_transaction_session_timeout": "60000",
            "tcp_keepalives_idle": "10",
            "tcp_keepalives_interval": "5",
            "tcp_keepalives_count": "3",
            "jit": "off",
            # Partitions are joined day by day, by their indexes: otherwise all days' rows are read to be hashed.
            "enable_partitionwise_join": "on",
        }
        self._open: WeakSet[asyncpg.Connection] = WeakSet()
        self._engine = create_async_engine(
            URL.create("postgresql+asyncpg"),
            async_creator=self._connect,
            hide_parameters=True,
            pool_size=size,
            max_overflow=0,
            pool_timeout=QUEUE_SECONDS,
            pool_pre_ping=True,  # a server that was started again is noticed before anything is lost by it
        )

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """A connection in a transaction. Raises StoreUnavailable."""
        with translated(asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            try:
                async with self._engine.begin() as connection:
                    yield connection
            except TimeoutError:
                self._hang_up()
                raise

    async def dispose(self) -> None:
        """Close every connection."""
        await self._engine.dispose()

    async def _connect(self) -> asyncpg.Connection:
        connection = await asyncpg.connect(
            self._dsn,
            timeout=CONNECT_SECONDS,
            command_timeout=self._command_seconds,
            server_settings=self._settings,
        )
        self._open.add(connection)
        return connection

    def _hang_up(self) -> None:
        """One gave no answer, not even that it took too long: those that nobody uses just now may be as dead."""
        for connection in list(self._open):
            if not connection.is_closed() and not connection.is_in_transaction():
                connection.terminate()


def dsn(url: str) -> str:
    """URL as the driver reads it. Raises BadSetting for options that we do not know."""
    parsed = make_url(url)
    unknown = parsed.query.keys() - OPTIONS
    if unknown:
        raise BadSetting(f"database_url: unknown option {min(unknown)}; known are {', '.join(sorted(OPTIONS))}")
    if not parsed.database:
        raise BadSetting("database_url: must name a database")
    return parsed.set(drivername="postgresql").render_as_string(hide_password=False)


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))
