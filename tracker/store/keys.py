"""Keeps API keys: their names, what they may do, and digests of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from functools import partial
from typing import Final

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.model import ApiKey, Day, Scope
from tracker.store.engine import Database
from tracker.store.schema import api_keys
from tracker.store.sqlite import SqliteDatabase
from tracker.store.upsert import upsert

_COLUMNS: Final = tuple(
    api_keys.c[name] for name in ("digest", "name", "scopes", "created_day", "owner", "revoked_day")
)


async def add_key(connection: AsyncConnection, key: ApiKey, digest: bytes) -> bool:
    """Put KEY on file; False when there is, or was, one of that name."""
    added = await connection.execute(
        upsert(api_keys)
        .values(
            name=key.name,
            digest=digest,
            scopes=" ".join(sorted(key.scopes)),
            owner=key.owner,
            created_day=key.created_day,
            revoked_day=key.revoked_day,
        )
        .on_conflict_do_nothing(index_elements=["name"])
    )
    return bool(added.rowcount)


async def read_keys(database: Database, items: Sequence[tuple[bytes, Day]]) -> list[ApiKey | None]:
    """The key with each digest, unless it was revoked on the day named with it or before. Raises StoreUnavailable."""
    async with database.read() as connection:
        rows = await connection.execute(select(*_COLUMNS).where(api_keys.c.digest.in_({digest for digest, _ in items})))
        found = {digest: _key(*fields) for digest, *fields in rows}
    return [_unless_revoked(found.get(digest), today) for digest, today in items]


async def read_keys_at_once(database: SqliteDatabase, items: Sequence[tuple[bytes, Day]]) -> list[ApiKey | None]:
    """The same on SQLite, in one step to a reader's thread and back."""
    found = await database.read_at_once(partial(_found, {digest for digest, _ in items}))
    return [_unless_revoked(found.get(digest), today) for digest, today in items]


def _found(digests: Collection[bytes], connection: sqlite3.Connection) -> dict[bytes, ApiKey]:
    columns = ", ".join(column.name for column in _COLUMNS)
    query = f"SELECT {columns} FROM api_keys WHERE digest IN ({', '.join('?' * len(digests))})"  # noqa: S608
    return {digest: _key(*fields) for digest, *fields in connection.execute(query, tuple(digests))}


async def all_keys(connection: AsyncConnection) -> tuple[ApiKey, ...]:
    """Every key by name, revoked ones too."""
    rows = await connection.execute(select(*_COLUMNS).order_by(api_keys.c.name))
    return tuple(_key(*fields) for _, *fields in rows)


async def revoke_key(connection: AsyncConnection, name: str, today: Day) -> bool:
    """Let the key NAME open nothing from TODAY on; False when there is none."""
    revoked = await connection.execute(
        update(api_keys).where(api_keys.c.name == name, api_keys.c.revoked_day.is_(None)).values(revoked_day=today)
    )
    if revoked.rowcount:
        return True
    return (await connection.execute(select(api_keys.c.name).where(api_keys.c.name == name))).first() is not None


def _unless_revoked(key: ApiKey | None, today: Day) -> ApiKey | None:
    return None if key is None or (key.revoked_day is not None and key.revoked_day <= today) else key


def _key(name: str, scopes: str, created_day: int, owner: str | None, revoked_day: int | None) -> ApiKey:
    return ApiKey(
        name=name,
        scopes=frozenset(Scope(scope) for scope in scopes.split()),
        created_day=Day(created_day),
        owner=owner,
        revoked_day=None if revoked_day is None else Day(revoked_day),
    )
