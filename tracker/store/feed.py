"""Finds the messages of one page of a list, in time that does not depend on how long the list is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.core.calendar import later
from tracker.model import Day, InvalidField, MessageQuery, Order, Owner
from tracker.store.schema import messages

Place = tuple[int, int, bytes]
"""The hour in which a person touched a message last (0: nobody did, or the list is not in that order), the hour in
which it was sent last, and its key."""

_LETTERS: Final = {Order.ENGAGED: "e", Order.SENT: "s"}
"""What the cursors of a list begin with."""


@dataclass(frozen=True, slots=True)
class Page:
    """The messages of a page, in order, and the cursor that follows them."""

    keys: tuple[bytes, ...]
    next: str | None


async def find_page(connection: AsyncConnection, query: MessageQuery, today: Day) -> Page:
    """The page that QUERY asks for. Raises InvalidField for a cursor that no page gave."""
    owners: list[Owner | None] = [None] if query.owners is None else [*sorted(query.owners)]
    if query.order is Order.ENGAGED and query.owners is None:
        raise InvalidField("order: by engagement for one rep alone")
    by_sending = (messages.c.last_hour, messages.c.id)
    order = (messages.c.engaged_hour, *by_sending) if query.order is Order.ENGAGED else by_sending
    rows = select(*order).where(*_filters(query, today))
    if query.after is not None:
        place = position(query.order, query.after)
        rows = rows.where(tuple_(*order) < tuple_(*map(literal, place[3 - len(order) :])))
    rows = rows.order_by(*(column.desc() for column in order)).limit(query.limit + 1)
    found: list[Place] = []
    for owner in owners:  # one search in the index for each, since together they would be sorted anew
        of_owner = rows if owner is None else rows.where(messages.c.owner == owner)
        found += [(0, *row)[-3:] for row in await connection.execute(of_owner)]
    found = sorted(found, reverse=True)
    page = found[: query.limit]
    return Page(tuple(key for _, _, key in page), _cursor(query.order, page[-1]) if len(found) > query.limit else None)


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
    if query.engaged is not None:
        filters.append(messages.c.engaged_hour > 0 if query.engaged else messages.c.engaged_hour == 0)
    return filters
