"""Reads all that proves one person's consent, as it stands at one moment: standing, ledger, seals and texts."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.model import Day, Proof, Pseudonym, Seal
from tracker.store.ledger import history
from tracker.store.notices import all_notices
from tracker.store.schema import ledger
from tracker.store.standing import read_standing, recipient_of


async def read_proof(connection: AsyncConnection, pseudonym: Pseudonym, today: Day) -> Proof:
    """What is on record of the person behind PSEUDONYM on TODAY; empty for somebody never heard of."""
    recipient = await recipient_of(connection, pseudonym)
    if recipient is None:
        return Proof()
    said = await history(connection, recipient, today)
    seals = await connection.execute(
        select(ledger.c.entry, ledger.c.previous, ledger.c.digest).where(
            ledger.c.entry.in_([content.entry for content in said])
        )
    )
    agreed_to = {(content.notice_version, content.language) for content in said}
    return Proof(
        standing=await read_standing(connection, pseudonym, today),
        history=said,
        seals={row.entry: Seal(previous=row.previous, digest=row.digest) for row in seals},
        notices=tuple(
            notice for notice in await all_notices(connection) if (notice.version, notice.language) in agreed_to
        ),
    )
