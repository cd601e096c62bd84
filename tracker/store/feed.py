"""Finds the messages of one page of a list, in time that does not depend on how long the list is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.core.calendar import later
from tracker.model import Day, InvalidField, MessageQuery, Order, Owner
from tracker.store.engaged import Place, last_hour_of, last_places
from tracker.store.schema import messages

_ENGAGED: Final = "e"
_REST: Final = "s"
"""The parts of a list, which begin its cursors: first messages by their last engagement, then by their sending."""


@dataclass(frozen=True, slots=True)
class Page:
    """The messages of a page, in order, and the cursor that follows them."""

    keys: tuple[bytes, ...]
    next: str | None


async def find_page(connection: AsyncConnection, query: MessageQuery, today: Day) -> Page:
    """The page that QUERY asks for. Raises InvalidField for a cursor that no page gave."""
    owners: list[Owner | None] = [None] if query.owners is None else [*sorted(query.owners)]
    part, before = (None, None) if query.after is None else position(query.after)
    found: list[tuple[str, Place]] = []
    if query.order is Order.ENGAGED and part != _REST and query.engaged is not False:
        found = [(_ENGAGED, place) for place in await _engaged(connection, query, owners, today, before)]
        before = None
    if len(found) <= query.limit and not (query.order is Order.ENGAGED and query.engaged):
        found += [(_REST, place) for place in await _rest(connection, query, owners, today, before)]
    page = found[: query.limit]
    cursor = None
    if len(found) > query.limit:
        part, (hour, key) = page[-1]
        cursor = f"{part}{hour}-{key.hex()}"
    return Page(tuple(key for _, (_, key) in page), cursor)


async def _engaged(
    connection: AsyncConnection, query: MessageQuery, owners: list[Owner | None], today: Day, before: Place | None
) -> list[Place]:
    """One more than a page of messages that people touched, by when they last did."""
    wanted, found = query.limit + 1, []
    for owner in owners:
        if owner is None:
            raise InvalidField("order: by engagement for one rep alone")
        kept: list[Place] = []
        places = await last_places(connection, owner, today, before, wanted)
        while places and len(kept) < wanted:
            keys = select(messages.c.id).where(messages.c.id.in_([key for _, key in places]), *_filters(query, today))
            matching = set((await connection.execute(keys)).scalars())
            kept += [place for place in places if place[1] in matching]
            places = await last_places(connection, owner, today, places[-1], wanted)
        found += kept[:wanted]
    return sorted(found, reverse=True)[:wanted]


async def _rest(
    connection: AsyncConnection, query: MessageQuery, owners: list[Owner | None], today: Day, before: Place | None
) -> list[Place]:
    """One more than a page of messages by when they were sent; of those by engagement, what nobody touched."""
    wanted, found = query.limit + 1, []
    rows = select(messages.c.last_hour, messages.c.id).where(*_filters(query, today))
    if query.order is Order.ENGAGED or query.engaged is not None:
        touched = last_hour_of(messages.c.id, today)
        rows = rows.where(touched.is_not(None) if query.engaged else touched.is_(None))
    if before is not None:
        rows = rows.where(tuple_(messages.c.last_hour, messages.c.id) < tuple_(*map(literal, before)))
    rows = rows.order_by(messages.c.last_hour.desc(), messages.c.id.desc()).limit(wanted)
    for owner in owners:
        of_owner = rows if owner is None else rows.where(messages.c.owner == owner)
        found += [(hour, key) for hour, key in await connection.execute(of_owner)]
    return sorted(found, reverse=True)[:wanted]


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


def position(cursor: str) -> tuple[str, Place]:
    """The part of a list and the place in it that CURSOR stands for. Raises InvalidField."""
    part, hour, key = cursor[:1], *cursor[1:].partition("-")[::2]
    if part not in (_ENGAGED, _REST) or not (hour.isascii() and hour.isdigit() and len(hour) < 10):
        raise InvalidField("after: no such page")
    try:
        return part, (int(hour), bytes.fromhex(key))
    except ValueError:
        raise InvalidField("after: no such page") from None
