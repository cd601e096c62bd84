"""Reads what one person did with the messages they got, never past a delivery's or a grant's last day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import FromClause, Row, Select, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.model import Agent, Day, Engagement, Hour, MessageKey, PersonFigures, Pseudonym, Purpose
from tracker.store.figures import Owners, link_figures
from tracker.store.measured import Running, hangs_on, measurable_copies
from tracker.store.schema import deliveries, events, external_ids, grants, is_live, messages, recipients

LONGEST: Final = 100
"""The most messages of one person."""

NOBODY: Final = PersonFigures(frozenset(), ())


async def one_person(
    connection: AsyncConnection, recipient: int | None, owners: Owners, today: Day, running: Running = None
) -> PersonFigures:
    """What a RECIPIENT did with messages of OWNERS (None: of all), most recent first."""
    if recipient is None:
        return NOBODY
    given = await connection.execute(select(grants.c.purpose).where(grants.c.recipient == recipient, is_live(today)))
    purposes = frozenset(given.scalars())
    sent = select(messages.c.id, messages.c.label, func.max(deliveries.c.sent_hour).label("sent")).join(
        deliveries, deliveries.c.message == messages.c.id
    )
    mine = sent.where(deliveries.c.recipient == recipient, deliveries.c.last_day >= today)
    if owners is not None:
        mine = mine.where(messages.c.owner.in_(owners))
    newest: Select[Any] = mine.group_by(messages.c.id, messages.c.label).order_by(
        func.max(deliveries.c.sent_hour).desc(), messages.c.id.desc()
    )
    rows = (await connection.execute(newest.limit(LONGEST))).all()
    copy = (
        measurable_copies(today, running)
        .where(deliveries.c.recipient == recipient, deliveries.c.message.in_([row.id for row in rows]))
        .subquery()
    )
    return PersonFigures(purposes, await _engagements(connection, copy, rows))


async def person_of_reference(
    connection: AsyncConnection, source: str | None, reference: str, today: Day
) -> int | None:
    """The id of the person that SOURCE calls REFERENCE; SOURCE None: any system, if they all mean the same person."""
    found = select(external_ids.c.recipient).where(
        external_ids.c.reference == reference, external_ids.c.last_day >= today
    )
    if source is not None:
        found = found.where(external_ids.c.source == source)
    people = set((await connection.execute(found)).scalars())
    return people.pop() if len(people) == 1 else None


async def pseudonym_of_reference(
    connection: AsyncConnection, source: str | None, reference: str, today: Day
) -> Pseudonym | None:
    """The same person's pseudonym."""
    recipient = await person_of_reference(connection, source, reference, today)
    if recipient is None:
        return None
    found = await connection.execute(select(recipients.c.pseudonym).where(recipients.c.id == recipient))
    return Pseudonym(found.scalar_one())


async def _engagements(
    connection: AsyncConnection, copy: FromClause, rows: Sequence[Row[Any]]
) -> tuple[Engagement, ...]:
    """One for each message that can still be measured: a withdrawal takes the person out of all of them."""
    measurable: dict[bytes, set[Purpose]] = defaultdict(set)
    for message, purpose in await connection.execute(select(copy.c.message, copy.c.purpose).distinct()):
        measurable[message].add(purpose)
    first, machines = await _hours(connection, copy)
    of_links = await link_figures(connection, copy, list(measurable))
    return tuple(
        Engagement(
            message=MessageKey(row.id),
            label=row.label,
            sent=Hour(row.sent),
            measurable=frozenset(measurable[row.id]),
            opened=first.get((row.id, Purpose.OPEN)),
            clicked=first.get((row.id, Purpose.CLICK)),
            machines=row.id in machines,
            links=tuple(link for link in of_links.get(row.id, ()) if link.people or link.machines),
        )
        for row in rows
        if row.id in measurable
    )


async def _hours(
    connection: AsyncConnection, copy: FromClause
) -> tuple[Mapping[tuple[bytes, Purpose], Hour], frozenset[bytes]]:
    """The first hour of a person's hand by message and purpose, and the messages that machines touched."""
    person = events.c.agent >= Agent.PROXY
    rows = await connection.execute(
        select(
            copy.c.message,
            copy.c.purpose,
            func.min(case((person, events.c.hour))),
            func.max(case((person, 0), else_=1)),
        )
        .join_from(copy, events, hangs_on(copy))
        .group_by(copy.c.message, copy.c.purpose)
    )
    found = rows.all()
    first = {(message, purpose): Hour(hour) for message, purpose, hour, _ in found if hour is not None}
    return first, frozenset(message for message, _, _, machine in found if machine)
