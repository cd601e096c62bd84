"""Remembers on which day the database was last rewritten, so that a person can be told."""

from __future__ import annotations

from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.model import Day
from tracker.store import notes

NAME: Final = "vacuum_day"


async def note_vacuum(connection: AsyncConnection, today: Day) -> None:
    """Remember TODAY."""
    await notes.write(connection, NAME, str(today).encode("ascii"))


async def vacuum_day(connection: AsyncConnection) -> Day | None:
    """The day that was remembered last."""
    value = await notes.read(connection, NAME)
    return None if value is None else Day(int(value))
