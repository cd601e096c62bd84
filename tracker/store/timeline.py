"""Reads when a message was touched, by the hour or by the day, never past a delivery's or a grant's last day."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from sqlalchemy import FromClause, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.core.chart import BY_HOUR
from tracker.model import Agent, Day, Hour, MessageKey, Moment, Purpose
from tracker.store.measured import Running, hangs_on, measurable_copies
from tracker.store.schema import deliveries, events


async def timeline(
    connection: AsyncConnection, key: MessageKey, today: Day, running: Running = None
) -> tuple[Moment, ...]:
    """The moments in which the message KEY was touched, in order."""
    copy = measurable_copies(today, running).where(deliveries.c.message == key).subquery()
    by_hour = await _moments(connection, copy, 1)
    if by_hour and by_hour[-1].hour - by_hour[0].hour >= BY_HOUR:
        return await _moments(connection, copy, 24)
    return by_hour


async def _moments(connection: AsyncConnection, copy: FromClause, hours: int) -> tuple[Moment, ...]:
    """One for each span of HOURS in which anything happened."""
    span = events.c.hour - events.c.hour % hours
    person = case((events.c.agent >= Agent.PROXY, events.c.purpose))  # NULL: a machine, whatever it touched
    rows = await connection.execute(
        select(span, person, func.count(events.c.delivery.distinct()))
        .join_from(copy, events, hangs_on(copy))
        .group_by(span, person)
        .order_by(span)
    )
    counts: dict[int, dict[Any, int]] = defaultdict(dict)
    for hour, purpose, count in rows:
        counts[hour][purpose] = count
    return tuple(
        Moment(Hour(hour), found.get(Purpose.OPEN, 0), found.get(Purpose.CLICK, 0), found.get(None, 0))
        for hour, found in counts.items()
    )
