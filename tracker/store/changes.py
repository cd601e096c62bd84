"""Remembers for a while what mail systems called somebody who was erased, so that they can be told."""

from __future__ import annotations

from sqlalchemy import delete, literal, select
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.model import Day
from tracker.store.schema import erased_ids, external_ids


async def remember_erased(connection: AsyncConnection, recipient: int, entry: int, last_day: Day) -> None:
    """Take the references of RECIPIENT, erased by the ledger's ENTRY, off the person; keep them alone until LAST_DAY.

    Nothing leads from them to the person any more: each mail system can read that its own reference was erased.
    """
    theirs = select(external_ids.c.source, external_ids.c.reference, literal(entry), literal(int(last_day))).where(
        external_ids.c.recipient == recipient
    )
    moved = upsert(erased_ids).from_select(["source", "reference", "entry", "last_day"], theirs)
    await connection.execute(  # a reference may have been given to somebody else since, who is erased now
        moved.on_conflict_do_update(
            index_elements=["source", "reference"],
            set_={"entry": moved.excluded.entry, "last_day": moved.excluded.last_day},
        )
    )
    await connection.execute(delete(external_ids).where(external_ids.c.recipient == recipient))
