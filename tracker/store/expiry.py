"""Deletes every row whose last day has passed, in short transactions, and ends the grants that no longer hold.

The law: a row goes on the day after its last; the ledger's contents too, in a transaction that knows the day. What is
counted of copies is folded in the transaction that deletes them. Every statement finds its rows by a key or an index:
a sweep costs what it deletes, however much stays.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Row, Table, and_, bindparam, delete, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.core.calendar import hour_of, later
from tracker.core.ledger import Statement
from tracker.model import MAIL_PURPOSES, Day, Hour, LedgerEvent, OwnActor, Purpose
from tracker.store.engaged import hold_messages_of
from tracker.store.engine import Database
from tracker.store.folding import drop_small, finish, fold, hold_folding, of_grants, small_pairs
from tracker.store.ledger import append, ended_with, unsupported
from tracker.store.pace import Pace
from tracker.store.past_copies import COPIES, delete_past
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
    outbox,
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
from tracker.store.unneeded import forget_unneeded

GRANTS: Final = 100
"""The most grants that one transaction ends: each takes its events along, and some write to the ledger."""
BY_DAY: Final = (
    outbox, *COPIES, messages, pending, suppressions, external_ids, erased_ids, calls, mailings, spent, audit,
    untouched, ledger_contents, ledger_ends, sessions, accounts, swept,
)  # fmt: skip
"""Tables that a last day alone decides about, children first."""


async def sweep(
    database: Database, ledger_key: bytes, today: Day, now: datetime, *, proof_days: int, minimum_group: int
) -> dict[str, int]:
    """Delete all that is past its day; rows deleted by table, those that a grant takes along among them.

    What is counted of copies goes on counting in messages of MINIMUM_GROUP people. Raises StoreUnavailable; what was
    deleted before stays so.
    """
    deleted = await end_grants(database, ledger_key, today, now, proof_days=proof_days, minimum_group=minimum_group)
    deleted += await _delete(database, outbox, today, minimum_group)  # a day whose events are told is not dropped
    deleted += await delete_past(database, today, hour_of(now), minimum_group)
    for table in BY_DAY:
        if table not in (outbox, *COPIES):
            deleted += await _delete(database, table, today, minimum_group)
    await _drop_small(database, minimum_group)
    names = [table.name for table in (grants, *BY_DAY, recipients)]
    return {name: deleted[name] for name in names}


async def end_grants(
    database: Database, ledger_key: bytes, today: Day, now: datetime, *, proof_days: int, minimum_group: int
) -> Counter[str]:
    """End the grants that are past their day or rest on a superseded notice.

    The rows of grants, tracked and events that went, by table. Raises StoreUnavailable.
    """
    ended: Counter[str] = Counter()
    pace = Pace(least=5, most=GRANTS, others_write=database.others_write)
    while True:
        taken = pace.rows
        async with database.write() as connection:
            with pace.measured():
                purposes = await _ending(connection, today, taken)
                people: dict[frozenset[Purpose], list[int]] = defaultdict(list)
                for recipient, theirs in purposes.items():
                    people[theirs & MAIL_PURPOSES].append(recipient)
                await hold_folding(connection)
                await hold_messages_of(connection, purposes)
                for ending, those in people.items():
                    if not ending:
                        continue
                    await fold(connection, of_grants(ending, those), hour_of(now), minimum_group)
                    ended += await _going_along(connection, those, ending)
                for recipient, theirs in purposes.items():
                    await expire(connection, ledger_key, recipient, theirs, now, later(today, proof_days))
        count = sum(map(len, purposes.values()))
        ended[grants.name] += count
        if not purposes:
            return ended
        if count >= taken:  # else hardly any are left to rest for
            await pace.rest()


async def overdue(connection: AsyncConnection, today: Day) -> dict[str, int]:
    """How many rows of each table are past their day."""
    counts = {}
    for table in (*BY_DAY, grants):
        counts[table.name] = await _count(connection, table, table.c.last_day < today)
    contents = ledger_contents.c
    ended_ones = (contents.last_day >= today, contents.entry.in_(ended_with(today)))
    counts[ledger_contents.name] += await _count(connection, ledger_contents, *ended_ones)
    return counts


async def oldest_event_hour(connection: AsyncConnection) -> Hour | None:
    """The hour of the oldest event among those that go first."""
    first = select(func.min(events.c.last_day)).scalar_subquery()
    found = await connection.execute(select(func.min(events.c.hour)).where(events.c.last_day == first))
    hour: int | None = found.scalar_one()
    return None if hour is None else Hour(hour)


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


async def _ending(connection: AsyncConnection, today: Day, count: int) -> dict[int, frozenset[Purpose]]:
    """The purposes of which people have grants that do not hold on TODAY, all of each person's, for about COUNT grants.

    Which notices are superseded, and each of the two reasons, is asked for by itself: else PostgreSQL reads all grants.
    """
    versions = set((await connection.execute(superseded(today))).scalars())
    dead = (grants.c.last_day < today, grants.c.notice_version.in_(versions))
    some: list[int] = []
    for way in dead:
        found = await connection.execute(select(grants.c.recipient).where(way).limit(count - len(some)))
        some += found.scalars().all()
    theirs = select(grants.c.recipient, grants.c.purpose).where(grants.c.recipient.in_(some), or_(*dead))
    purposes: dict[int, set[Purpose]] = defaultdict(set)
    for recipient, purpose in await connection.execute(theirs):
        purposes[recipient].add(purpose)
    return {recipient: frozenset(ended) for recipient, ended in purposes.items()}


async def _going_along(
    connection: AsyncConnection, people: Sequence[int], purposes: frozenset[Purpose]
) -> Counter[str]:
    """The rows that the schema's cascades delete with grants of PEOPLE for PURPOSES, by table."""
    theirs = and_(tracked.c.recipient.in_(people), tracked.c.purpose.in_(purposes))
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


async def _count(connection: AsyncConnection, table: Table, *those: ColumnElement[bool]) -> int:
    found = await connection.execute(select(func.count()).select_from(table).where(*those))
    return int(found.scalar_one())


async def _delete(database: Database, table: Table, today: Day, minimum_group: int) -> Counter[str]:
    """Delete the rows of TABLE that are past their day, with what only they held; rows by table."""
    key = list(table.primary_key)
    theirs = [column for column in table.c if column.name == "recipient" and column not in key]
    due = select(*key, *theirs).where(table.c.last_day < today)
    if table is messages:  # a copy may be there still when its day could not be taken away
        due = due.where(~exists().where(deliveries.c.message == messages.c.id))
    deleted: Counter[str] = Counter()
    pace = Pace(others_write=database.others_write)
    while True:
        taken = pace.rows
        async with database.write(sweep_day=today) as connection:
            with pace.measured():
                rows = (await connection.execute(due.limit(taken))).all()
                if rows:
                    deleted += await _delete_rows(connection, table, rows, today, minimum_group)
        if len(rows) < taken:
            return deleted
        await pace.rest()


async def _delete_rows(
    connection: AsyncConnection, table: Table, rows: Sequence[Row[Any]], today: Day, minimum_group: int
) -> Counter[str]:
    key = list(table.primary_key)
    by_key = delete(table).where(and_(*(column == bindparam(f"at_{column.name}") for column in key)))
    # On PostgreSQL another server may have prolonged a row meanwhile.
    by_key = by_key.where(table.c.last_day < bindparam("today"))
    deleted = Counter({table.name: len(rows)})
    if table is messages:
        await finish(connection, [row.id for row in rows], minimum_group)
    elif table is ledger_contents:
        deleted[table.name] += await _delete_ended(connection, [row.entry for row in rows])
    await connection.execute(by_key, [{**_named(key, row), "today": today} for row in rows])
    if "recipient" in table.c:
        deleted[recipients.name] = await forget_unneeded(connection, {row.recipient for row in rows})
    return deleted


async def _delete_ended(connection: AsyncConnection, due: Sequence[int]) -> int:
    """Delete the contents of entries that those DUE ended, and that are not due themselves; how many."""
    ended = select(ledger_ends.c.ended).where(ledger_ends.c.entry.in_(due), ledger_ends.c.ended.not_in(due))
    return (await connection.execute(delete(ledger_contents).where(ledger_contents.c.entry.in_(ended)))).rowcount


async def _drop_small(database: Database, minimum_group: int) -> None:
    """Delete what is folded of messages that have fewer people than MINIMUM_GROUP by now."""
    async with database.read() as connection:
        pairs = await small_pairs(connection, minimum_group)
    pace, at = Pace(others_write=database.others_write), 0
    while at < len(pairs):
        taken = pairs[at : at + pace.rows]
        async with database.write() as connection:
            with pace.measured():
                await hold_folding(connection)
                await drop_small(connection, taken, minimum_group)
        at += len(taken)
        if at < len(pairs):
            await pace.rest()


def _named(key: Sequence[Column[Any]], row: Row[Any]) -> dict[str, Any]:
    return {f"at_{column.name}": value for column, value in zip(key, row, strict=False)}
