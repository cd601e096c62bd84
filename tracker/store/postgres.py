"""The database on a PostgreSQL server: a pool for reading and one for writing, and nothing that waits for long.

The law: who writes alone holds one lock of the whole database, on every server; hits and mail never wait for it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import ClassVar, Final
from weakref import WeakSet
from zlib import crc32

import asyncpg
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from tracker.model import BadSetting, Day, StoreUnavailable
from tracker.store.alone import until_alone
from tracker.store.engine import BUSY_SECONDS, Database, RowRefused, make_private_file, translated

READERS: Final = 4
WRITERS: Final = 4
CONNECT_SECONDS: Final = 1.0
QUEUE_SECONDS: Final = 1.0
"""How long a transaction waits for a connection, or to be alone."""
STATEMENT_SECONDS: Final = 2.0
"""How long a statement may take, locks included. In all less than the 5 s after which a sender sends what it has."""
GRACE_SECONDS: Final = 0.5
"""How much later than the server we give a statement up ourselves: the server is gone, or the network to it."""

GOODBYE_SECONDS: Final = 0.3
PASSING_SECONDS: Final = 0.03
"""How long is waited for a row that can as well be left out."""
LOCK_NOT_AVAILABLE: Final = "55P03"
DUMP: Final = "tracker.dump"
"""What the copy in a backup is called; pg_restore reads it."""
ALONE: Final = 7_272_001
"""The advisory lock of whoever writes alone; with a second number, of whoever does a longer work alone."""
KEEP_ALIVE: Final = {"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3"}
DRIVER_ERRORS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
SERVER: Final = (
    "SELECT concat_ws(' ', pg_postmaster_start_time(), oid) FROM pg_database WHERE datname = current_database()"
)
"""Says where a connection leads. A server that was restored, or takes over from another, was started at another time.

Not its address: one server may have several.
"""
DURABLE: Final = (
    "SELECT set_config('synchronous_commit', CASE own WHEN 'off' THEN 'local' ELSE own END, false)"
    " FROM current_setting('synchronous_commit') AS own"
)
"""Lets what is committed be on the server's disk before it is acknowledged, whatever the server's default becomes.

`off` alone is raised, and no higher than that takes: whether to wait for standbys too (`remote_write`, `on`,
`remote_apply`), or expressly not (`local`), is for who runs them, since one that is away would hold up every commit.
"""
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

    def __init__(self, url: str, lock_seconds: float = BUSY_SECONDS, *, patient: bool = False) -> None:
        """PATIENT: for work on the whole database, whose statements may take as long as they need."""
        self.dsn = dsn(url)
        self._patient = patient
        self.days: set[Day] = set()
        """Last days whose partitions are known to be there."""
        self._turn = asyncio.Lock()
        self._server = ""
        self._replaced = 0
        wait = min(lock_seconds, STATEMENT_SECONDS)
        self._readers = _Pool(self.dsn, READERS, wait, patient, self._connected, reading=True)
        self._writers = _Pool(self.dsn, WRITERS, wait, patient, self._connected, reading=False)

    @property
    def replaced(self) -> int:
        """How often the server was found to have been started anew, or another to be in its place, or the database."""
        return self._replaced

    async def look(self, *, thoroughly: bool) -> None:
        """Nothing: a server that was away is noticed by the next connection to it, before a statement."""

    async def _connected(self, connection: asyncpg.Connection) -> None:
        """A connection was made: after a restore from a backup, or to a standby, it finds an older database perhaps.

        Then those that were made before are cut off: they may lead to the other server, which perhaps lives on.
        """
        server = str(await connection.fetchval(SERVER))
        if self._server not in ("", server):
            self._replaced += 1
            self._readers.cut_off()
            self._writers.cut_off()
        self._server = server

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection that sees one state of the database. Raises StoreUnavailable."""
        replaced = self._replaced
        async with self._readers.begin() as connection:
            self._is_still(replaced)
            yield connection

    @asynccontextmanager
    async def write(self, sweep_day: Day | None = None, *, alone: bool = True) -> AsyncIterator[AsyncConnection]:
        """A connection in a transaction, ALONE or not. Raises StoreUnavailable."""
        replaced = self._replaced
        try:
            async with self._my_turn(alone), self._writers.begin() as connection:
                self._is_still(replaced)
                if alone:
                    await self._be_alone(connection)
                if sweep_day is not None:
                    await connection.exec_driver_sql(f"SET LOCAL tracker.sweep_day = {int(sweep_day)}")
                yield connection
        except RowRefused:
            self.days.clear()  # perhaps a partition went with a database that went back: look again
            raise

    async def _be_alone(self, connection: AsyncConnection) -> None:
        if self._patient:  # with whoever is alone, but not with tables, at which hits would queue up behind us
            await connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
        await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ALONE})")
        if self._patient:
            await connection.exec_driver_sql("SET LOCAL lock_timeout TO DEFAULT")

    def _is_still(self, replaced: int) -> None:
        """Whoever was let in to one database must not write to another, which nobody compared with the journal."""
        if self._replaced != replaced:
            raise StoreUnavailable("the server was started anew")

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

    @asynccontextmanager
    async def alone(self, name: str) -> AsyncIterator[None]:
        """Do the work NAME, which no other process does meanwhile. Raises AnotherSweep, StoreUnavailable."""
        with translated(*DRIVER_ERRORS):
            connection = await asyncpg.connect(
                self.dsn, timeout=CONNECT_SECONDS, command_timeout=STATEMENT_SECONDS, server_settings=KEEP_ALIVE
            )
        try:
            with translated(*DRIVER_ERRORS):
                await until_alone(partial(_taken, connection, crc32(name.encode()) >> 1))
            yield
        finally:
            connection.terminate()  # the lock goes with it

    async def is_there(self) -> bool:
        """True: a server that has no such database is unavailable."""
        return True

    async def keeps_commits(self) -> bool:
        """Whether it stayed as each connection sets it (`DURABLE`), which a pooler between may undo."""
        async with self.read() as connection:
            value: str = (await connection.exec_driver_sql("SHOW synchronous_commit")).scalar_one()
            return value != "off"

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

    def __init__(
        self,
        dsn: str,
        size: int,
        lock_seconds: float,
        patient: bool,
        connected: Callable[[asyncpg.Connection], Awaitable[None]],
        *,
        reading: bool,
    ) -> None:
        self._dsn = dsn
        self._connected = connected
        self._command_seconds = None if patient else STATEMENT_SECONDS + GRACE_SECONDS
        self._settings = {
            "application_name": "tracker",
            # Who writes keeps to the server's own word: hosters forbid writing while the disk is nearly full.
            **({"default_transaction_read_only": "on"} if reading else {}),
            "default_transaction_isolation": "repeatable read" if reading else "read committed",
            "statement_timeout": "0" if patient else _milliseconds(STATEMENT_SECONDS),
            "lock_timeout": _milliseconds(lock_seconds),
            # What a process holds that hangs, or a machine that lost its power, is free again within a minute.
            "idle_in_transaction_session_timeout": "60000",
            **KEEP_ALIVE,
            # Every statement here finds its rows by a key, and tables fill up before their statistics are made.
            "enable_seqscan": "off",
            "jit": "off",
            # Joined row by row: to sort or hash a day, or all grants, costs in proportion to what there is. Work on
            # the whole database reads that much anyway.
            "enable_hashjoin": "on" if patient else "off",
            "enable_mergejoin": "on" if patient else "off",
            "max_parallel_workers_per_gather": "2" if patient else "0",
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
        with translated(*DRIVER_ERRORS):
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
            connection_class=_Connection,
            timeout=CONNECT_SECONDS,
            command_timeout=self._command_seconds,
            server_settings=self._settings,
        )
        try:
            await connection.execute(DURABLE)
            await self._connected(connection)
        except BaseException:
            connection.terminate()
            raise
        self._open.add(connection)  # without a wait since it was found to lead where all others do
        return connection

    def cut_off(self) -> None:
        """End every connection at once, with what is under way on it."""
        for connection in list(self._open):
            connection.terminate()

    def _hang_up(self) -> None:
        """One gave no answer, not even that it took too long: those that nobody uses just now may be as dead."""
        for connection in list(self._open):
            if not connection.is_closed() and not connection.is_in_transaction():
                connection.terminate()


class _Connection(asyncpg.Connection):  # type: ignore[misc]
    """One that says goodbye, but not for long: a server that is gone does not answer."""

    async def close(self, *, timeout: float | None = None) -> None:
        """Close it, at once if need be; the pool's TIMEOUT would be too long for who waits for another one."""
        with suppress(TimeoutError):  # then it is cut off
            await super().close(timeout=GOODBYE_SECONDS)


@asynccontextmanager
async def passing_over(connection: AsyncConnection) -> AsyncIterator[None]:
    """Leave out what the block writes if that would have to wait for somebody else's transaction.

    For what is brought again anyway. On SQLite nobody else writes meanwhile.
    """
    if connection.dialect.name != "postgresql":
        yield
        return
    try:
        async with connection.begin_nested():
            await connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_milliseconds(PASSING_SECONDS)}ms'")
            yield
            await connection.exec_driver_sql("SET LOCAL lock_timeout TO DEFAULT")
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
            raise


async def _taken(connection: asyncpg.Connection, number: int) -> bool:
    return bool(await connection.fetchval("SELECT pg_try_advisory_lock($1, $2)", ALONE, number))


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
