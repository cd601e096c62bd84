"""Says which copies can be measured, and which of their events may be seen already.

The law: what happened in the hour that is still running is shown only of people whose notice lets somebody watch as it
happens (feature `live`); everybody else's shows when the hour has turned, so that nobody learns the minute by looking.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, case, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.model import Day, Feature, Hour
from tracker.store.schema import covering, deliveries, events, grants, is_live, tracked

Running = Hour | None
"""The hour that is not over yet; None: everything may be seen, for who does not show it to anybody."""


def measurable_copies(today: Day, running: Running = None) -> Select[Any]:
    """Deliveries, by the purposes for which they can still be measured on TODAY.

    What of their events may be seen while the hour RUNNING is not over, `hangs_on` knows.
    """
    copies = (
        select(
            deliveries.c.message,
            deliveries.c.sent_hour,
            tracked.c.last_day,
            tracked.c.delivery,
            tracked.c.purpose,
        )
        .select_from(deliveries)
        .join(tracked, (tracked.c.last_day == deliveries.c.last_day) & (tracked.c.delivery == deliveries.c.id))
        .join(grants, (grants.c.recipient == tracked.c.recipient) & (grants.c.purpose == tracked.c.purpose))
        .where(deliveries.c.last_day >= today, is_live(today))
    )
    if running is None:
        return copies
    watched = case((grants.c.notice_version.in_(covering(Feature.LIVE)), 1), else_=0)
    return copies.add_columns(watched.label("watched"), literal(running).label("running"))


async def copies_of(
    connection: AsyncConnection, keys: Sequence[bytes], today: Day, running: Running = None
) -> Select[Any]:
    """`measurable_copies` of the messages KEYS.

    On PostgreSQL it names their last days, most often one, so that it plans with the partitions of those days alone;
    SQLite would take such a day for the way to begin, and go through all of it.
    """
    query = measurable_copies(today, running).where(deliveries.c.message.in_(keys))
    if connection.dialect.name != "postgresql":
        return query
    of_them = select(deliveries.c.last_day).where(deliveries.c.message.in_(keys), deliveries.c.last_day >= today)
    days = (await connection.execute(of_them.distinct())).scalars().all()
    if len(days) == 1:
        return query.where(deliveries.c.last_day == days[0])
    return query.where(deliveries.c.last_day.in_(days), tracked.c.last_day.in_(days))


def hangs_on(copy: FromClause) -> ColumnElement[bool]:
    """Whether an event hangs on one of `measurable_copies`, and may be seen."""
    hangs = (
        (events.c.last_day == copy.c.last_day)
        & (events.c.delivery == copy.c.delivery)
        & (events.c.purpose == copy.c.purpose)
    )
    if "running" not in copy.c:
        return hangs
    return hangs & or_(events.c.hour < copy.c.running, copy.c.watched == 1)
