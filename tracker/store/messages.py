"""Writes messages and their links, on which deliveries hang.

The law: hits wait for nobody's links. Where there are many they are written ahead, some at a time, each time in a
transaction of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.model import Left, LinkNumber, MessageKey, Registration
from tracker.store.engine import Database
from tracker.store.schema import links, message_left, messages
from tracker.store.upsert import upsert

FEW: Final = 200
"""Links that are written in one transaction; it takes some milliseconds."""

_Links = Mapping[tuple[MessageKey, LinkNumber], Mapping[str, Any]]
"""Rows of links, in the order in which all servers write them."""


def has_many_links(copies: Sequence[Registration]) -> bool:
    """Whether the messages of COPIES have so many links together that they are to be written ahead."""
    return len(_links(copies)) > FEW


async def write_ahead(database: Database, copies: Sequence[Registration]) -> None:
    """Write the messages of COPIES and those links that are not there yet, a few at a time. Raises StoreUnavailable."""
    rows = _links(copies)
    async with database.read() as connection:
        query = select(links.c.message, links.c.number).where(links.c.message.in_({message for message, _ in rows}))
        known = {tuple(row) for row in await connection.execute(query)}
    missing = [key for key in rows if key not in known]
    for at in range(0, len(missing), FEW):
        chunk = missing[at : at + FEW]
        concerned = {message for message, _ in chunk}
        async with database.write(alone=False) as connection:
            await write_messages(connection, [copy for copy in copies if copy.message in concerned], with_links=False)
            await _write_links(connection, {key: rows[key] for key in chunk})


async def write_messages(connection: AsyncConnection, copies: Sequence[Registration], *, with_links: bool) -> None:
    """Write the messages of COPIES, in their order, and WITH_LINKS what these lead to."""
    await connection.execute(_MESSAGE, [_message(copy) for copy in copies])
    left = {
        (copy.message, reason): {"message": copy.message, "reason": reason, "count": count}
        for copy in reversed(copies)
        for reason, count in copy.left.items()
        if reason is not Left.NO_GRANT  # that one is about the recipient, not about the message
    }
    if left:
        await connection.execute(upsert(message_left).on_conflict_do_nothing(), [left[key] for key in sorted(left)])
    if with_links:
        await _write_links(connection, _links(copies))


async def _write_links(connection: AsyncConnection, rows: _Links) -> None:
    if rows:
        await connection.execute(upsert(links).on_conflict_do_nothing(), list(rows.values()))


def _links(copies: Sequence[Registration]) -> _Links:
    found = {
        (copy.message, link.number): {
            "message": copy.message,
            "number": link.number,
            "host": link.host,
            "path": link.path,
        }
        for copy in copies
        for link in copy.links
    }
    return {key: found[key] for key in sorted(found)}


def _message(item: Registration) -> dict[str, Any]:
    return {
        "id": item.message,
        "owner": item.owner,
        "label": item.label,
        "first_hour": item.sent_hour,
        "last_hour": item.sent_hour,
        "last_day": item.last_day,
    }


def _message_statement() -> Any:
    statement = upsert(messages)
    known, new = messages.c, statement.excluded
    first = func.coalesce(known.first_hour, new.first_hour)
    return statement.on_conflict_do_update(
        index_elements=["id"],
        set_={
            "label": func.coalesce(known.label, new.label),
            "first_hour": case((new.first_hour < first, new.first_hour), else_=first),
            "last_hour": case((new.last_hour > known.last_hour, new.last_hour), else_=known.last_hour),
            "last_day": case((new.last_day > known.last_day, new.last_day), else_=known.last_day),
        },
        where=or_(  # a copy that says nothing new about its message writes nothing
            known.first_hour.is_(None),
            new.first_hour < known.first_hour,
            new.last_hour > known.last_hour,
            new.last_day > known.last_day,
            known.label.is_(None) & new.label.is_not(None),
        ),
    )


_MESSAGE = _message_statement()
