"""Reads how much of what reps sent could be measured, by the day, never past a delivery's or a grant's last day."""

from __future__ import annotations

from collections import Counter
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.core.calendar import later
from tracker.core.next_steps import CAME_SIGNED, MUCH
from tracker.model import Coverage, Day, Reason, Reasons
from tracker.store.figures import Owners
from tracker.store.measured import measurable_copies
from tracker.store.schema import deliveries, message_untouched, messages, untouched


async def coverage(
    connection: AsyncConnection, owners: Owners, first: Day, last: Day, today: Day
) -> tuple[Coverage, ...]:
    """Of the copies that OWNERS sent on each day from FIRST to LAST, those that could be measured; oldest first.

    Who withdrew since is on neither side.
    """
    begin, end = first * 24, later(last, 1) * 24
    theirs: tuple[Any, ...] = () if owners is None else (messages.c.owner.in_(owners),)
    copy = (
        measurable_copies(today)
        .join(messages, messages.c.id == deliveries.c.message)
        .where(messages.c.last_hour >= begin, deliveries.c.sent_hour >= begin, deliveries.c.sent_hour < end, *theirs)
        .subquery()
    )
    sent_day = copy.c.sent_hour // 24
    measured = await _by_day(connection, select(sent_day, func.count(copy.c.delivery.distinct())).group_by(sent_day))
    of_owners = select(untouched.c.day, func.sum(untouched.c.count)).group_by(untouched.c.day)
    if owners is not None:
        of_owners = of_owners.where(untouched.c.owner.in_(owners))
    of_messages = (
        select(message_untouched.c.day, func.sum(message_untouched.c.count))
        .join(messages, messages.c.id == message_untouched.c.message)
        .where(*theirs)
        .group_by(message_untouched.c.day)
    )
    left = await _by_day(connection, of_owners.where(untouched.c.day.between(first, last)))
    left += await _by_day(connection, of_messages.where(message_untouched.c.day.between(first, last)))
    return tuple(Coverage(Day(day), measured[day] + left[day], measured[day]) for day in sorted(measured | left))


async def reasons(connection: AsyncConnection, owners: Owners, first: Day, today: Day) -> Reasons:
    """Why copies that OWNERS sent from FIRST to TODAY left untouched."""
    theirs: tuple[Any, ...] = () if owners is None else (messages.c.owner.in_(owners),)
    alone = select(untouched.c.reason, func.sum(untouched.c.count)).where(untouched.c.day.between(first, today))
    if owners is not None:
        alone = alone.where(untouched.c.owner.in_(owners))
    of_messages = (
        select(message_untouched.c.reason, func.sum(message_untouched.c.count))
        .join(messages, messages.c.id == message_untouched.c.message)
        .where(message_untouched.c.day.between(first, today), *theirs)
    )
    counts: Counter[Reason] = Counter()
    for query in (alone.group_by(untouched.c.reason), of_messages.group_by(message_untouched.c.reason)):
        for reason, count in await connection.execute(query):
            counts[Reason(reason)] += int(count)
    signed = sum(counts[reason] for reason in CAME_SIGNED)
    enough = MUCH * signed - counts.total()  # so many tracked copies, and it is no more than a fifth
    if enough <= 0:
        return Reasons(counts, came_signed=False)
    tracked = (
        select(deliveries.c.id)
        .join(messages, messages.c.id == deliveries.c.message)
        .where(messages.c.last_hour >= first * 24, deliveries.c.sent_hour >= first * 24, *theirs)
        .limit(enough)
        .subquery()
    )
    found = (await connection.execute(select(func.count()).select_from(tracked))).scalar_one()
    return Reasons(counts, came_signed=int(found) < enough)


async def _by_day(connection: AsyncConnection, query: Any) -> Counter[int]:
    return Counter({int(day): int(count) for day, count in await connection.execute(query)})
