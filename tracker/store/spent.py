"""Remembers which tokens were used that are good for one POST; a digest leads back to no token and no person."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.model import Day
from tracker.store.schema import spent


async def spend(connection: AsyncConnection, digest: bytes, last_day: Day) -> bool:
    """Use the token with DIGEST, which is good until LAST_DAY; False when it was used before."""
    used = await connection.execute(upsert(spent).values(digest=digest, last_day=last_day).on_conflict_do_nothing())
    return bool(used.rowcount)


async def is_spent(connection: AsyncConnection, digest: bytes) -> bool:
    """Whether the token with DIGEST was used."""
    found = await connection.execute(select(spent.c.digest).where(spent.c.digest == digest))
    return found.first() is not None
