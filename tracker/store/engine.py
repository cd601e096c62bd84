"""Says what a database is to the rest of the store, whichever engine it runs on, and hides what drivers say.

The law: who writes is alone at the database, unless the statement can stand beside others; readers cannot write. What
a driver says about an error may quote values, so it never leaves this floor.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import ClassVar, Final

from sqlalchemy import inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.model import BadSetting, Day, StoreUnavailable

BUSY_SECONDS: Final = 2.0
"""How long a statement waits for a lock that another process holds."""
QUEUE_SECONDS: Final = 2.0
"""How long a transaction waits for its turn. Together less than the 5 s after which a sender sends what it has."""

Connecting = AbstractAsyncContextManager[AsyncConnection]


class RowRefused(StoreUnavailable):
    """The database works but does not take this row; others may go through."""


class Database(ABC):
    """Where the rows are. Every method raises StoreUnavailable when it cannot be reached just now."""

    TRIGGERS: ClassVar[str]
    """The query for the names of all triggers."""
    MORE_TRIGGERS: ClassVar[frozenset[str]] = frozenset()
    """Triggers that only this engine needs."""

    @property
    @abstractmethod
    def replaced(self) -> int:
        """How often another database came into the place of this one, perhaps an older one."""

    @abstractmethod
    async def look(self, *, thoroughly: bool) -> None:
        """Look whether the database is there and is the one that was opened; THOROUGHLY: also one that was damaged."""

    @abstractmethod
    def read(self) -> Connecting:
        """A connection that sees one state of the database, and cannot write."""

    @abstractmethod
    def write(self, sweep_day: Day | None = None, *, alone: bool = True) -> Connecting:
        """A connection in a transaction, committed when the block ends and rolled back when it raises.

        ALONE: nobody else writes alone meanwhile, on any server, so that what was read stays true until the commit.
        The other kind is for statements that are right whatever others write; on SQLite it is alone all the same.
        The ledger's triggers let contents go only in a transaction with a SWEEP_DAY.
        """

    def turn(self) -> AbstractAsyncContextManager[None]:
        """What a task may wait for before it knows what it will write; then its `write` does not wait any more."""
        return nullcontext()

    def others_write(self) -> bool:
        """Whether somebody lately wrote, or waited to write, to whom a long transaction is in the way."""
        return False

    @abstractmethod
    def alone(self, name: str) -> AbstractAsyncContextManager[None]:
        """Do the work NAME while the block runs, and no other process, on any server, does. Raises AnotherSweep."""

    @abstractmethod
    async def is_there(self) -> bool:
        """Whether there is a database; it may be empty."""

    @abstractmethod
    async def keeps_commits(self) -> bool:
        """Whether what was committed survives the end of every process."""

    @abstractmethod
    async def vacuum(self) -> bool:
        """Let nothing that was deleted stay in the database's files; False where only the server can do that."""

    @abstractmethod
    async def copy_to(self, folder: Path) -> Path:
        """Write a copy of this moment to a new file in FOLDER that only its owner can read; the file."""

    @abstractmethod
    async def close(self) -> None:
        """Close every connection."""


async def table_names(connection: AsyncConnection) -> frozenset[str]:
    """The tables that are there."""
    return frozenset(await connection.run_sync(lambda plain: inspect(plain).get_table_names()))


async def trigger_names(database: Database, connection: AsyncConnection) -> frozenset[str]:
    """The triggers that are there."""
    return frozenset((await connection.execute(text(database.TRIGGERS))).scalars())


def database_file(url: str) -> Path | None:
    """The file that URL names; None for a server. Raises BadSetting for what is neither."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise BadSetting("database_url: not a database URL") from None
    if parsed.drivername == "postgresql+asyncpg":
        return None
    if parsed.drivername != "sqlite+aiosqlite" or parsed.host or parsed.query:
        raise BadSetting("database_url: must be sqlite+aiosqlite:///FILE or postgresql+asyncpg://USER@HOST/DATABASE")
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
def translated(*more: type[Exception]) -> Iterator[None]:
    """Turn what the database, its driver (MORE) or the disk raise into StoreUnavailable, without their words."""
    known: tuple[type[Exception], ...] = (SQLAlchemyError, OSError, *more)
    try:
        yield
    except (IntegrityError, DataError, OverflowError, UnicodeError) as error:
        raise RowRefused(_cause(error)) from None
    except known as error:
        raise _refused(error) from None


def _refused(error: BaseException) -> StoreUnavailable:
    """A row that is at fault has an SQLSTATE of class 22 or 23; any other error is the database's own."""
    cause = _driver_error(error)
    state = getattr(cause, "sqlstate", None) or ""
    refused = state.startswith(("22", "23")) or type(cause).__name__ in {"DataError", "IntegrityError"}
    return RowRefused(_cause(error)) if refused else StoreUnavailable(_cause(error))


def _cause(error: BaseException) -> str:
    original = _driver_error(error)
    return getattr(original, "sqlite_errorname", None) or type(original).__name__


def _driver_error(error: BaseException) -> BaseException:
    """What the driver itself raised."""
    original = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    known = getattr(original, "sqlite_errorname", None) or original is error
    return original if known or original.__cause__ is None else original.__cause__
