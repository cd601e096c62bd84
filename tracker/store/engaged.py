"""Looks anew for the last hour in which a person touched a message, where the event that it was taken from has gone.

The law: that hour is event data. A trigger notes it when an event is written, and another puts it back to 0 in the
very transaction in which the event goes (migrations/engaged_triggers); what is left is looked for here, soon after and
in nobody's way.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import delete, func, literal, select, update
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
            unsure = {row.message: row.asked for row in await connection.execute(select(engaged_unsure).limit(CHUNK))}
            hours = await _last_hours(connection, list(unsure), today)
        if not unsure:
            return looked
        async with database.write() as connection:
            for message in sorted(unsure):
                settled = await connection.execute(
                    delete(engaged_unsure).where(
                        engaged_unsure.c.message == message, engaged_unsure.c.asked == unsure[message]
                    )
                )
                # Where more went meanwhile, what was found may have gone with it: then it is looked for again.
                if settled.rowcount and message in hours:
                    await connection.execute(
                        update(messages)
                        .where(messages.c.id == message, messages.c.engaged_hour < hours[message])
                        .values(engaged_hour=hours[message])
                    )
        looked += len(unsure)


async def doubt_expired(connection: AsyncConnection, today: Day, retention_days: int) -> None:
    """Forget the last hour of messages of which copies have expired: where whole partitions go, no trigger is run."""
    begun = later(today, -retention_days) * 24
    concerned = select(messages.c.id, literal(1)).where(messages.c.engaged_hour > 0, messages.c.first_hour < begun)
    noted = upsert(engaged_unsure).from_select(["message", "asked"], concerned.order_by(messages.c.id))
    await connection.execute(noted.on_conflict_do_nothing())
    await connection.execute(
        update(messages).where(messages.c.id.in_(select(engaged_unsure.c.message))).values(engaged_hour=0)
    )


async def _last_hours(connection: AsyncConnection, keys: list[bytes], today: Day) -> dict[bytes, int]:
    rows = await connection.execute(
        select(deliveries.c.message, func.max(events.c.hour))
        .join(events, (events.c.last_day == deliveries.c.last_day) & (events.c.delivery == deliveries.c.id))
        .where(deliveries.c.message.in_(keys), deliveries.c.last_day >= today, events.c.agent >= Agent.PROXY)
        .group_by(deliveries.c.message)
    )
    return {message: hour for message, hour in rows}  # noqa: C416 - rows are no mapping
