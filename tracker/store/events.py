"""Writes events: the only insert into `events`, which applies the grant again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.model import Day, Event
from tracker.store.engine import Database
from tracker.store.schema import events, grants, is_live, tracked
from tracker.store.upsert import upsert

_TARGET = (tracked.c.last_day, tracked.c.delivery, tracked.c.purpose)


async def record_events(database: Database, items: Sequence[tuple[Event, Day]]) -> list[bool]:
    """Write events in one transaction, each with the day it came in; whether each found a live grant to hang on.

    One that is there already is accepted and changes nothing. Raises StoreUnavailable.
    """
    today = max(day for _, day in items)
    async with database.write() as connection:
        accepted = await _accepted(connection, {_key(event) for event, _ in items}, today)
        rows = {event for event, _ in items if _key(event) in accepted}
        if rows:
            await connection.execute(_INSERT, [_parameters(event, today) for event in rows])
    return [_key(event) in accepted for event, _ in items]


def _key(event: Event) -> tuple[Any, ...]:
    return event.last_day, event.delivery, event.purpose


def _parameters(event: Event, today: Day) -> dict[str, Any]:
    return {
        "at_day": event.last_day,
        "at_delivery": event.delivery,
        "at_purpose": event.purpose,
        "link": event.link,
        "hour": event.hour,
        "agent": event.agent,
        "today": today,
    }


def _open(columns: Sequence[Any], today: Any) -> Select[Any]:
    """The tracked deliveries that an event may hang on."""
    return (
        select(*columns)
        .select_from(tracked)
        .join(grants, (grants.c.recipient == tracked.c.recipient) & (grants.c.purpose == tracked.c.purpose))
        .where(tracked.c.closed == 0, tracked.c.last_day >= today, is_live(today))
    )


async def _accepted(connection: AsyncConnection, keys: set[tuple[Any, ...]], today: Day) -> set[tuple[Any, ...]]:
    rows = await connection.execute(
        # Two lists, since SQLite finds a list of pairs only by reading the whole table. Who asks compares the keys.
        _open(_TARGET, today).where(
            tracked.c.last_day.in_({key[0] for key in keys}), tracked.c.delivery.in_({key[1] for key in keys})
        )
    )
    return {tuple(row) for row in rows}


_INSERT = (
    upsert(events)
    .from_select(
        ["last_day", "delivery", "purpose", "link", "hour", "agent"],
        _open(
            [*_TARGET, *(bindparam(name, type_=events.c[name].type) for name in ("link", "hour", "agent"))],
            bindparam("today", type_=events.c.hour.type),
        ).where(
            tracked.c.last_day == bindparam("at_day"),
            tracked.c.delivery == bindparam("at_delivery"),
            tracked.c.purpose == bindparam("at_purpose"),
        ),
    )
    .on_conflict_do_nothing()
)
