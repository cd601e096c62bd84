"""Remembers until when a person is asked by invitations, and that they did not answer, so that nobody nags.

The law (LAW.md R12): while an invitation is open others may say the same and end with it; after that six months of
silence.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.core.calendar import later
from tracker.model import Day
from tracker.store.schema import mailings
from tracker.store.upsert import upsert

KIND: Final = "invitation"
"""What such a row of `mailings` is called: no mail of ours, but one that a sender has leave to ask in."""


async def invite(
    connection: AsyncConnection, recipient: int, today: Day, *, lasts: int, quiet: int, source: str
) -> Day | None:
    """The day on which an invitation of RECIPIENT that SOURCE makes TODAY ends; None when they are to be left alone.

    LASTS: days that a first one is open. QUIET: days after that without another.
    """
    begun = (
        await connection.execute(
            select(func.max(mailings.c.day)).where(
                mailings.c.recipient == recipient, mailings.c.kind == KIND, mailings.c.last_day >= today
            )
        )
    ).scalar_one()
    if begun is not None:
        ends = later(Day(begun), lasts)
        return ends if today < ends else None
    ends = later(today, lasts)
    first = upsert(mailings).values(
        recipient=recipient, kind=KIND, day=today, count=1, source=source, last_day=later(ends, quiet)
    )
    await connection.execute(first.on_conflict_do_nothing())
    return ends


async def inviter(connection: AsyncConnection, recipient: int, today: Day) -> str | None:
    """The API key that had RECIPIENT asked; None when nobody has asked them as far as is known TODAY."""
    asked = select(mailings.c.source).where(
        mailings.c.recipient == recipient, mailings.c.kind == KIND, mailings.c.last_day >= today
    )
    return (await connection.execute(asked.order_by(mailings.c.day.desc()).limit(1))).scalar_one_or_none()


async def answered(connection: AsyncConnection, recipient: int) -> None:
    """Forget that RECIPIENT was asked: they said yes to all of it."""
    await connection.execute(delete(mailings).where(mailings.c.recipient == recipient, mailings.c.kind == KIND))
