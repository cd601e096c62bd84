"""Writes events on PostgreSQL, a group in one statement: the only insert into `events`, which applies the grant again.

Each event looks for its own tracked copy and grant by their keys (LATERAL): whatever the planner guesses of a
partition that was filled since this morning, it must not read the whole of it.

The law: it waits for nobody. A grant or a tracked copy that somebody is just taking away is passed over, and the rows
that it keeps are its own until the commit, so that the foreign keys find them without waiting either.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tracker.model import Day, Event
from tracker.store.bursts import BurstKey, Struck, mark_bursts, nothing_struck, struck_of
from tracker.store.engine import Database
from tracker.store.postgres import passing_over

_WRITE: Final = """
    WITH found AS (
        SELECT given.*
        FROM unnest($1::integer[], $2::bytea[], $3::text[], $4::bigint[], $5::integer[], $6::integer[])
             WITH ORDINALITY AS given(last_day, delivery, purpose, link, hour, agent, number)
        CROSS JOIN LATERAL (
            SELECT recipient FROM tracked
            WHERE last_day = given.last_day AND delivery = given.delivery AND purpose = given.purpose
              AND closed = 0 AND last_day >= $7::integer
            FOR KEY SHARE SKIP LOCKED
        ) AS hanging
        CROSS JOIN LATERAL (
            SELECT entry FROM grants
            WHERE recipient = hanging.recipient AND purpose = given.purpose AND last_day >= $7::integer
              AND notice_version NOT IN (SELECT version FROM notices WHERE superseded_day <= $7::integer)
            FOR KEY SHARE SKIP LOCKED
        ) AS allowed
    ), written AS (
        INSERT INTO events (last_day, delivery, purpose, link, hour, agent)
        SELECT DISTINCT last_day, delivery, purpose, link, hour, agent FROM found
        ORDER BY last_day, delivery, purpose, link, hour, agent  -- so that two groups never wait for each other
        ON CONFLICT DO NOTHING{telling}
    )
    SELECT number FROM found
"""
_TELLING: Final = """
        RETURNING last_day, delivery, purpose, link, hour, agent
    ), told AS (
        INSERT INTO outbox (last_day, delivery, purpose, link, hour, agent, due, tries)
        SELECT written.*, (hour + CASE WHEN covers.live THEN 0 ELSE 1 END) * 3600::bigint, 0
        FROM written
        JOIN tracked USING (last_day, delivery, purpose)
        JOIN grants USING (recipient, purpose)
        JOIN LATERAL (
            SELECT bool_or(position('"live"' IN features) > 0) AS live,
                   bool_or(position('"webhook"' IN features) > 0) AS webhook
            FROM notices WHERE version = notice_version
        ) AS covers ON covers.webhook
        WHERE EXISTS (
            SELECT FROM external_ids
            WHERE external_ids.recipient = tracked.recipient AND source = $8::text
              AND external_ids.last_day >= $7::integer
        )
        ON CONFLICT DO NOTHING"""
_WRITE_ALONE: Final = _WRITE.format(telling="")
_WRITE_AND_TELL: Final = _WRITE.format(telling=_TELLING)


async def record_events(
    database: Database,
    items: Sequence[tuple[Event, Day]],
    struck: Struck = nothing_struck,
    told_to: str | None = None,
) -> list[bool]:
    """Write events in one transaction, each with the day it came in; whether each found a live grant to hang on.

    One that is there already is accepted and changes nothing. Where STRUCK knows of a burst, what people seem to have
    done becomes a program's. What is new and may be told to TOLD_TO, who gave references for people, is put into the
    outbox with it. Raises StoreUnavailable.
    """
    found = [event for event, _ in items]
    columns = (
        [event.last_day for event in found],
        [event.delivery for event in found],
        [event.purpose.value[0] for event in found],
        [event.link for event in found],
        [event.hour for event in found],
        [int(event.agent) for event in found],
        max(day for _, day in items),
    )
    marked: set[BurstKey] = set()
    statement, values = (_WRITE_ALONE, columns) if told_to is None else (_WRITE_AND_TELL, (*columns, told_to))
    async with database.write(alone=False) as connection:
        accepted = set((await connection.exec_driver_sql(statement, values)).scalars())
        if known := struck_of(found, struck):
            # Groups that have each written what the other is to move to would wait for each other.
            async with passing_over(connection):
                await mark_bursts(connection, known)
                marked = known
    # Who marked a burst meanwhile did not see these rows before their commit; what was passed over comes here as well.
    if since := struck_of(found, struck) - marked:
        async with database.write(alone=False) as connection:
            await mark_bursts(connection, since)
    return [number in accepted for number in range(1, len(items) + 1)]
