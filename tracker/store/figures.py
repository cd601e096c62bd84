"""Reads what may be counted of messages, never past a delivery's or a grant's last day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Row, Select, case, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.model import (
    Agent,
    Day,
    Hour,
    InvalidField,
    LinkFigures,
    MessageFigures,
    MessageKey,
    Owner,
    Purpose,
    Reason,
)
from tracker.store.schema import deliveries, events, grants, is_live, links, message_untouched, messages, tracked
from tracker.store.totals import NOTHING, Folded, folded, together

Touches = Mapping[tuple[bytes, Any], tuple[int, int]]
"""Message and purpose (or link) → deliveries touched by people, and by machines only."""


async def message_page(
    connection: AsyncConnection, owner: Owner | None, today: Day, limit: int, after: str | None, minimum_group: int
) -> tuple[tuple[MessageFigures, ...], str | None]:
    """Up to LIMIT messages of OWNER (None: of all), newest first, and the cursor that follows them.

    Raises InvalidField for a cursor that no page gave.
    """
    query = _messages(owner, today).order_by(messages.c.last_hour.desc(), messages.c.id.desc()).limit(limit + 1)
    if after is not None:
        query = query.where(tuple_(messages.c.last_hour, messages.c.id) < tuple_(*_position(after)))
    rows = (await connection.execute(query)).all()
    page = rows[:limit]
    cursor = f"{page[-1].last_hour}-{page[-1].id.hex()}" if len(rows) > limit else None
    return await _figures(connection, page, today, minimum_group), cursor


async def one_message(
    connection: AsyncConnection, key: MessageKey, owner: Owner | None, today: Day, minimum_group: int
) -> MessageFigures | None:
    """The message KEY, unless it is unknown or another owner's."""
    rows = (await connection.execute(_messages(owner, today).where(messages.c.id == key))).all()
    figures = await _figures(connection, rows, today, minimum_group)
    return figures[0] if figures else None


def measurable_copies(today: Day) -> Select[Any]:
    """Deliveries, by the purposes for which they can still be measured on TODAY."""
    return (
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


async def copies_of(connection: AsyncConnection, keys: Sequence[bytes], today: Day) -> Select[Any]:
    """`measurable_copies` of the messages KEYS.

    It names their last days, most often one, so that PostgreSQL plans with the partitions of those days alone.
    """
    query = measurable_copies(today).where(deliveries.c.message.in_(keys))
    of_them = select(deliveries.c.last_day).where(deliveries.c.message.in_(keys), deliveries.c.last_day >= today)
    days = (await connection.execute(of_them.distinct())).scalars().all()
    if len(days) == 1:
        return query.where(deliveries.c.last_day == days[0])
    return query.where(deliveries.c.last_day.in_(days), tracked.c.last_day.in_(days))


def hangs_on(copy: FromClause) -> ColumnElement[bool]:
    """Whether an event hangs on one of `measurable_copies`."""
    return (
        (events.c.last_day == copy.c.last_day)
        & (events.c.delivery == copy.c.delivery)
        & (events.c.purpose == copy.c.purpose)
    )


async def touches(connection: AsyncConnection, copy: FromClause, part: ColumnElement[Any]) -> Touches:
    """Of COPY, what was touched, by message and PART (a column of `events`)."""
    each = (
        select(copy.c.message, part.label("part"), func.max(events.c.agent).label("agent"))
        .join_from(copy, events, hangs_on(copy))
        .group_by(copy.c.message, copy.c.last_day, copy.c.delivery, part)
    ).subquery()
    person = case((each.c.agent >= Agent.PROXY, 1), else_=0)
    rows = await connection.execute(
        select(each.c.message, each.c.part, func.sum(person), func.sum(1 - person)).group_by(
            each.c.message, each.c.part
        )
    )
    return {(message, at): (people, machines) for message, at, people, machines in rows}


async def link_figures(
    connection: AsyncConnection,
    copy: FromClause,
    keys: Sequence[bytes],
    expired: Mapping[bytes, Folded] = MappingProxyType({}),
) -> Mapping[bytes, tuple[LinkFigures, ...]]:
    """The links of the messages KEYS, those that most people followed in COPY, or in what EXPIRED, first."""
    followed = await touches(connection, copy, events.c.link)
    found: dict[bytes, list[LinkFigures]] = defaultdict(list)
    for row in await connection.execute(select(links).where(links.c.message.in_(keys))):
        people, machines = followed.get((row.message, row.number), (0, 0))
        more = expired.get(row.message, NOTHING).links.get(row.number, (0, 0))
        found[row.message].append(LinkFigures(row.host, row.path, people + more[0], machines + more[1]))
    return {
        message: tuple(sorted(figures, key=lambda link: (-link.people, -link.machines, link.host, link.path)))
        for message, figures in found.items()
    }


async def _figures(
    connection: AsyncConnection, rows: Sequence[Row[Any]], today: Day, minimum_group: int
) -> tuple[MessageFigures, ...]:
    keys = [row.id for row in rows]
    if not keys:
        return ()
    copy = (await copies_of(connection, keys, today)).subquery()
    touched = await touches(connection, copy, events.c.purpose)
    expired = await folded(connection, keys, today, minimum_group)
    of_links = await link_figures(connection, copy, keys, expired)
    measurable: dict[bytes, dict[Purpose, int]] = defaultdict(dict)
    counted = select(copy.c.message, copy.c.purpose, func.count()).group_by(copy.c.message, copy.c.purpose)
    for message, purpose, count in await connection.execute(counted):
        measurable[message][purpose] = count
    sent = await _sent(connection, keys, today)
    left = await _untouched(connection, keys)
    figures = []
    for row in rows:
        opened, opened_by_machines = touched.get((row.id, Purpose.OPEN), (0, 0))
        clicked, clicked_by_machines = touched.get((row.id, Purpose.CLICK), (0, 0))
        of_what_is_there = MessageFigures(
            message=MessageKey(row.id),
            label=row.label,
            first_sent=Hour(row.last_hour if row.first_hour is None else row.first_hour),
            last_sent=Hour(row.last_hour),
            measurable=measurable[row.id],
            opened=opened,
            opened_by_machines_only=opened_by_machines,
            clicked=clicked,
            clicked_by_machines_only=clicked_by_machines,
            tracked=sent.get(row.id, 0),
            untouched=left[row.id],
            links=of_links.get(row.id, ()),
        )
        figures.append(together(of_what_is_there, expired.get(row.id, NOTHING)))
    return tuple(figures)


async def _sent(connection: AsyncConnection, keys: Sequence[bytes], today: Day) -> Mapping[bytes, int]:
    """Copies that left tracked. A withdrawal does not unsend them: only what they did is gone."""
    rows = await connection.execute(
        select(deliveries.c.message, func.count())
        .where(deliveries.c.message.in_(keys), deliveries.c.last_day >= today)
        .group_by(deliveries.c.message)
    )
    return {message: count for message, count in rows.all()}  # noqa: C416 - rows are no mapping


async def _untouched(connection: AsyncConnection, keys: Sequence[bytes]) -> Mapping[bytes, dict[Reason, int]]:
    table = message_untouched.c
    rows = await connection.execute(
        select(table.message, table.reason, func.sum(table.count))
        .where(table.message.in_(keys))
        .group_by(table.message, table.reason)
    )
    left: dict[bytes, dict[Reason, int]] = defaultdict(dict)
    for message, reason, count in rows:
        left[message][Reason(reason)] = count
    return left


def _messages(owner: Owner | None, today: Day) -> Select[Any]:
    query = select(messages).where(messages.c.last_day >= today)
    return query if owner is None else query.where(messages.c.owner == owner)


def _position(cursor: str) -> tuple[int, bytes]:
    hour, _, key = cursor.partition("-")
    if not (hour.isascii() and hour.isdigit() and len(hour) < 10):
        raise InvalidField("after: no such page")
    try:
        return int(hour), bytes.fromhex(key)
    except ValueError:
        raise InvalidField("after: no such page") from None
