"""Makes the database of a new installation, brings one to this release, and tells whether this release fits one.

The law: servers are upgraded one by one, so that the release before goes on working on the newer schema. A migration
only adds. One that the release before could not live with says so: `compatible_from = "NNNN"` in its module names the
oldest schema whose release may work on it; without that line nothing changes in this.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.model import Notice, SchemaAhead, SchemaBehind, SetupError, WrongKey
from tracker.store import notes
from tracker.store.databases import database_of
from tracker.store.engine import Database, database_file, make_private_file, table_names, trigger_names
from tracker.store.notices import add_notice
from tracker.store.schema import HEAD, TRIGGERS, metadata

MIGRATIONS: Final = Path(__file__).parent / "migrations"
UPGRADE_SECONDS: Final = 60.0
"""How long an upgrade waits for another one, or for whoever writes."""


async def create(url: str, fingerprint: bytes, notices: Sequence[Notice]) -> None:
    """Make the tables in the database that URL names, bound to the key file with FINGERPRINT, and the first NOTICES.

    A file is made too, a database on a server must be there. Raises SetupError when it holds tables already,
    BadSetting, StoreUnavailable.
    """
    if (path := database_file(url)) is not None:
        make_private_file(path)
    database = database_of(url, patient=True)
    try:
        async with database.write() as connection:
            if await table_names(connection):
                raise SetupError("database_url: there is a database already; it was not touched")
            await make_tables(connection)
            await notes.write(connection, notes.COMPATIBLE_FROM, HEAD.encode("ascii"))
            await notes.write(connection, notes.FINGERPRINT, fingerprint)
            for notice in notices:
                await add_notice(connection, notice)
    finally:
        await database.close()


async def unmake(url: str) -> None:
    """Take away what `create` has just made in the database that URL names."""
    if (path := database_file(url)) is not None:
        for suffix in ("", "-wal", "-shm", "-next", "-turn", "-sweep"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        return
    database = database_of(url, patient=True)
    try:
        async with database.write() as connection:
            await connection.run_sync(metadata.drop_all)
            await connection.exec_driver_sql("DROP TABLE alembic_version")
            for function in sorted(TRIGGERS | database.MORE_TRIGGERS | {"tracker_today"}):
                await connection.exec_driver_sql(f"DROP FUNCTION {function}()")
    finally:
        await database.close()


async def make_tables(connection: AsyncConnection) -> None:
    """Make the tables of this release, in the caller's transaction."""
    await connection.run_sync(_upgrade)


async def check(database: Database, fingerprints: Set[bytes]) -> None:
    """Raise unless this release can work on DATABASE, and it belongs to a key file with one of FINGERPRINTS.

    A database that a newer release upgraded may still be good for this one. Raises SchemaBehind, SchemaAhead, WrongKey.
    """
    if not await database.is_there():
        raise SchemaBehind("database_url: no file there")
    async with database.read() as connection:
        version = await version_of(connection)
        if version is None:
            raise SchemaBehind("database_url: no tables there")
        if version < HEAD:
            raise SchemaBehind("database_url: made by an older release")
        if version > HEAD and not await _compatible(connection):
            raise SchemaAhead("database_url")
        known = await notes.read(connection, notes.FINGERPRINT)
    if known is None or not any(hmac.compare_digest(known, each) for each in fingerprints):
        raise WrongKey("key_file")


async def upgrade(url: str) -> tuple[str, str]:
    """Bring the database that URL names to this release's schema; which it had, and which it has now.

    Safe while servers of the release before run, and when several do it at once. A newer schema stays as it is.
    Raises SchemaBehind where there are no tables, BadSetting, StoreUnavailable.
    """
    database = database_of(url, UPGRADE_SECONDS, patient=True)
    try:
        if not await database.is_there():
            raise SchemaBehind("database_url: no file there")
        async with database.write() as connection:
            before = await version_of(connection)
            if before is None:
                raise SchemaBehind("database_url: no tables there")
            if before >= HEAD:
                return before, before
            await connection.run_sync(_upgrade)
            oldest = _oldest_release(before)
            if oldest is not None:
                await notes.write(connection, notes.COMPATIBLE_FROM, oldest.encode("ascii"))
            return before, HEAD
    finally:
        await database.close()


async def missing_triggers(database: Database) -> frozenset[str]:
    """The triggers of this release that somebody took out of DATABASE."""
    async with database.read() as connection:
        return (TRIGGERS | database.MORE_TRIGGERS) - await trigger_names(database, connection)


async def version_of(connection: AsyncConnection) -> str | None:
    """The last migration that the database has seen; None where there are no tables."""
    if "alembic_version" not in await table_names(connection):
        return None
    version: str | None = (
        await connection.execute(text("SELECT version_num FROM alembic_version"))
    ).scalar_one_or_none()
    return version


async def _compatible(connection: AsyncConnection) -> bool:
    """Whether the newer release that made this schema said that this one may go on working with it."""
    oldest = await notes.read(connection, notes.COMPATIBLE_FROM)
    return oldest is not None and oldest.decode("ascii") <= HEAD


def _oldest_release(before: str) -> str | None:
    """The oldest schema whose release may work on this one, if that changed with the migrations after BEFORE."""
    changed = [
        str(script.module.compatible_from)
        for script in ScriptDirectory.from_config(_config()).walk_revisions(base="base", head=HEAD)
        if script.revision > before and hasattr(script.module, "compatible_from")
    ]
    return max(changed, default=None)


def _upgrade(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, HEAD)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
