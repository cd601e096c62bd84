"""Tells which consents end soon: how many people's, and under which references senders know them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.core.calendar import later
from tracker.model import Day
from tracker.store.schema import external_ids, grants, is_live


@dataclass(frozen=True, slots=True)
class Expiring:
    """What ends with one day."""

    day: Day
    people: int
    references: Mapping[str, tuple[str, ...]]
    """Source → its own ids of those people that it gave one."""


async def expiring(connection: AsyncConnection, today: Day, days: int) -> tuple[Expiring, ...]:
    """The days from TODAY on for DAYS on which live grants end, in order; a day on which none ends is left out."""
    soon = is_live(today), grants.c.last_day <= later(today, days)
    counts = await connection.execute(
        select(grants.c.last_day, func.count(grants.c.recipient.distinct()).label("people"))
        .where(*soon)
        .group_by(grants.c.last_day)
        .order_by(grants.c.last_day)
    )
    known = await connection.execute(
        select(grants.c.last_day, external_ids.c.source, external_ids.c.reference)
        .join(external_ids, external_ids.c.recipient == grants.c.recipient)
        .where(*soon, external_ids.c.last_day >= today)
        .distinct()
        .order_by(external_ids.c.source, external_ids.c.reference)
    )
    references: dict[int, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for row in known:
        references[row.last_day][row.source].append(row.reference)
    return tuple(
        Expiring(
            Day(row.last_day),
            row.people,
            {source: tuple(theirs) for source, theirs in references[row.last_day].items()},
        )
        for row in counts
    )
