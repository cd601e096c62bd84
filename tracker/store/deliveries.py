"""Reads grants and registers tracked copies, many at a time, so that events can hang on them.

On SQLite grants_sqlite and registrations_sqlite do the two, each in one step to the driver's thread and back.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, bindparam, delete, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.model import Day, DeliveryId, DeliveryRef, Pseudonym, Purpose, Registration
from tracker.store.engine import Database
from tracker.store.messages import columns_of, has_many_links, write_ahead, write_messages
from tracker.store.partitions import ensure_days
from tracker.store.postgres import passing_over
from tracker.store.schema import deliveries, grants, is_live, recipients, tracked
from tracker.store.standing import remember_references

NOTHING: frozenset[Purpose] = frozenset()


@dataclass(frozen=True, slots=True)
class _Person:
    """A recipient with a live grant."""

    id: int
    purposes: frozenset[Purpose]
    last_day: Day
    """The latest of the grants' last days."""


async def read_grants(database: Database, items: Sequence[tuple[Pseudonym, Day]]) -> list[frozenset[Purpose]]:
    """The purposes for which each person has a live grant on the day named with it. Raises StoreUnavailable."""
    today = max(day for _, day in items)
    async with database.read() as connection:
        people = await _people(connection, {pseudonym for pseudonym, _ in items}, today)
    return [people[pseudonym].purposes if pseudonym in people else NOTHING for pseudonym, _ in items]


async def register_copies(database: Database, items: Sequence[tuple[Registration, Day]]) -> list[frozenset[Purpose]]:
    """Write copies that are about to leave, in one transaction; the purposes for which each is now tracked.

    A copy for somebody without a live grant leaves no row; one that was registered before changes nothing. Nobody is
    waited for who is just withdrawing: their grant counts as gone. Rows are written in one order by all servers, so
    that two groups never wait for each other. Where messages have many links these are written before, some at a time.
    Raises StoreUnavailable.
    """
    today = max(day for _, day in items)
    await ensure_days(database, {item.last_day for item, _ in items})
    ahead = has_many_links([item for item, _ in items])
    if ahead:
        async with database.read() as connection:
            known = await _people(connection, {item.recipient for item, _ in items}, today)
        await write_ahead(database, [item for item, _ in items if item.recipient in known])
    async with database.write(alone=False) as connection:
        people = await _people(connection, {item.recipient for item, _ in items}, today, hold=True)
        copies = [
            (item, people[item.recipient])
            for item, _ in items
            if item.recipient in people and item.purposes & people[item.recipient].purposes
        ]
        copies.sort(key=lambda copy: (copy[0].message, copy[0].last_day, copy[0].delivery))
        if not copies:
            return [NOTHING] * len(items)
        found: Mapping[tuple[Day, DeliveryId, int], frozenset[Purpose]]
        if await _write(connection, copies, today, with_links=not ahead):
            found = {(item.last_day, item.delivery, person.id): person.purposes for item, person in copies}
        else:  # some were there before
            found = await _tracked(connection, [item for item, _ in copies])
    answers = []
    for item, _ in items:
        person = people.get(item.recipient)
        on_file = found.get((item.last_day, item.delivery, person.id), NOTHING) if person else NOTHING
        answers.append(item.purposes & on_file)
    return answers


async def close_deliveries(database: Database, refs: Sequence[DeliveryRef], recipient: Pseudonym, today: Day) -> None:
    """Take no more opens of deliveries that a copy for RECIPIENT quotes, and no clicks if they were somebody else's.

    Raises StoreUnavailable.
    """
    known = [{"at_day": ref.last_day, "at_delivery": ref.delivery} for ref in refs if ref.last_day >= today]
    if not known:
        return
    own = select(recipients.c.id).where(recipients.c.pseudonym == recipient)
    async with database.write(alone=False) as connection:
        await connection.execute(
            update(tracked)
            .where(
                tracked.c.last_day == bindparam("at_day"),
                tracked.c.delivery == bindparam("at_delivery"),
                tracked.c.closed == 0,
                or_(tracked.c.purpose == Purpose.OPEN, tracked.c.recipient.not_in(own)),
            )
            .values(closed=1),
            known,
        )


async def take_back(database: Database, ref: DeliveryRef) -> None:
    """Forget the delivery REF, whose copy nobody got, and all that hangs on it. Raises StoreUnavailable."""
    async with database.write(alone=False) as connection:
        await forget(connection, (deliveries.c.last_day == ref.last_day) & (deliveries.c.id == ref.delivery))


async def forget(connection: AsyncConnection, those: ColumnElement[bool]) -> None:
    """Delete the deliveries THOSE; first what hangs on them: the trigger of events asks of which message it was."""
    keys = select(deliveries.c.last_day, deliveries.c.id).where(those)
    await connection.execute(delete(tracked).where(tuple_(tracked.c.last_day, tracked.c.delivery).in_(keys)))
    await connection.execute(delete(deliveries).where(those))


async def _people(
    connection: AsyncConnection, pseudonyms: set[Pseudonym], today: Day, *, hold: bool = False
) -> Mapping[Pseudonym, _Person]:
    """Who has a live grant; to HOLD them until the commit, those that somebody is taking away are passed over."""
    query = (
        select(recipients.c.pseudonym, recipients.c.id, grants.c.purpose, grants.c.last_day)
        .join(grants, grants.c.recipient == recipients.c.id)
        .where(recipients.c.pseudonym.in_(pseudonyms), is_live(today))
    )
    if hold:  # means nothing to SQLite, where nobody else writes meanwhile
        query = query.with_for_update(read=True, key_share=True, skip_locked=True, of=grants)
    rows = await connection.execute(query)
    people: dict[Pseudonym, _Person] = {}
    for pseudonym, recipient, purpose, last_day in rows:
        known = people.get(pseudonym, _Person(recipient, NOTHING, last_day))
        people[pseudonym] = _Person(recipient, known.purposes | {purpose}, max(known.last_day, last_day))
    return people


async def _write(
    connection: AsyncConnection, copies: Sequence[tuple[Registration, _Person]], today: Day, *, with_links: bool
) -> bool:
    """Whether all that was wanted is tracked now, and was not before."""
    await write_messages(connection, [item for item, _ in copies], with_links=with_links)
    sent = [(item.last_day, item.delivery, person.id, item.message, item.sent_hour) for item, person in copies]
    await connection.exec_driver_sql(_DELIVERIES, columns_of(sent, 5))
    wanted = [
        (item.last_day, item.delivery, person.id, purpose)
        for item, person in copies
        for purpose in sorted(item.purposes & person.purposes)
    ]
    days, ids, people, purposes = columns_of(wanted, 4)
    letters = [purpose.value[0] for purpose in purposes]
    tracked_now = await connection.exec_driver_sql(_TRACKED_AT_ONCE, (days, ids, people, letters, today))
    references = sorted(
        (item.source, item.reference, person.id, person.last_day)
        for item, person in copies
        if item.reference is not None
    )
    if references:
        news = await connection.exec_driver_sql(_UNKNOWN_REFERENCES, columns_of(references, 4))
        rows = [dict(row._mapping) for row in news]
        if rows:
            async with passing_over(connection):  # the next copy brings them again
                await remember_references(connection, rows)
    return tracked_now.rowcount == len(wanted)


async def _tracked(
    connection: AsyncConnection, items: Sequence[Registration]
) -> Mapping[tuple[Day, DeliveryId, int], frozenset[Purpose]]:
    rows = await connection.execute(
        select(tracked.c.last_day, tracked.c.delivery, tracked.c.recipient, tracked.c.purpose).where(
            tracked.c.last_day.in_({item.last_day for item in items}),
            tracked.c.delivery.in_({item.delivery for item in items}),
        )
    )
    found: defaultdict[tuple[Day, DeliveryId, int], frozenset[Purpose]] = defaultdict(frozenset)
    for last_day, delivery, recipient, purpose in rows:
        found[last_day, delivery, recipient] |= {purpose}
    return found


_UNKNOWN_REFERENCES = """
    SELECT given.*
    FROM unnest($1::text[], $2::text[], $3::bigint[], $4::integer[]) AS given(source, reference, recipient, last_day)
    LEFT JOIN external_ids AS known USING (source, reference)
    WHERE known.recipient IS DISTINCT FROM given.recipient OR known.last_day < given.last_day
    ORDER BY source, reference
"""
_DELIVERIES = """
    INSERT INTO deliveries (last_day, id, recipient, message, sent_hour)
    SELECT * FROM unnest($1::integer[], $2::bytea[], $3::bigint[], $4::bytea[], $5::integer[])
    ON CONFLICT DO NOTHING
"""
_TRACKED_AT_ONCE = """
    INSERT INTO tracked (last_day, delivery, purpose, recipient, closed)
    SELECT given.last_day, given.id, given.purpose, given.recipient, 0
    FROM unnest($1::integer[], $2::bytea[], $3::bigint[], $4::text[]) AS given(last_day, id, recipient, purpose)
    CROSS JOIN LATERAL (
        SELECT FROM deliveries
        WHERE last_day = given.last_day AND id = given.id AND recipient = given.recipient
        OFFSET 0  -- so that each is looked for by its key, whatever the planner guesses
    ) AS sent
    CROSS JOIN LATERAL (
        SELECT FROM grants
        WHERE recipient = given.recipient AND purpose = given.purpose AND last_day >= $5::integer
          AND notice_version NOT IN (SELECT version FROM notices WHERE superseded_day <= $5::integer)
        OFFSET 0
    ) AS allowed
    ORDER BY 1, 2, 3
    ON CONFLICT DO NOTHING
"""
