"""Writes messages and their links on PostgreSQL, on which deliveries hang; on SQLite registrations_sqlite does.

The law: hits wait for nobody's links. Where there are many they are written ahead, some at a time, each time in a
transaction of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.model import Left, LinkNumber, MessageKey, Registration
from tracker.store.engine import Database
from tracker.store.schema import links

FEW: Final = 200
"""Links that are written in one transaction; it takes some milliseconds."""

_Links: TypeAlias = Mapping[tuple[MessageKey, LinkNumber], tuple[MessageKey, LinkNumber, str, str]]
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
            some = [copy for copy in copies if copy.message in concerned]
            await _write(connection, some, {key: rows[key] for key in chunk})


async def write_messages(connection: AsyncConnection, copies: Sequence[Registration], *, with_links: bool) -> None:
    """Write the messages of COPIES, in their order, with what was left alone in them, and WITH_LINKS the links."""
    await _write(connection, copies, _links(copies) if with_links else {})


def columns_of(rows: Sequence[Sequence[Any]], count: int) -> tuple[list[Any], ...]:
    """The COUNT columns of ROWS, for a statement that unnests them."""
    return tuple(map(list, zip(*rows, strict=True))) if rows else tuple([] for _ in range(count))


async def _write(connection: AsyncConnection, copies: Sequence[Registration], rows: _Links) -> None:
    await connection.exec_driver_sql(_MESSAGES, columns_of(_messages(copies), 6))
    left = {
        (copy.message, reason.value): (copy.message, reason.value, count)
        for copy in reversed(copies)
        for reason, count in copy.left.items()
        if reason is not Left.NO_GRANT  # that one is about the recipient, not about the message
    }
    if left or rows:
        of_left = columns_of([left[key] for key in sorted(left)], 3)
        await connection.exec_driver_sql(_CONTENTS, of_left + columns_of(list(rows.values()), 4))


def _messages(copies: Sequence[Registration]) -> list[tuple[Any, ...]]:
    """A row for each message of COPIES: one statement can change a row but once."""
    found: dict[MessageKey, list[Registration]] = {}
    for copy in copies:
        found.setdefault(copy.message, []).append(copy)
    return [
        (
            key,
            of_one[0].owner,
            next((copy.label for copy in of_one if copy.label is not None), None),
            min(copy.sent_hour for copy in of_one),
            max(copy.sent_hour for copy in of_one),
            max(copy.last_day for copy in of_one),
        )
        for key, of_one in found.items()
    ]


def _links(copies: Sequence[Registration]) -> _Links:
    found = {
        (copy.message, link.number): (copy.message, link.number, link.host, link.path)
        for copy in copies
        for link in copy.links
    }
    return {key: found[key] for key in sorted(found)}


# A copy that says nothing new about its message writes nothing.
_MESSAGES: Final = """
    INSERT INTO messages AS known (id, owner, label, first_hour, last_hour, last_day)
    SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::text[], $4::integer[], $5::integer[], $6::integer[])
    ON CONFLICT (id) DO UPDATE SET
        label = coalesce(known.label, excluded.label),
        first_hour = least(known.first_hour, excluded.first_hour),
        last_hour = greatest(known.last_hour, excluded.last_hour),
        last_day = greatest(known.last_day, excluded.last_day)
    WHERE known.first_hour IS NULL OR excluded.first_hour < known.first_hour
       OR excluded.last_hour > known.last_hour OR excluded.last_day > known.last_day
       OR (known.label IS NULL AND excluded.label IS NOT NULL)
"""
_CONTENTS: Final = """
    WITH left_alone AS (
        INSERT INTO message_left (message, reason, count)
        SELECT * FROM unnest($1::bytea[], $2::text[], $3::integer[])
        ON CONFLICT DO NOTHING
    )
    INSERT INTO links (message, number, host, path)
    SELECT * FROM unnest($4::bytea[], $5::bigint[], $6::text[], $7::text[])
    ON CONFLICT DO NOTHING
"""
