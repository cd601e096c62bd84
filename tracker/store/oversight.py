"""Reads what a privacy officer oversees: counts of consents, the audit trail, and what was deleted when."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Column, ColumnElement, Table, delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.core.calendar import day_of, later
from tracker.core.ledger import instant_text
from tracker.core.oversight import AuditLine, ConsentState
from tracker.core.periods import AUDIT_DAYS
from tracker.model import Day, LedgerEvent, Purpose, Reason
from tracker.store.schema import (
    audit,
    deliveries,
    grants,
    is_live,
    ledger_contents,
    message_untouched,
    messages,
    pending,
    suppressions,
    swept,
    untouched,
)

LOOK_BACK: Final = 30
"""Days of the ledger that are counted."""


async def consent_state(connection: AsyncConnection, now: datetime) -> ConsentState:
    """Where all people together stand NOW."""
    today = day_of(now)
    since = now - timedelta(days=LOOK_BACK)
    return ConsentState(
        live=await _by_purpose(connection, grants, is_live(today)),
        pending=await _by_purpose(connection, pending, pending.c.last_day >= today),
        suppressed=await _by_purpose(connection, suppressions, suppressions.c.last_day >= today),
        days=await _by_day(connection, since, today),
        tracked=await _count(connection, deliveries.c.last_day >= today, deliveries),
        untouched=await _untouched(connection, today),
    )


async def audit_page(
    connection: AsyncConnection, today: Day, limit: int, before: int | None
) -> tuple[tuple[AuditLine, ...], int | None]:
    """Up to LIMIT lines of the trail, newest first, from before the line BEFORE on; and where the next page begins."""
    query = select(audit).where(audit.c.last_day >= today).order_by(audit.c.id.desc()).limit(limit + 1)
    if before is not None:
        query = query.where(audit.c.id < before)
    rows = (await connection.execute(query)).all()
    lines = tuple(
        AuditLine(row.id, datetime.fromisoformat(row.at), row.actor, row.action, row.case_number)
        for row in rows[:limit]
    )
    return lines, lines[-1].id if len(rows) > limit else None


async def note_sweep(connection: AsyncConnection, today: Day, deleted: Mapping[str, int]) -> None:
    """Add what a sweep of TODAY DELETED, by table, to what was noted for that day."""
    noted = await connection.execute(select(swept.c.name, swept.c.rows).where(swept.c.day == today))
    whole: Counter[str] = Counter({row.name: row.rows for row in noted})
    whole.update(deleted)
    await connection.execute(delete(swept).where(swept.c.day == today))
    last_day = later(today, AUDIT_DAYS)
    rows = [{"day": today, "name": name, "rows": count, "last_day": last_day} for name, count in whole.items()]
    if rows:
        await connection.execute(insert(swept), rows)


async def sweeps(connection: AsyncConnection, today: Day) -> dict[Day, dict[str, int]]:
    """What was deleted on each of the last days, by table, newest first."""
    query = (
        select(swept.c.day, swept.c.name, swept.c.rows)
        .where(swept.c.day > later(today, -LOOK_BACK), swept.c.last_day >= today)
        .order_by(swept.c.day.desc(), swept.c.name)
    )
    found: dict[Day, dict[str, int]] = {}
    for row in await connection.execute(query):
        theirs = found.setdefault(Day(row.day), {})
        if row.rows:
            theirs[row.name] = row.rows
    return found


async def _by_purpose(connection: AsyncConnection, table: Table, which: ColumnElement[bool]) -> dict[Purpose, int]:
    query = select(table.c.purpose, func.count()).where(which).group_by(table.c.purpose)
    return {row[0]: row[1] for row in await connection.execute(query)}


async def _by_day(connection: AsyncConnection, since: datetime, today: Day) -> dict[Day, dict[LedgerEvent, int]]:
    # Entries stand in the order of their time: those of the last days are the last ones.
    text = instant_text(since)
    entry = ledger_contents.c.entry
    earlier = select(entry).where(ledger_contents.c.recorded_at < text).order_by(entry.desc()).limit(1)
    last = (await connection.execute(earlier)).scalar_one_or_none() or 0
    day: Column[str] = func.substr(ledger_contents.c.recorded_at, 1, 10).label("day")  # type: ignore[assignment]
    query = (
        select(day, ledger_contents.c.event, func.count())
        .where(entry > last, ledger_contents.c.recorded_at >= text, ledger_contents.c.last_day >= today)
        .group_by(day, ledger_contents.c.event)
        .order_by(day.desc())
    )
    found: dict[Day, dict[LedgerEvent, int]] = defaultdict(dict)
    for date, event, count in await connection.execute(query):
        found[day_of(datetime.fromisoformat(f"{date}T00:00:00+00:00"))][LedgerEvent(event)] = count
    return dict(found)


async def _untouched(connection: AsyncConnection, today: Day) -> dict[Reason, int]:
    alone = select(untouched.c.reason, untouched.c.count).where(untouched.c.last_day >= today)
    of_messages = (
        select(message_untouched.c.reason, message_untouched.c.count)
        .join(messages, messages.c.id == message_untouched.c.message)
        .where(messages.c.last_day >= today)
    )
    counts: Counter[Reason] = Counter()
    for part in (alone, of_messages):
        each = part.subquery()
        query = select(each.c.reason, func.sum(each.c.count)).group_by(each.c.reason)
        for reason, count in await connection.execute(query):
            counts[Reason(reason)] += int(count)
    return dict(counts.most_common())


async def _count(connection: AsyncConnection, which: ColumnElement[bool], table: Table) -> int:
    return (await connection.execute(select(func.count()).select_from(table).where(which))).scalar_one()
