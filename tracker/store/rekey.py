"""Wraps every pseudonym with the keys that came since the database was last in use, in one transaction.

The law: database and key file belong to one generation or nothing is written, so that nobody's no goes unfound. A
rekey that was interrupted between the key file and the database is finished by whoever opens the database next.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlalchemy import bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.core.pseudonym import rewrap
from tracker.model import Pseudonym, StoreUnavailable, WrongKey
from tracker.store import notes
from tracker.store.engine import Database
from tracker.store.schema import recipients

CHUNK: Final = 1_000
"""Pseudonyms that are wrapped together."""


async def catch_up(database: Database, fingerprint: bytes, former: Mapping[bytes, tuple[bytes, ...]]) -> bool:
    """Bring DATABASE to the generation with FINGERPRINT; False when it is there.

    FORMER: fingerprints of earlier generations, with the keys that came after each. Raises WrongKey for a database of
    neither, StoreUnavailable.
    """
    async with database.read() as connection:
        if await notes.read(connection, notes.FINGERPRINT) == fingerprint:
            return False
    async with database.write() as connection:
        known = await notes.read(connection, notes.FINGERPRINT)
        if known == fingerprint:  # another process was faster
            return False
        later_keys = former.get(known or b"")
        if later_keys is None:
            raise WrongKey("key_file")
        await _rewrap_all(connection, later_keys)
        await notes.write(connection, notes.FINGERPRINT, fingerprint)
    return True


async def _rewrap_all(connection: AsyncConnection, later_keys: tuple[bytes, ...]) -> None:
    wrap = update(recipients).where(recipients.c.id == bindparam("person")).values(pseudonym=bindparam("wrapped"))
    page = select(recipients).order_by(recipients.c.id).limit(CHUNK)
    reached = -1
    while rows := (await connection.execute(page.where(recipients.c.id > reached))).all():
        wrapped = [{"person": row.id, "wrapped": rewrap(later_keys, Pseudonym(row.pseudonym))} for row in rows]
        await connection.execute(wrap, wrapped)
        reached = rows[-1].id


async def check(connection: AsyncConnection, fingerprint: bytes) -> None:
    """Raise StoreUnavailable while the database belongs to another generation of keys than that with FINGERPRINT."""
    if await notes.read(connection, notes.FINGERPRINT) != fingerprint:
        raise StoreUnavailable("the pseudonym key changed; the key file is read again within a minute")
