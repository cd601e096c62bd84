"""Reads where a person stands, and keeps the references under which senders know them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.model import Day, Grant, Method, PendingGrant, Pseudonym, Standing
from tracker.store.schema import external_ids, grants, is_live, pending, recipients, suppressions


async def recipient_of(connection: AsyncConnection, pseudonym: Pseudonym) -> int | None:
    """The id of the person behind PSEUDONYM, if there is one."""
    found = await connection.execute(select(recipients.c.id).where(recipients.c.pseudonym == pseudonym))
    return found.scalar_one_or_none()


async def read_standing(connection: AsyncConnection, pseudonym: Pseudonym, today: Day) -> Standing:
    """Where the person behind PSEUDONYM stands on TODAY."""
    recipient = await recipient_of(connection, pseudonym)
    if recipient is None:
        return Standing()
    given = await connection.execute(select(grants).where(grants.c.recipient == recipient, is_live(today)))
    waiting = await connection.execute(
        select(pending).where(pending.c.recipient == recipient, pending.c.last_day >= today)
    )
    refused = await connection.execute(
        select(suppressions).where(suppressions.c.recipient == recipient, suppressions.c.last_day >= today)
    )
    return Standing(
        grants={
            row.purpose: Grant(
                row.purpose,
                Day(row.last_day),
                datetime.fromisoformat(row.given_at),
                row.notice_version,
                row.entry,
            )
            for row in given
        },
        pending={
            row.purpose: PendingGrant(row.purpose, Day(row.last_day), Method(row.method), row.entry) for row in waiting
        },
        suppressed={row.purpose: Day(row.last_day) for row in refused},
    )


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
