"""Reads grants and registers tracked copies, many at a time, so that events can hang on them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, literal, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.model import Day, DeliveryId, DeliveryRef, Pseudonym, Purpose, Registration
from tracker.store.engine import Database
from tracker.store.messages import has_many_links, write_ahead, write_messages
from tracker.store.partitions import ensure_days
from tracker.store.postgres import passing_over
from tracker.store.schema import deliveries, grants, is_live, recipients, tracked
from tracker.store.standing import remember_references
from tracker.store.upsert import upsert

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
        await _write(connection, copies, today, with_links=not ahead)
        found = await _tracked(connection, [item for item, _ in copies])
    answers = []
    for item, _ in items:
        person = people.get(item.recipient)
        on_file = found[item.last_day, item.delivery, person.id] if person else NOTHING
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
        await connection.execute(
            delete(deliveries).where(deliveries.c.last_day == ref.last_day, deliveries.c.id == ref.delivery)
        )


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
) -> None:
    await write_messages(connection, [item for item, _ in copies], with_links=with_links)
    await connection.execute(
        upsert(deliveries).on_conflict_do_nothing(),
        [
            {
                "last_day": item.last_day,
                "id": item.delivery,
                "recipient": person.id,
                "message": item.message,
                "sent_hour": item.sent_hour,
            }
            for item, person in copies
        ],
    )
    wanted = [
        (item.last_day, item.delivery, person.id, purpose)
        for item, person in copies
        for purpose in sorted(item.purposes & person.purposes)
    ]
    await _track(connection, wanted, today)
    references: list[dict[str, object]] = [
        {"source": item.source, "reference": item.reference, "recipient": person.id, "last_day": person.last_day}
        for item, person in copies
        if item.reference is not None
    ]
    if references:
        references.sort(key=lambda row: (row["source"], row["reference"]))
        async with passing_over(connection):  # the next copy brings them again
            await remember_references(connection, references)


async def _track(
    connection: AsyncConnection, wanted: Sequence[tuple[Day, DeliveryId, int, Purpose]], today: Day
) -> None:
    """Let events hang on deliveries, for purposes with a live grant."""
    days, deliveries_, people, purposes = map(list, zip(*wanted, strict=True))
    if connection.dialect.name == "postgresql":  # where a statement for each row would look at all partitions
        letters = [purpose.value[0] for purpose in purposes]
        await connection.exec_driver_sql(_TRACKED_AT_ONCE, (days, deliveries_, people, letters, today))
        return
    names = ("at_day", "at_delivery", "at_recipient", "at_purpose")
    await connection.execute(_TRACKED, [{**dict(zip(names, row, strict=True)), "today": today} for row in wanted])


async def _tracked(
    connection: AsyncConnection, items: Sequence[Registration]
) -> defaultdict[tuple[Day, DeliveryId, int], frozenset[Purpose]]:
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


_TRACKED = (
    upsert(tracked)
    .from_select(
        ["last_day", "delivery", "purpose", "recipient", "closed"],
        select(deliveries.c.last_day, deliveries.c.id, grants.c.purpose, grants.c.recipient, literal(0))
        .join(grants, grants.c.recipient == deliveries.c.recipient)
        .where(
            deliveries.c.last_day == bindparam("at_day"),
            deliveries.c.id == bindparam("at_delivery"),
            deliveries.c.recipient == bindparam("at_recipient"),
            grants.c.purpose == bindparam("at_purpose"),
            is_live(bindparam("today", type_=deliveries.c.last_day.type)),
        ),
    )
    .on_conflict_do_nothing()
)

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
