"""Counts the mails that we sent a person ourselves, so that no more go out than the person can want.

The law: every address costs the same statements, known or not, so that nobody can tell from our haste who is known.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.model import Day, MailKind, Pseudonym
from tracker.store.schema import mailings, recipients
from tracker.store.upsert import upsert


@dataclass(frozen=True, slots=True)
class MailLimit:
    """How many mails may go out in the period for which each is remembered."""

    kinds: frozenset[MailKind]
    """Counted together."""
    to_person: int
    from_source: int | None = None
    """In a day, by one source, to anybody; None: any number."""


async def count_mailing(
    connection: AsyncConnection,
    person: Pseudonym,
    kind: MailKind,
    today: Day,
    limit: MailLimit,
    *,
    last_day: Day,
    source: str | None,
) -> bool:
    """Note that a mail of KIND goes to PERSON on TODAY, and remember it until LAST_DAY; False when LIMIT forbids it."""
    recipient = await _recipient(connection, person)
    to_person = await _sum(
        connection,
        mailings.c.recipient == recipient,
        mailings.c.kind.in_(limit.kinds),
        mailings.c.last_day >= today,
    )
    from_source = await _sum(
        connection, mailings.c.source == source, mailings.c.kind.in_(limit.kinds), mailings.c.day == today
    )
    if to_person >= limit.to_person or (limit.from_source is not None and from_source >= limit.from_source):
        # Written over with what stands there, for a transaction that writes nothing would be over sooner.
        same = update(mailings).where(mailings.c.recipient == recipient, mailings.c.kind.in_(limit.kinds))
        await connection.execute(same.values(count=mailings.c.count))
        return False
    mail = upsert(mailings).values(recipient=recipient, kind=kind, day=today, count=1, source=source, last_day=last_day)
    await connection.execute(
        mail.on_conflict_do_update(index_elements=["recipient", "kind", "day"], set_={"count": mailings.c.count + 1})
    )
    return True


async def _sum(connection: AsyncConnection, *where: ColumnElement[bool]) -> int:
    counted = await connection.execute(select(func.coalesce(func.sum(mailings.c.count), 0)).where(*where))
    total: int = counted.scalar_one()
    return total


async def _recipient(connection: AsyncConnection, person: Pseudonym) -> int:
    known = upsert(recipients).values(id=secrets.randbits(63), pseudonym=person)
    await connection.execute(known.on_conflict_do_nothing(index_elements=["pseudonym"]))
    found = await connection.execute(select(recipients.c.id).where(recipients.c.pseudonym == person))
    identity: int = found.scalar_one()
    return identity
