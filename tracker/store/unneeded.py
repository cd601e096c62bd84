"""Deletes people of whom nothing else is held any more: the code that leads to them is personal, too."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from sqlalchemy import delete, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.store.engine import Database
from tracker.store.pace import Pace
from tracker.store.schema import ledger_contents, metadata, recipients

PAGE: Final = 1_000
"""People that are looked through at once."""

_HOLDERS: Final = (  # first those that hold most people, so that the search for others ends there
    ledger_contents,
    *(table for table in metadata.sorted_tables if "recipient" in table.c and table is not ledger_contents),
)
_UNNEEDED: Final = ~or_(*(exists().where(table.c.recipient == recipients.c.id) for table in _HOLDERS))


async def forget_unneeded(connection: AsyncConnection, people: Collection[int]) -> int:
    """Delete those of PEOPLE (their ids) on whom nothing hangs any more; how many.

    In the transaction that deleted what hung on them: a crash leaves nobody behind.
    """
    if not people:
        return 0
    return (await connection.execute(delete(recipients).where(recipients.c.id.in_(people), _UNNEEDED))).rowcount


async def look_for_unneeded(database: Database) -> int:
    """Look through all recipients and delete those on whom nothing hangs; how many. Raises StoreUnavailable.

    What is deleted takes its person along; this finds who was left in any other way. It reads every recipient, so it
    is no part of the sweep.
    """
    deleted, reached = 0, -1
    pace = Pace()  # of reading, which is in nobody's way; hardly ever is there anything to delete
    while True:
        page = select(recipients.c.id).where(recipients.c.id > reached).order_by(recipients.c.id).limit(PAGE)
        async with database.read() as connection:
            with pace.measured():
                seen = (await connection.execute(page)).scalars().all()
                unneeded = select(recipients.c.id).where(recipients.c.id.in_(seen), _UNNEEDED)
                found = (await connection.execute(unneeded)).scalars().all()
        if found:
            async with database.write() as connection:
                deleted += await forget_unneeded(connection, found)
        if len(seen) < PAGE:
            return deleted
        reached = seen[-1]
        await pace.rest()
