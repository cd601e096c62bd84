"""Reads the last hour in which a person touched a delivery, so that lists can begin with what happened last.

The law: it is event data. Triggers on `events` write it (migrations/engaged_triggers), and every row hangs on the grant
that its event hangs on, and goes with it; nothing is worked out of it and kept elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Select, exists, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.model import Day, MessageKey, Owner
from tracker.store.schema import engaged, grants, is_live, messages

Place = tuple[int, bytes]
"""An hour and a message: where a message stands in the list."""


async def last_places(
    connection: AsyncConnection, owner: Owner, today: Day, before: Place | None, limit: int
) -> list[Place]:
    """Up to LIMIT messages of OWNER that people touched, each at its last hour, latest first, those BEFORE a place."""
    found: list[Place] = []
    while len(found) < limit:
        steps = (await connection.execute(_walk(owner, today, before, limit + 1))).all()
        found += [(hour, message) for hour, message, last in steps if hour == last]
        if len(steps) <= limit:
            break
        before = (steps[-1].hour, steps[-1].message)
    return found[:limit]


def last_hour_of(message: Any, today: Day) -> Any:
    """The last hour in which a person touched MESSAGE, a column; NULL when nobody did."""
    return (
        _live(today, engaged.c.hour)
        .where(engaged.c.message == message)
        .order_by(engaged.c.hour.desc())
        .limit(1)
        .scalar_subquery()
    )


async def last_hours(connection: AsyncConnection, keys: Collection[bytes], today: Day) -> dict[MessageKey, int]:
    """The last hour in which a person touched each of the messages KEYS, if one did."""
    hour = last_hour_of(messages.c.id, today)
    rows = await connection.execute(select(messages.c.id, hour).where(messages.c.id.in_(keys)))
    return {MessageKey(key): last for key, last in rows if last is not None}


def _live(today: Day, *columns: Any) -> Select[Any]:
    permitted = exists().where(
        grants.c.recipient == engaged.c.recipient, grants.c.purpose == engaged.c.purpose, is_live(today)
    )
    return select(*columns).where(engaged.c.last_day >= today, permitted)


def _walk(owner: Owner, today: Day, before: Place | None, steps: int) -> Select[Any]:
    """STEPS places of OWNER's, latest first, and each message's last hour.

    One search in the index for each step, however many deliveries are at one place: a campaign's are a hundred
    thousand in the same hour.
    """

    def next_place(*columns: Any) -> Select[Any]:
        order = (engaged.c.hour.desc(), engaged.c.message.desc())
        return _live(today, *columns).where(engaged.c.owner == owner).order_by(*order).limit(1)

    place = tuple_(engaged.c.hour, engaged.c.message)
    begin = next_place(engaged.c.hour, engaged.c.message)
    if before is not None:
        begin = begin.where(place < tuple_(*map(literal, before)))
    inner = begin.subquery()
    walk = select(inner.c.hour, inner.c.message, literal(1).label("step")).cte("walk", recursive=True)
    further = place < tuple_(walk.c.hour, walk.c.message)
    walk = walk.union_all(
        select(
            next_place(engaged.c.hour).where(further).correlate(walk).scalar_subquery(),
            next_place(engaged.c.message).where(further).correlate(walk).scalar_subquery(),
            walk.c.step + 1,
        ).where(walk.c.step < steps, walk.c.hour.is_not(None))
    )
    return (
        select(walk.c.hour, walk.c.message, last_hour_of(walk.c.message, today).label("last"))
        .where(walk.c.hour.is_not(None))
        .order_by(walk.c.step)
    )
