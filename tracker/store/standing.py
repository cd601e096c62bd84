"""Reads where a person stands, and keeps the references under which senders know them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.model import Day, Grant, Method, PendingGrant, Pseudonym, Purpose, Standing
from tracker.store.schema import external_ids, grants, is_live, pending, recipients, suppressions
from tracker.store.upsert import upsert


async def recipient_of(connection: AsyncConnection, pseudonym: Pseudonym) -> int | None:
    """The id of the person behind PSEUDONYM, if there is one."""
    found = await connection.execute(select(recipients.c.id).where(recipients.c.pseudonym == pseudonym))
    return found.scalar_one_or_none()


async def read_standing(connection: AsyncConnection, pseudonym: Pseudonym, today: Day) -> Standing:
    """Where the person behind PSEUDONYM stands on TODAY."""
    found = await read_standings(connection, [pseudonym], today)
    return found[pseudonym][1] if found else Standing()


async def read_standings(
    connection: AsyncConnection, pseudonyms: Collection[Pseudonym], today: Day
) -> dict[Pseudonym, tuple[int, Standing]]:
    """The ids of those behind PSEUDONYMS who are known, and where each of them stands on TODAY."""
    named = await connection.execute(select(recipients).where(recipients.c.pseudonym.in_(pseudonyms)))
    people = {row.id: Pseudonym(row.pseudonym) for row in named}
    if not people:
        return {}
    given: dict[int, dict[Purpose, Grant]] = defaultdict(dict)
    for row in await connection.execute(select(grants).where(grants.c.recipient.in_(people), is_live(today))):
        given[row.recipient][row.purpose] = Grant(
            row.purpose,
            Day(row.last_day),
            datetime.fromisoformat(row.given_at),
            row.notice_version,
            row.entry,
        )
    waiting: dict[int, dict[Purpose, PendingGrant]] = defaultdict(dict)
    open_questions = select(pending).where(pending.c.recipient.in_(people), pending.c.last_day >= today)
    for row in await connection.execute(open_questions):
        waiting[row.recipient][row.purpose] = PendingGrant(
            row.purpose, Day(row.last_day), Method(row.method), row.entry
        )
    refused: dict[int, dict[Purpose, Day]] = defaultdict(dict)
    noes = select(suppressions).where(suppressions.c.recipient.in_(people), suppressions.c.last_day >= today)
    for row in await connection.execute(noes):
        refused[row.recipient][row.purpose] = Day(row.last_day)
    return {
        pseudonym: (number, Standing(given.get(number, {}), waiting.get(number, {}), refused.get(number, {})))
        for number, pseudonym in people.items()
    }


async def remember_references(connection: AsyncConnection, rows: list[dict[str, object]]) -> None:
    """Write rows of `external_ids`; one that says nothing new is not written."""
    reference = upsert(external_ids)
    known, new = external_ids.c, reference.excluded
    await connection.execute(
        reference.on_conflict_do_update(
            index_elements=["source", "reference"],
            set_={"recipient": new.recipient, "last_day": new.last_day},
            where=(known.recipient != new.recipient) | (known.last_day < new.last_day),
        ),
        rows,
    )
