"""Puts on file, once, what all reps' mail came to on a full day: rounded, and empty where few people are in a cell.

The law: a day that is on file never changes, so that two looks at it are the same, whoever withdrew in between; and
what is on file is of nobody: no owner, no message, no count that was not rounded.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.core.calendar import later
from tracker.core.rounding import part_of, told
from tracker.model import Agent, Day, Purpose, TeamTotals
from tracker.store.engine import Database
from tracker.store.measured import hangs_on, measurable_copies
from tracker.store.schema import deliveries, events, message_untouched, messages, team_totals, untouched
from tracker.store.upsert import upsert

CATCH_UP: Final = 14
"""How many days back totals are made after the server was away."""


async def put_on_file(database: Database, today: Day) -> int:
    """Make the totals of the full days before TODAY that are not on file; how many. Raises StoreUnavailable."""
    span = [later(today, -back) for back in range(CATCH_UP, 0, -1)]
    async with database.read() as connection:
        known = set((await connection.execute(select(team_totals.c.day).where(team_totals.c.day.in_(span)))).scalars())
        made = [await _totals(connection, day, today) for day in span if day not in known]
    if made:
        async with database.write() as connection:
            await connection.execute(upsert(team_totals).on_conflict_do_nothing(), [_row(total) for total in made])
    return len(made)


async def on_file(connection: AsyncConnection, first: Day, last: Day) -> tuple[TeamTotals, ...]:
    """The totals of the days from FIRST to LAST on which anything was sent that may be told of, oldest first."""
    rows = await connection.execute(
        select(team_totals)
        .where(team_totals.c.day.between(first, last), team_totals.c.sent.is_not(None))
        .order_by(team_totals.c.day)
    )
    return tuple(TeamTotals(**row) for row in rows.mappings())


async def _totals(connection: AsyncConnection, day: Day, today: Day) -> TeamTotals:
    """Of the copies that were sent on DAY, and of what was done with them before it ended."""
    begin, end = day * 24, later(day, 1) * 24
    of_day = (deliveries.c.sent_hour >= begin) & (deliveries.c.sent_hour < end)
    # Messages first: they have an index by time, deliveries have none.
    sent = select(func.count()).select_from(messages).join(deliveries, deliveries.c.message == messages.c.id)
    tracked = await _number(connection, sent.where(messages.c.last_hour >= begin, of_day))
    left = await _number(
        connection, select(func.coalesce(func.sum(untouched.c.count), 0)).where(untouched.c.day == day)
    ) + await _number(
        connection, select(func.coalesce(func.sum(message_untouched.c.count), 0)).where(message_untouched.c.day == day)
    )
    copy = (
        measurable_copies(today)
        .join(messages, messages.c.id == deliveries.c.message)
        .where(messages.c.last_hour >= begin, of_day)
        .subquery()
    )
    measurable = await _number(connection, select(func.count(copy.c.delivery.distinct())))
    bases = await _by_purpose(connection, select(copy.c.purpose, func.count()).group_by(copy.c.purpose))
    touched = await _by_purpose(
        connection,
        select(copy.c.purpose, func.count(copy.c.delivery.distinct()))
        .join_from(copy, events, hangs_on(copy))
        .where(events.c.agent >= Agent.PROXY, events.c.hour < end)
        .group_by(copy.c.purpose),
    )
    all_sent = tracked + left
    cells = {
        purpose: _share(touched.get(purpose, 0), bases.get(purpose, 0), all_sent)
        for purpose in (Purpose.OPEN, Purpose.CLICK)
    }
    return TeamTotals(
        day,
        told(all_sent),
        part_of(all_sent, measurable),
        *cells[Purpose.OPEN],
        *cells[Purpose.CLICK],
    )


def _share(touched: int, base: int, sent: int) -> tuple[int | None, int | None]:
    """How many could be measured of what was SENT, and were TOUCHED; the latter never without the former."""
    may_be_told = part_of(sent, base)
    return may_be_told, None if may_be_told is None else part_of(base, touched)


async def _number(connection: AsyncConnection, query: Any) -> int:
    return int((await connection.execute(query)).scalar_one())


async def _by_purpose(connection: AsyncConnection, query: Any) -> dict[Purpose, int]:
    return {purpose: count for purpose, count in await connection.execute(query)}  # noqa: C416 - rows are no mapping


def _row(totals: TeamTotals) -> dict[str, int | None]:
    return {column.name: getattr(totals, column.name) for column in team_totals.columns}
