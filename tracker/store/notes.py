"""Reads and writes the notes of an installation about itself: names and values, nothing personal."""

from __future__ import annotations

from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.store.schema import installation
from tracker.store.upsert import upsert

FINGERPRINT: Final = "fingerprint"
"""Of the pseudonym keys that the rows of `recipients` were made with."""
VOUCHED_SINCE: Final = "vouched since"
"""No consent from before this instant counts, since a no that followed it may be lost."""
COMPATIBLE_FROM: Final = "compatible from"
"""The oldest schema whose release may work on the one that is there."""
BACKUP: Final = "backup"
"""The folder of the last backup."""
TOLD_UNTIL: Final = "webhooks told until"
"""The last entry of the ledger that webhooks need not tell of any more."""

PING: Final = "ping"
"""Changes whenever somebody asks whether the database can be written."""


async def read(connection: AsyncConnection, name: str) -> bytes | None:
    """The value that is noted under NAME."""
    found = await connection.execute(select(installation.c.value).where(installation.c.name == name))
    value: bytes | None = found.scalar_one_or_none()
    return value


async def write(connection: AsyncConnection, name: str, value: bytes) -> None:
    """Note VALUE under NAME."""
    note = upsert(installation).values(name=name, value=value)
    await connection.execute(note.on_conflict_do_update(index_elements=["name"], set_={"value": note.excluded.value}))


async def change(connection: AsyncConnection, name: str) -> None:
    """Note something else under NAME than what is noted there: SQLite writes nothing where nothing changes."""
    await write(connection, name, b"\1" if await read(connection, name) == b"\0" else b"\0")
