"""Hands the events of an hour to the machine that a burst gave away: the only change of an event's agent."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import ColumnElement, FromClause, and_, bindparam, delete, exists, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.model import Agent, Day, DeliveryId, Event, Hour
from tracker.store.compiled import compiled
from tracker.store.schema import events, tracked
from tracker.store.upsert import upsert

Struck = Callable[[DeliveryId, Hour], bool]
"""Whether there was a burst over links of a delivery in that hour."""
BurstKey = tuple[Day, DeliveryId, Hour]


def nothing_struck(_delivery: DeliveryId, _hour: Hour) -> bool:
    """For a store that nobody tells of bursts."""
    return False


def struck_of(items: Iterable[Event], struck: Struck) -> set[BurstKey]:
    """The hours of deliveries among ITEMS in which there was a burst; both, when it went over the end of one."""
    return {
        (item.last_day, item.delivery, hour)
        for item in items
        if struck(item.delivery, item.hour)
        for hour in (Hour(item.hour - 1), item.hour, Hour(item.hour + 1))
        if hour == item.hour or struck(item.delivery, hour)
    }


async def mark_bursts(connection: AsyncConnection, bursts: Iterable[BurstKey]) -> None:
    """Let a program have done what people seem to have done to these deliveries in these hours, opens included.

    To be called after the insert, in its transaction. Image proxies keep theirs: a scanner does not come through one.
    What a withdrawal takes away just now is left to it.
    """
    if rows := _parameters(bursts):
        await connection.execute(_MACHINES, rows)
        await connection.execute(_PEOPLE, rows)


def mark_bursts_at_once(connection: sqlite3.Connection, bursts: Iterable[BurstKey]) -> None:
    """The same for who writes to SQLite in a thread of its own."""
    if rows := _parameters(bursts):
        for statement, always in _AT_ONCE:
            connection.executemany(statement, [{**always, **row} for row in rows])


def _parameters(bursts: Iterable[BurstKey]) -> list[dict[str, Any]]:
    # In order, so that two groups never wait for each other.
    return [{"at_day": day, "at_delivery": delivery, "at_hour": hour} for day, delivery, hour in sorted(bursts)]


def _of_people(table: FromClause) -> ColumnElement[bool]:
    """What people seem to have done to one delivery in one hour."""
    return and_(
        table.c.last_day == bindparam("at_day", type_=events.c.last_day.type),
        table.c.delivery == bindparam("at_delivery", type_=events.c.delivery.type),
        table.c.hour == bindparam("at_hour", type_=events.c.hour.type),
        table.c.agent == Agent.HUMAN,
    )


_KEPT = (events.c.last_day, events.c.delivery, events.c.purpose, events.c.link, events.c.hour)
_free, _machines = events.alias("free"), events.alias("machines")
# SKIP LOCKED: PostgreSQL alone knows it, where a withdrawal may be under way; SQLite has one writer at a time.
_MACHINES = (
    upsert(events)
    .from_select(
        [*(column.name for column in _KEPT), "agent"],
        select(*_KEPT, literal(int(Agent.MACHINE), events.c.agent.type))
        .join_from(
            events,
            tracked,
            and_(
                tracked.c.last_day == events.c.last_day,
                tracked.c.delivery == events.c.delivery,
                tracked.c.purpose == events.c.purpose,
            ),
        )
        .where(_of_people(events))
        .with_for_update(read=True, key_share=True, skip_locked=True, of=tracked),
    )
    .on_conflict_do_nothing()
)
# Only what has become a machine's: a row that came in between the two statements is left to whoever wrote it.
_PEOPLE = delete(events).where(
    _of_people(events),
    tuple_(events.c.purpose, events.c.link).in_(
        select(_free.c.purpose, _free.c.link)
        .where(
            _of_people(_free),
            exists().where(
                *(_machines.c[column.name] == _free.c[column.name] for column in _KEPT),
                _machines.c.agent == Agent.MACHINE,
            ),
        )
        .with_for_update(of=_free, skip_locked=True)
    ),
)


_AT_ONCE = (compiled(_MACHINES), compiled(_PEOPLE))
