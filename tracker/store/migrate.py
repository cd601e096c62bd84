"""Makes the database of a new installation, and tells whether one is of this release."""

from __future__ import annotations

import hmac
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from tracker.model import Notice, SchemaBehind, SetupError, WrongKey
from tracker.store import notes
from tracker.store.databases import database_of
from tracker.store.engine import Database, database_file, make_private_file, table_names, trigger_names
from tracker.store.notices import add_notice
from tracker.store.schema import HEAD, TRIGGERS

MIGRATIONS: Final = Path(__file__).parent / "migrations"


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
            await connection.run_sync(_upgrade)
            await notes.write(connection, notes.FINGERPRINT, fingerprint)
            for notice in notices:
                await add_notice(connection, notice)
    finally:
        await database.close()


async def check(database: Database, fingerprints: Set[bytes]) -> None:
    """Raise SchemaBehind or WrongKey unless DATABASE is of this release and of a key file with one of FINGERPRINTS."""
    if not await database.is_there():
        raise SchemaBehind("database_url: no file there")
    async with database.read() as connection:
        if "alembic_version" not in await table_names(connection):
            raise SchemaBehind("database_url: no tables there")
        version = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar_one_or_none()
        if version != HEAD:
            raise SchemaBehind("database_url")
        known = await notes.read(connection, notes.FINGERPRINT)
    if known is None or not any(hmac.compare_digest(known, each) for each in fingerprints):
        raise WrongKey("key_file")


async def missing_triggers(database: Database) -> frozenset[str]:
    """The triggers of this release that somebody took out of DATABASE."""
    async with database.read() as connection:
        return (TRIGGERS | database.MORE_TRIGGERS) - await trigger_names(database, connection)


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, HEAD)
