"""Reads every row of every table of a server as octets, so that somebody can be searched for in all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator

from sqlalchemy import text

from tracker.store.engine import Database
from tracker.store.postgres import PostgresDatabase

_TABLES = """
    SELECT quote_ident(relname) FROM pg_class
    WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = current_schema()::regnamespace
    ORDER BY relname
"""


async def all_octets(database: Database) -> AsyncIterator[tuple[str, bytes]]:
    """The name of its table and the octets of each row, as of one moment; a table without rows comes once, empty.

    Nothing on SQLite: there the file itself can be searched. Raises StoreUnavailable.
    """
    if not isinstance(database, PostgresDatabase):
        return
    async with database.read() as connection:
        for name in (await connection.exec_driver_sql(_TABLES)).scalars().all():
            yield name, b""
            async with connection.stream(text(f"SELECT * FROM {name}")) as rows:  # noqa: S608 - quoted by the server
                async for row in rows:
                    yield name, b"\0".join(_octets(value) for value in row)


def _octets(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
