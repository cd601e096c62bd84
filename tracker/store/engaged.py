"""Looks anew for the last hour in which a person touched a message, where the event that it was taken from has gone.

The law: that hour is event data. A trigger notes it when an event is written, and another puts it back to 0 in the
very transaction in which the event goes (migrations/engaged_triggers); what is left is looked for here, soon after and
in nobody's way. Whoever holds several messages takes them in the order of their ids: no two wait for each other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Final

from sqlalchemy import ColumnElement, delete, exists, func, literal, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.core.calendar import later
from tracker.model import Agent, Day
from tracker.store.engine import Database
from tracker.store.schema import deliveries, engaged_unsure, events, messages
from tracker.store.upsert import upsert

CHUNK: Final = 50
"""Messages that are looked at in one transaction."""


async def look_anew(database: Database, today: Day) -> int:
    """Find the last hour, as of TODAY, of every message that lost it; how many. Raises StoreUnavailable."""
    looked = 0
    while True:
        async with database.read() as connection:
            notes: dict[bytes, list[int]] = defaultdict(list)
            some = select(engaged_unsure.c.message).distinct().order_by(engaged_unsure.c.message).limit(CHUNK)
            for row in await connection.execute(select(engaged_unsure).where(engaged_unsure.c.message.in_(some))):
                notes[row.message].append(row.asked)
            seen = await _noted_hours(connection, notes)
            hours = await _last_hours(connection, list(notes), today)
        if not notes:
            return looked
        async with database.write() as connection:
            await _hold(connection, messages.c.id.in_(notes))
            for message in sorted(notes):
                await _settle(connection, message, notes[message], seen.get(message), hours.get(message, 0))
        looked += len(notes)


async def hold_messages_of(connection: AsyncConnection, people: Collection[int]) -> None:
    """Hold until the commit the messages that PEOPLE (their ids) got, before anything of theirs is deleted.

    Then what is deleted takes its hour along whoever writes meanwhile: hits pass over what is held. On SQLite nobody
    else writes anyway.
    """
    if people:
        theirs = select(deliveries.c.message).where(deliveries.c.recipient.in_(list(people)))
        await _hold(connection, messages.c.id.in_(theirs))


async def doubt_expired(connection: AsyncConnection, today: Day, retention_days: int) -> None:
    """Forget the last hour of messages of which copies have expired: where whole partitions go, no trigger is run."""
    begun = later(today, -retention_days) * 24
    # The number is the day's: to do it twice leaves one note.
    expired = (messages.c.engaged_hour > 0) & (messages.c.first_hour < begun)
    await _hold(connection, expired)
    concerned = select(messages.c.id, literal(int(today))).where(expired)
    noted = upsert(engaged_unsure).from_select(["message", "asked"], concerned)
    await connection.execute(noted.on_conflict_do_nothing())
    await connection.execute(
        update(messages).where(expired, messages.c.id.in_(select(engaged_unsure.c.message))).values(engaged_hour=0)
    )


async def _hold(connection: AsyncConnection, those: ColumnElement[bool]) -> None:
    if connection.dialect.name == "postgresql":
        held = select(messages.c.id).where(those).order_by(messages.c.id)
        await connection.execute(held.with_for_update(key_share=True))


async def _settle(
    connection: AsyncConnection, message: bytes, notes: Collection[int], seen: int | None, hour: int
) -> None:
    """Put HOUR into MESSAGE, which had SEEN when NOTES said to look; not when there are others since."""
    of_message = engaged_unsure.c.message == message
    await connection.execute(delete(engaged_unsure).where(of_message, engaged_unsure.c.asked.in_(notes)))
    # Where more went meanwhile, what was found may have gone with it: then it is looked for again. What a later hit
    # put there stays.
    stale = or_(messages.c.engaged_hour == seen, messages.c.engaged_hour < hour)
    await connection.execute(
        update(messages)
        .where(messages.c.id == message, messages.c.engaged_hour != hour, stale, ~exists().where(of_message))
        .values(engaged_hour=hour)
    )


async def _noted_hours(connection: AsyncConnection, keys: Collection[bytes]) -> Mapping[bytes, int]:
    """The last hour of each of the messages KEYS as it is written there."""
    rows = await connection.execute(select(messages.c.id, messages.c.engaged_hour).where(messages.c.id.in_(keys)))
    return {message: hour for message, hour in rows}  # noqa: C416 - rows are no mapping


async def _last_hours(connection: AsyncConnection, keys: list[bytes], today: Day) -> dict[bytes, int]:
    rows = await connection.execute(
        select(deliveries.c.message, func.max(events.c.hour))
        .join(events, (events.c.last_day == deliveries.c.last_day) & (events.c.delivery == deliveries.c.id))
        .where(deliveries.c.message.in_(keys), deliveries.c.last_day >= today, events.c.agent >= Agent.PROXY)
        .group_by(deliveries.c.message)
    )
    return {message: hour for message, hour in rows}  # noqa: C416 - rows are no mapping
