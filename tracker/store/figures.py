"""Reads what may be counted of messages, never past a delivery's or a grant's last day."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import ColumnElement, FromClause, Result, Select, Table, case, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.model import (
    Agent,
    Day,
    Hour,
    Left,
    LinkFigures,
    MessageFigures,
    MessageKey,
    MessageQuery,
    Owner,
    Purpose,
    Reason,
)
from tracker.store.feed import find_page, last_hours
from tracker.store.measured import Running, copies_of, hangs_on, measurable_copies
from tracker.store.schema import (
    deliveries,
    events,
    external_ids,
    links,
    message_left,
    message_untouched,
    messages,
    tracked,
)
from tracker.store.totals import NOTHING, Folded, folded, together

Owners = frozenset[Owner] | None
"""A rep's logins, as digests; None: everybody's."""
NAMED: Final = 3
"""In how few copies those who got a message are named by their references."""
Touches = Mapping[tuple[bytes, Any], tuple[int, int]]
"""Message and purpose (or link) → deliveries touched by people, and by machines only."""


async def message_page(
    connection: AsyncConnection, query: MessageQuery, today: Day, minimum_group: int, running: Running = None
) -> tuple[tuple[MessageFigures, ...], str | None]:
    """The messages that QUERY asks for, and the cursor that follows them.

    Raises InvalidField for a cursor that no page gave.
    """
    page = await find_page(connection, query, today, running)
    return await figures_of(connection, page.keys, query.source, today, minimum_group, running), page.next


async def one_message(
    connection: AsyncConnection,
    key: MessageKey,
    owners: Owners,
    source: str | None,
    today: Day,
    minimum_group: int,
    running: Running = None,
) -> MessageFigures | None:
    """The message KEY, unless it is unknown or none of OWNERS'."""
    known = await connection.execute(select(messages.c.id).where(messages.c.id == key, *whose(owners, today)))
    figures = await figures_of(connection, known.scalars().all(), source, today, minimum_group, running)
    return figures[0] if figures else None


def whose(owners: Owners, today: Day) -> tuple[ColumnElement[bool], ...]:
    """What a message must meet that OWNERS may see on TODAY."""
    fresh = messages.c.last_day >= today
    return (fresh,) if owners is None else (fresh, messages.c.owner.in_(owners))


async def touches(connection: AsyncConnection, copy: FromClause, part: ColumnElement[Any]) -> Touches:
    """Of COPY, what was touched, by message and PART (a column of `events`)."""
    return touched_by(await connection.execute(touching(copy, part)))


def touching(copy: FromClause, part: ColumnElement[Any]) -> Select[Any]:
    """The question that `touches` asks."""
    each = (
        select(copy.c.message, part.label("part"), func.max(events.c.agent).label("agent"))
        .join_from(copy, events, hangs_on(copy))
        .group_by(copy.c.message, copy.c.last_day, copy.c.delivery, part)
    ).subquery()
    person = case((each.c.agent >= Agent.PROXY, 1), else_=0)
    return select(each.c.message, each.c.part, func.sum(person), func.sum(1 - person)).group_by(
        each.c.message, each.c.part
    )


def touched_by(rows: Result[bytes, Any, int, int]) -> Touches:
    """What ROWS, the answer to the question, say."""
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


async def figures_of(
    connection: AsyncConnection,
    keys: Sequence[bytes],
    source: str | None,
    today: Day,
    minimum_group: int,
    running: Running = None,
) -> tuple[MessageFigures, ...]:
    """What may be counted of the messages KEYS, in their order; references are those that SOURCE gave."""
    if not keys:
        return ()
    rows = {row.id: row for row in await connection.execute(select(messages).where(messages.c.id.in_(keys)))}
    copy = (await copies_of(connection, keys, today, running)).subquery()
    touched = await touches(connection, copy, events.c.purpose)
    of_any = await touches(connection, copy, literal(0))
    expired = await folded(connection, keys, today, minimum_group)
    of_links = await link_figures(connection, copy, keys, expired)
    measurable: dict[bytes, dict[Purpose, int]] = defaultdict(dict)
    counted = select(copy.c.message, copy.c.purpose, func.count()).group_by(copy.c.message, copy.c.purpose)
    for message, purpose, count in await connection.execute(counted):
        measurable[message][purpose] = count
    distinct = select(copy.c.message, func.count(copy.c.delivery.distinct())).group_by(copy.c.message)
    measured = Counter({message: count for message, count in await connection.execute(distinct)})  # noqa: C416
    sent = await _sent(connection, keys, today)
    last = await last_hours(connection, copy)
    untouched = await _by_reason(connection, message_untouched, keys)
    left = await _by_reason(connection, message_left, keys)
    named = await references_of(connection, [key for key in keys if measured[key] <= NAMED], source, today)
    figures = []
    for row in map(rows.__getitem__, keys):
        opened, opened_by_machines = touched.get((row.id, Purpose.OPEN), (0, 0))
        clicked, clicked_by_machines = touched.get((row.id, Purpose.CLICK), (0, 0))
        engaged, machines_only = of_any.get((row.id, 0), (0, 0))
        hour = last.get(row.id)
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
            untouched={Reason(reason): count for reason, count in untouched[row.id].items()},
            links=of_links.get(row.id, ()),
            measured=measured[row.id],
            engaged=engaged,
            machines_only=machines_only,
            last_engaged=None if hour is None else Hour(hour),
            left={Left(reason): count for reason, count in left[row.id].items()},
            references=named.get(row.id, ()),
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


async def _by_reason(
    connection: AsyncConnection, table: Table, keys: Sequence[bytes]
) -> Mapping[bytes, dict[str, int]]:
    rows = await connection.execute(
        select(table.c.message, table.c.reason, func.sum(table.c.count))
        .where(table.c.message.in_(keys))
        .group_by(table.c.message, table.c.reason)
        .order_by(table.c.reason)
    )
    counts: dict[bytes, dict[str, int]] = defaultdict(dict)
    for message, reason, count in rows:
        counts[message][reason] = int(count)
    return counts


async def references_of(
    connection: AsyncConnection, keys: Sequence[bytes], source: str | None, today: Day
) -> Mapping[bytes, tuple[str, ...]]:
    """What SOURCE (None: any system) calls those who can be measured in the messages KEYS."""
    copy = measurable_copies(today).add_columns(tracked.c.recipient).where(deliveries.c.message.in_(keys)).subquery()
    rows = (
        select(copy.c.message, external_ids.c.reference)
        .join(external_ids, external_ids.c.recipient == copy.c.recipient)
        .where(external_ids.c.last_day >= today)
        .distinct()
        .order_by(external_ids.c.reference)
    )
    named: dict[bytes, tuple[str, ...]] = defaultdict(tuple)
    for message, reference in await connection.execute(
        rows if source is None else rows.where(external_ids.c.source == source)
    ):
        named[message] += (reference,)
    return named
