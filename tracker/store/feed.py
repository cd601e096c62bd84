"""Finds the messages of one page of a list, in time that does not depend on how long the list is.

The law: neither the order nor what is left out tells that somebody touched a message in the hour that is running,
unless their notice lets it be watched (store/measured). `messages.engaged_hour` knows that hour: of the few messages
that have it, the last hour that may be seen is looked for anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, FromClause, Select, func, literal, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.core.calendar import later
from tracker.model import Agent, Day, InvalidField, MessageQuery, Order, Owner
from tracker.store.measured import Running, copies_of, hangs_on
from tracker.store.schema import events, messages

Place = tuple[int, int, bytes]
"""The hour in which a person touched a message last (0: nobody did, or the list is not in that order), the hour in
which it was sent last, and its key."""

CHUNK: Final = 500
"""Messages of which the last hour is looked for together."""
_LETTERS: Final = {Order.ENGAGED: "e", Order.SENT: "s"}
"""What the cursors of a list begin with."""
_SENT: Final = (messages.c.last_hour, messages.c.id)
_ENGAGED: Final = (messages.c.engaged_hour, *_SENT)


@dataclass(frozen=True, slots=True)
class Page:
    """The messages of a page, in order, and the cursor that follows them."""

    keys: tuple[bytes, ...]
    next: str | None


async def find_page(connection: AsyncConnection, query: MessageQuery, today: Day, running: Running = None) -> Page:
    """The page that QUERY asks for. Raises InvalidField for a cursor that no page gave."""
    if query.order is Order.ENGAGED and query.owners is None:
        raise InvalidField("order: by engagement for one rep alone")
    after = None if query.after is None else position(query.order, query.after)
    find = _by_engagement if query.order is Order.ENGAGED else _by_sending
    found: list[Place] = []
    owners: list[Owner | None] = [None] if query.owners is None else [*sorted(query.owners)]
    for owner in owners:  # one search in the index for each, since together they would be sorted anew
        filters = [*_filters(query, today), *(() if owner is None else (messages.c.owner == owner,))]
        found += await find(connection, query, filters, after, today, running)
    found = sorted(found, reverse=True)
    page = found[: query.limit]
    return Page(tuple(key for _, _, key in page), _cursor(query.order, page[-1]) if len(found) > query.limit else None)


async def last_hours(connection: AsyncConnection, copy: FromClause) -> Mapping[bytes, int]:
    """The last hour in which a person touched each message in COPY, as far as it may be seen."""
    rows = await connection.execute(
        select(copy.c.message, func.max(events.c.hour))
        .join_from(copy, events, hangs_on(copy))
        .where(events.c.agent >= Agent.PROXY)
        .group_by(copy.c.message)
    )
    return {message: hour for message, hour in rows}  # noqa: C416 - rows are no mapping


async def _by_engagement(
    connection: AsyncConnection,
    query: MessageQuery,
    filters: Sequence[ColumnElement[bool]],
    after: Place | None,
    today: Day,
    running: Running,
) -> list[Place]:
    """What follows AFTER of what FILTERS leave; in no order, but of those at the front none is missing."""
    rows = select(*_ENGAGED).where(*filters, *_touched(query.engaged))
    if running is None:
        return await _found(connection, rows, _ENGAGED, after, query.limit)
    found = await _found(connection, rows.where(messages.c.engaged_hour < running), _ENGAGED, after, query.limit)
    touched_now = select(*_SENT).where(*filters, messages.c.engaged_hour >= running)
    sent = {key: hour for hour, key in await connection.execute(touched_now)}
    seen = await _hours_seen(connection, list(sent), today, running)
    places = [(seen.get(key, 0), hour, key) for key, hour in sent.items()]
    return found + [
        place for place in places if (after is None or place < after) and query.engaged in (None, place[0] > 0)
    ]


async def _by_sending(
    connection: AsyncConnection,
    query: MessageQuery,
    filters: Sequence[ColumnElement[bool]],
    after: Place | None,
    today: Day,
    running: Running,
) -> list[Place]:
    """The same in the other order."""
    if query.engaged is None or running is None:
        rows = select(literal(0), *_SENT).where(*filters, *_touched(query.engaged))
        return await _found(connection, rows, _SENT, after, query.limit)
    doubtful = messages.c.engaged_hour >= running
    rows = select(*_ENGAGED).where(*filters, or_(*_touched(query.engaged), doubtful))
    found: list[Place] = []
    while True:
        some = await _found(connection, rows, _SENT, after, query.limit)
        seen = await _hours_seen(connection, [key for touched, _, key in some if touched >= running], today, running)
        for touched, sent, key in some:
            hour = touched if touched < running else seen.get(key, 0)
            if query.engaged is (hour > 0):
                found.append((0, sent, key))
        if len(some) <= query.limit or len(found) > query.limit:
            return found
        after = some[-1]


async def _found(
    connection: AsyncConnection, rows: Select[Any], order: Sequence[Column[Any]], after: Place | None, limit: int
) -> list[Place]:
    """The first of ROWS, a place each, in ORDER, behind AFTER: up to one more than LIMIT."""
    if after is not None:
        rows = rows.where(tuple_(*order) < tuple_(*map(literal, after[3 - len(order) :])))
    rows = rows.order_by(*(column.desc() for column in order)).limit(limit + 1)
    return [(touched, sent, key) for touched, sent, key in await connection.execute(rows)]


async def _hours_seen(
    connection: AsyncConnection, keys: Sequence[bytes], today: Day, running: Running
) -> Mapping[bytes, int]:
    """The last hour that may be seen of each of the messages KEYS; of some there is none."""
    hours: dict[bytes, int] = {}
    for first in range(0, len(keys), CHUNK):
        some = keys[first : first + CHUNK]
        hours |= await last_hours(connection, (await copies_of(connection, some, today, running)).subquery())
    return hours


def position(order: Order, cursor: str) -> Place:
    """The place that CURSOR of a list in ORDER stands for. Raises InvalidField."""
    letter, parts = cursor[:1], cursor[1:].split("-")
    if letter != _LETTERS[order] or len(parts) != 3 or not all(map(_is_hour, parts[:2])):
        raise InvalidField("after: no such page")
    try:
        return int(parts[0]), int(parts[1]), bytes.fromhex(parts[2])
    except ValueError:
        raise InvalidField("after: no such page") from None


def _cursor(order: Order, place: Place) -> str:
    touched, sent, key = place
    return f"{_LETTERS[order]}{touched}-{sent}-{key.hex()}"


def _is_hour(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


def _touched(engaged: bool | None) -> tuple[ColumnElement[bool], ...]:
    """The messages that a person touched, or that nobody did, whatever may be seen of it."""
    if engaged is None:
        return ()
    return (messages.c.engaged_hour > 0 if engaged else messages.c.engaged_hour == 0,)


def _filters(query: MessageQuery, today: Day) -> list[ColumnElement[bool]]:
    filters: list[ColumnElement[bool]] = [messages.c.last_day >= today]
    if query.label is not None:
        filters.append(messages.c.label == query.label)
    if query.messages is not None:
        filters.append(messages.c.id.in_(query.messages))
    if query.first_day is not None:
        filters.append(messages.c.last_hour >= query.first_day * 24)
    if query.last_day is not None:
        filters.append(messages.c.last_hour < later(query.last_day, 1) * 24)
    return filters
