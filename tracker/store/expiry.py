"""Deletes every row whose last day has passed, in chunks, and ends the grants that no longer hold.

The law: a row goes on the day after its last; the ledger's contents too, in a transaction that knows the day.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Row, Table, and_, bindparam, delete, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.core.calendar import later
from tracker.core.ledger import Statement
from tracker.model import Day, Hour, LedgerEvent, OwnActor, Purpose
from tracker.store.engine import Database
from tracker.store.ledger import append, ended_by, unsupported
from tracker.store.schema import (
    accounts,
    audit,
    calls,
    deliveries,
    erased_ids,
    events,
    external_ids,
    grants,
    ledger_contents,
    ledger_ends,
    mailings,
    messages,
    metadata,
    pending,
    recipients,
    sessions,
    spent,
    superseded,
    suppressions,
    swept,
    tracked,
    untouched,
)

CHUNK: Final = 1_000
"""The most rows that one transaction deletes: between two of them others can write."""
GRANTS: Final = 100
"""The most grants that one transaction ends: each takes its events along, and some write to the ledger."""

BY_DAY: Final = (
    events, tracked, deliveries, pending, suppressions, external_ids, erased_ids, calls, mailings, spent,
    audit, messages, untouched, sessions, accounts, swept,
)  # fmt: skip
"""Tables that a last day alone decides about, children first."""


async def sweep(database: Database, ledger_key: bytes, today: Day, now: datetime, proof_days: int) -> dict[str, int]:
    """Delete all that is past its day; rows deleted by table, those that a grant takes along among them.

    Raises StoreUnavailable; what was deleted before stays so.
    """
    ended = await end_grants(database, ledger_key, today, now, proof_days)
    deleted = {table.name: ended[table.name] for table in (grants, tracked, events)}
    for table in BY_DAY:
        rows = await _delete(database, table, table.c.last_day < today, today)
        deleted[table.name] = deleted.get(table.name, 0) + rows
    for table in (ledger_contents, ledger_ends):
        deleted[table.name] = await _delete(database, table, _due(table, today), today)
    deleted[recipients.name] = await _delete_unneeded(database)
    return deleted


async def end_grants(database: Database, ledger_key: bytes, today: Day, now: datetime, proof_days: int) -> Counter[str]:
    """End the grants that are past their day or rest on a superseded notice.

    The rows of grants, tracked and events that went, by table. Raises StoreUnavailable.
    """
    ended: Counter[str] = Counter()
    dead = (
        select(grants.c.recipient, grants.c.purpose)
        .where(or_(grants.c.last_day < today, grants.c.notice_version.in_(superseded(today))))
        .limit(GRANTS)
    )
    while True:
        async with database.write() as connection:
            purposes: dict[int, set[Purpose]] = defaultdict(set)
            for recipient, purpose in await connection.execute(dead):
                purposes[recipient].add(purpose)
            for recipient, theirs in purposes.items():
                ended += await _going_along(connection, recipient, frozenset(theirs))
                await expire(connection, ledger_key, recipient, frozenset(theirs), now, later(today, proof_days))
        if not purposes:
            return ended
        ended[grants.name] += sum(map(len, purposes.values()))


async def overdue(connection: AsyncConnection, today: Day) -> dict[str, int]:
    """How many rows of each table are past their day."""
    counts = {}
    for table in (*BY_DAY, grants, ledger_contents):
        query = select(func.count()).select_from(table).where(_due(table, today))
        counts[table.name] = (await connection.execute(query)).scalar_one()
    return counts


async def oldest_event_hour(connection: AsyncConnection) -> Hour | None:
    """The hour of the oldest event among those that go first."""
    first = select(func.min(events.c.last_day)).scalar_subquery()
    found = await connection.execute(select(func.min(events.c.hour)).where(events.c.last_day == first))
    hour: int | None = found.scalar_one()
    return None if hour is None else Hour(hour)


async def _going_along(connection: AsyncConnection, recipient: int, purposes: frozenset[Purpose]) -> Counter[str]:
    """The rows that the schema's cascades delete with grants of RECIPIENT for PURPOSES, by table."""
    theirs = and_(tracked.c.recipient == recipient, tracked.c.purpose.in_(purposes))
    of_events = select(func.count()).select_from(
        tracked.join(
            events,
            and_(*(events.c[name] == tracked.c[name] for name in ("last_day", "delivery", "purpose"))),
        )
    )
    of_tracked = select(func.count()).select_from(tracked)
    return Counter(
        {
            tracked.name: (await connection.execute(of_tracked.where(theirs))).scalar_one(),
            events.name: (await connection.execute(of_events.where(theirs))).scalar_one(),
        }
    )


async def expire(
    connection: AsyncConnection,
    ledger_key: bytes,
    recipient: int,
    purposes: frozenset[Purpose],
    now: datetime,
    last_day: Day,
) -> None:
    """End the grants of RECIPIENT for PURPOSES; the ledger's entry about it stays until LAST_DAY."""
    await connection.execute(delete(grants).where(grants.c.recipient == recipient, grants.c.purpose.in_(purposes)))
    statement = Statement(
        recipient=recipient,
        event=LedgerEvent.EXPIRED,
        purposes=purposes,
        last_day=last_day,
        recorded_at=now,
        actor=OwnActor.TRACKER,
        ends=await unsupported(connection, recipient),
    )
    await append(connection, ledger_key, statement)


async def _delete(database: Database, table: Table, due: ColumnElement[bool], today: Day) -> int:
    key = list(table.primary_key)
    by_key = delete(table).where(and_(*(column == bindparam(f"at_{column.name}") for column in key)))
    if table is not ledger_contents:  # on PostgreSQL another server may have prolonged a row meanwhile
        by_key = by_key.where(due)
    deleted = 0
    while True:
        async with database.write(sweep_day=today) as connection:
            rows = (await connection.execute(select(*key).where(due).limit(CHUNK))).all()
            if rows:
                await connection.execute(by_key, [_named(key, row) for row in rows])
        deleted += len(rows)
        if len(rows) < CHUNK:
            return deleted


async def _delete_unneeded(database: Database) -> int:
    """Delete recipients on whom nothing hangs any more. They are looked for without holding up writers."""
    unneeded = ~or_(*(exists().where(table.c.recipient == recipients.c.id) for table in _HOLDERS))
    deleted, reached = 0, -1
    while True:
        page = select(recipients.c.id).where(recipients.c.id > reached).order_by(recipients.c.id).limit(CHUNK)
        async with database.read() as connection:
            seen = (await connection.execute(page)).scalars().all()
            found = (
                (await connection.execute(select(recipients.c.id).where(recipients.c.id.in_(seen), unneeded)))
                .scalars()
                .all()
            )
        if found:
            async with database.write() as connection:
                gone = await connection.execute(delete(recipients).where(recipients.c.id.in_(found), unneeded))
                deleted += gone.rowcount
        if len(seen) < CHUNK:
            return deleted
        reached = seen[-1]


def _named(key: Sequence[Column[Any]], row: Row[Any]) -> dict[str, Any]:
    return {f"at_{column.name}": value for column, value in zip(key, row, strict=True)}


def _due(table: Table, today: Day) -> ColumnElement[bool]:
    past = table.c.last_day < today
    return or_(past, table.c.entry.in_(ended_by(today))) if table is ledger_contents else past


_HOLDERS: Final = (  # first those that hold most people, so that the search for others ends there
    ledger_contents,
    *(table for table in metadata.sorted_tables if "recipient" in table.c and table is not ledger_contents),
)
