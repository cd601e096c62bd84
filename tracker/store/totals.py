"""Reads what is still counted of copies that have expired: anonymous, and never of fewer people than `minimum_group`.

While a message goes on, exact counts of its expired copies stand in `folded`, so that its rates do not shift; they are
shown only together with what is still measured, and only where at least `minimum_group` different people are in the
two. When the message goes, `totals` keeps them rounded, without anything that leads back to it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.model import Day, Hour, MessageFigures, Purpose
from tracker.store.schema import deliveries, folded_copies, folded_days, folded_links, grants, is_live, totals, tracked
from tracker.store.schema import folded as folded_rows


@dataclass(frozen=True, slots=True)
class Counted:
    """Copies that were measured until they expired: all of them, touched by people, by machines alone."""

    measured: int
    by_people: int
    by_machines: int


@dataclass(frozen=True, slots=True)
class Folded:
    """What is to be added to the figures of one message; counts are of distinct deliveries, as there."""

    copies: int = 0
    """That went out tracked."""
    measured: Counted = Counted(0, 0, 0)
    """For any purpose: a copy with two of them is one."""
    purposes: Mapping[Purpose, Counted] = field(default_factory=dict)
    links: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    """The number of a link → followed by people, by machines alone."""


@dataclass(frozen=True, slots=True)
class Total:
    """What stays of one message: rounded to 5, None where a count or all but it was below 5."""

    month: Day
    """The first day of the month in which it was first sent."""
    sent: int
    tracked: int
    purposes: Mapping[Purpose, tuple[int | None, int | None, int | None]]
    """Measured, touched by people, by machines alone."""


NOTHING: Final = Folded()
LOOKED_AT: Final = 10_000
"""Copies among which enough people are looked for: a message of millions costs no more than one of thousands."""


async def folded(
    connection: AsyncConnection, messages: Sequence[bytes], today: Day, minimum_group: int
) -> Mapping[bytes, Folded]:
    """What to add to the figures of MESSAGES (their ids) as they are counted on TODAY; nothing for most.

    Small groups are left out: the sum may be shown as any other figure of the message to those who may see that. It
    must not be shown apart, since the expired copies alone may be of one person.
    """
    if not messages:
        return {}
    purposes: dict[bytes, dict[Purpose, Counted]] = defaultdict(dict)
    rows = await connection.execute(select(folded_rows).where(folded_rows.c.message.in_(messages)))
    for row in rows.all():
        if await is_group(connection, row, minimum_group, today):
            purposes[row.message][row.purpose] = Counted(row.measured, row.by_people, row.by_machines)
    if not purposes:
        return {}
    copies = await connection.execute(select(folded_copies).where(folded_copies.c.message.in_(purposes)))
    counts = {row["message"]: row for row in copies.mappings()}
    clicks = [message for message, of_purpose in purposes.items() if Purpose.CLICK in of_purpose]
    followed: dict[bytes, dict[int, tuple[int, int]]] = defaultdict(dict)
    for row in await connection.execute(select(folded_links).where(folded_links.c.message.in_(clicks))):
        followed[row.message][row.number] = (row.by_people, row.by_machines)
    return {
        message: Folded(
            counts[message]["count"],
            Counted(*(counts[message][name] for name in ("measured", "by_people", "by_machines"))),
            of_purpose,
            followed[message],
        )
        for message, of_purpose in purposes.items()
    }


def together(figures: MessageFigures, more: Folded) -> MessageFigures:
    """FIGURES of what is still measured, with MORE added; those of its links hold it already."""
    gone = {purpose: more.purposes.get(purpose, Counted(0, 0, 0)) for purpose in Purpose}
    measurable = {
        purpose: figures.measurable.get(purpose, 0) + gone[purpose].measured
        for purpose in figures.measurable.keys() | more.purposes.keys()
    }
    return replace(
        figures,
        measurable=measurable,
        measured=figures.measured + more.measured.measured,
        engaged=figures.engaged + more.measured.by_people,
        machines_only=figures.machines_only + more.measured.by_machines,
        opened=figures.opened + gone[Purpose.OPEN].by_people,
        opened_by_machines_only=figures.opened_by_machines_only + gone[Purpose.OPEN].by_machines,
        clicked=figures.clicked + gone[Purpose.CLICK].by_people,
        clicked_by_machines_only=figures.clicked_by_machines_only + gone[Purpose.CLICK].by_machines,
        tracked=figures.tracked + more.copies,
    )


async def kept_totals(connection: AsyncConnection, since: Day) -> tuple[Total, ...]:
    """What stays of messages that are gone, of the month that begins with SINCE and later ones, oldest first."""
    rows = await connection.execute(select(totals).where(totals.c.month >= since).order_by(totals.c.month, totals.c.id))
    return tuple(
        Total(
            Day(row.month),
            row.sent,
            row.tracked,
            {
                Purpose.OPEN: (row.open_measured, row.opened, row.opened_by_machines),
                Purpose.CLICK: (row.click_measured, row.clicked, row.clicked_by_machines),
            },
        )
        for row in rows
    )


def folded_already() -> Select[tuple[int]]:
    """The last days of which all copies are folded, although they are still there."""
    return select(folded_days.c.day)


async def is_group(connection: AsyncConnection, row: Any, minimum_group: int, today: Day | None = None) -> bool:
    """Whether at least MINIMUM_GROUP different people are in ROW of `folded` and what is still measured with it.

    On TODAY; None: whatever is on file. Rather no than yes: a person may come back after all their copies expired,
    and nobody can know that any more. So people are told apart only among those who were sent a copy before the
    first was folded; whoever is counted in the row has no such copy left.
    """
    if row.people >= minimum_group:
        return True
    if await people_measured(connection, row.message, row.purpose, minimum_group, today=today) >= minimum_group:
        return True
    before = await people_measured(
        connection, row.message, row.purpose, minimum_group, today=today, sent_before=row.since_hour
    )
    return bool(row.people + before >= minimum_group)


async def people_measured(
    connection: AsyncConnection,
    message: bytes,
    purpose: Purpose,
    limit: int,
    *,
    today: Day | None = None,
    sent_before: Hour | None = None,
) -> int:
    """How many different people MESSAGE is measured of, counted up to LIMIT; on TODAY, or whoever is on file.

    No more than LOOKED_AT of its copies are looked at.
    """
    sent = select(deliveries).where(deliveries.c.message == message)
    if sent_before is not None:
        sent = sent.where(deliveries.c.sent_hour < sent_before)
    if today is None:
        sent = sent.where(deliveries.c.last_day.not_in(folded_already()))
    else:
        sent = sent.where(deliveries.c.last_day >= today)
    copy = sent.limit(LOOKED_AT).subquery()
    query: Select[Any] = (
        select(copy.c.recipient)
        .join(tracked, (tracked.c.last_day == copy.c.last_day) & (tracked.c.delivery == copy.c.id))
        .where(tracked.c.purpose == purpose)
    )
    if today is not None:
        grant = (grants.c.recipient == tracked.c.recipient) & (grants.c.purpose == tracked.c.purpose)
        query = query.join(grants, grant).where(is_live(today))
    people = query.distinct().limit(limit).subquery()
    return int((await connection.execute(select(func.count()).select_from(people))).scalar_one())
