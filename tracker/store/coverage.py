"""Reads how much of what reps sent could be measured, by the day, never past a delivery's or a grant's last day."""

from __future__ import annotations

from collections import Counter
from typing import Any

from sqlalchemy import FromClause, func, select, union_all
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


async def reasons(
    connection: AsyncConnection, owners: Owners, first: Day, today: Day, newest: int | None = None
) -> Reasons:
    """Why copies that OWNERS sent from FIRST to TODAY left untouched.

    Of copies that are counted with their message, those of so many messages of each owner alone, the NEWEST: then the
    time that it takes does not depend on how many there are. None: of all.
    """
    alone = select(untouched.c.reason, func.sum(untouched.c.count)).where(untouched.c.day.between(first, today))
    if owners is not None:
        alone = alone.where(untouched.c.owner.in_(owners))
    looked_at = _messages(owners, first, newest)
    of_messages = (
        select(message_untouched.c.reason, func.sum(message_untouched.c.count))
        .join(looked_at, looked_at.c.id == message_untouched.c.message)
        .where(message_untouched.c.day.between(first, today))
    )
    counts: Counter[Reason] = Counter()
    for query in (alone.group_by(untouched.c.reason), of_messages.group_by(message_untouched.c.reason)):
        for reason, count in await connection.execute(query):
            counts[Reason(reason)] += int(count)
    cut = None
    if newest is not None:
        number = (await connection.execute(select(func.count()).select_from(looked_at))).scalar_one()
        cut = newest if number >= newest else None
    signed = sum(counts[reason] for reason in CAME_SIGNED)
    enough = MUCH * signed - counts.total()  # so many tracked copies, and it is no more than a fifth
    if enough <= 0:
        return Reasons(counts, came_signed=False, newest=cut)
    tracked = (
        select(deliveries.c.id)
        .join(looked_at, looked_at.c.id == deliveries.c.message)
        .where(deliveries.c.sent_hour >= first * 24)
        .limit(enough)
        .subquery()
    )
    found = (await connection.execute(select(func.count()).select_from(tracked))).scalar_one()
    return Reasons(counts, came_signed=int(found) < enough, newest=cut)


def _messages(owners: Owners, first: Day, newest: int | None) -> FromClause:
    """The messages of OWNERS of which copies left since FIRST, of each owner the NEWEST alone."""
    since = select(messages.c.id).where(messages.c.last_hour >= first * 24)
    if newest is None or owners is None:
        return (since if owners is None else since.where(messages.c.owner.in_(owners))).subquery()
    in_order = since.order_by(messages.c.last_hour.desc(), messages.c.id.desc()).limit(newest)
    of_each = [in_order.where(messages.c.owner == owner).subquery() for owner in sorted(owners)]
    return union_all(*(select(each.c.id) for each in of_each)).subquery()


async def _by_day(connection: AsyncConnection, query: Any) -> Counter[int]:
    return Counter({int(day): int(count) for day, count in await connection.execute(query)})
