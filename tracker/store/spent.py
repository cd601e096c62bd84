"""Remembers the tokens that are good for one POST and were used, until they would have ended anyway."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.model import Day
from tracker.store.schema import spent
from tracker.store.upsert import upsert


async def spend(connection: AsyncConnection, digest: bytes, last_day: Day) -> bool:
    """Note that the token with that DIGEST was used; False when it had been. LAST_DAY: that of the token."""
    noted = await connection.execute(
        upsert(spent).values(digest=digest, last_day=last_day).on_conflict_do_nothing(index_elements=["digest"])
    )
    return bool(noted.rowcount)


async def spend_all(connection: AsyncConnection, digests: Sequence[bytes], last_day: Day) -> None:
    """Note all of DIGESTS; those that were noted before stay as they are."""
    statement = upsert(spent).on_conflict_do_nothing(index_elements=["digest"])
    await connection.execute(statement, [{"digest": digest, "last_day": last_day} for digest in sorted(digests)])


async def among(connection: AsyncConnection, digests: Sequence[bytes]) -> frozenset[bytes]:
    """Those of DIGESTS that are noted."""
    return frozenset((await connection.execute(select(spent.c.digest).where(spent.c.digest.in_(digests)))).scalars())


async def forget(connection: AsyncConnection, digests: Sequence[bytes]) -> None:
    """Let what has one of DIGESTS be used again."""
    await connection.execute(delete(spent).where(spent.c.digest.in_(digests)))


async def is_spent(connection: AsyncConnection, digest: bytes) -> bool:
    """Whether the token with that DIGEST was used."""
    found = await connection.execute(select(spent.c.digest).where(spent.c.digest == digest))
    return found.first() is not None
