"""Remembers on which day the database was last rewritten, so that a person can be told."""

from __future__ import annotations

from typing import Final

from sqlalchemy import select
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.model import Day
from tracker.store.schema import installation

NAME: Final = "vacuum_day"


async def note_vacuum(connection: AsyncConnection, today: Day) -> None:
    """Remember TODAY."""
    mark = upsert(installation).values(name=NAME, value=str(today).encode("ascii"))
    await connection.execute(
        mark.on_conflict_do_update(index_elements=["name"], set_={"value": mark.excluded["value"]})
    )


async def vacuum_day(connection: AsyncConnection) -> Day | None:
    """The day that was remembered last."""
    found = await connection.execute(select(installation.c.value).where(installation.c.name == NAME))
    value = found.scalar_one_or_none()
    return None if value is None else Day(int(value))
