"""Ends what one API key reported: grants, with the events that hang on them, and what waits for a confirmation.

The law: nobody said no, so the ledger says `expired`, nobody is suppressed, and each person can be asked again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Select, Table, and_, delete, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.core.calendar import day_of, later
from tracker.core.consent import invited_by
from tracker.core.ledger import Statement, evidence_text, instant_text
from tracker.model import Evidence, LedgerEvent, Method, OwnActor, Purpose
from tracker.store.consents import settle_references
from tracker.store.engaged import hold_messages_of
from tracker.store.engine import Database
from tracker.store.ledger import append, unsupported
from tracker.store.schema import grants, ledger_contents, pending

PEOPLE: Final = 100
"""The most people of whom one transaction ends something: between two of them others can write."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How much was ended."""

    grants: int = 0
    pending: int = 0
    people: int = 0


async def end_reported(
    database: Database, ledger_key: bytes, actor: str, since: datetime, now: datetime, proof_days: int
) -> Ended:
    """End every grant and pending grant that rests on what ACTOR reported since; raises StoreUnavailable.

    One that somebody else reported anew since then rests on that, and stays.
    """
    ended, reached = Ended(), -1
    while True:
        async with database.write() as connection:
            people = await _people(connection, actor, since, reached)
            if not people:
                return ended
            await hold_messages_of(connection, people)
            live = await _end(connection, grants, actor, since, people)
            waiting = await _end(connection, pending, actor, since, people)
            await _write_down(connection, ledger_key, people, live, waiting, now, proof_days)
        ended = Ended(
            ended.grants + sum(map(len, live.values())),
            ended.pending + sum(map(len, waiting.values())),
            ended.people + len(people),
        )
        reached = people[-1]


def _reported(table: Table, actor: str, since: datetime) -> Select[Any]:
    """The people with a row in TABLE that rests on what ACTOR reported, or on a yes behind a link made for ACTOR.

    Who holds such a link can press the button as well as the person can.
    """
    invited = evidence_text(Evidence(document=invited_by(actor))).strip("{}")
    behind_its_link = and_(
        ledger_contents.c.method == Method.PAGE, ledger_contents.c.evidence.contains(invited, autoescape=True)
    )
    return (
        select(table.c.recipient)
        .join(ledger_contents, ledger_contents.c.entry == table.c.entry)
        .where(
            or_(ledger_contents.c.actor == actor, behind_its_link),
            ledger_contents.c.recorded_at >= instant_text(since),
        )
    )


async def _people(connection: AsyncConnection, actor: str, since: datetime, reached: int) -> list[int]:
    """The next PEOPLE after REACHED, in the order of their ids: each table is walked through once."""
    found: set[int] = set()
    for table in (grants, pending):
        person = table.c.recipient
        next_ones = _reported(table, actor, since).where(person > reached).distinct().order_by(person).limit(PEOPLE)
        found |= {recipient for (recipient,) in await connection.execute(next_ones)}
    return sorted(found)[:PEOPLE]


async def _end(
    connection: AsyncConnection, table: Table, actor: str, since: datetime, people: Iterable[int]
) -> dict[int, frozenset[Purpose]]:
    """Delete the rows of PEOPLE; the purposes of each. Events go by the schema's cascades."""
    theirs = _reported(table, actor, since).where(table.c.recipient.in_(people)).add_columns(table.c.purpose)
    found: dict[int, set[Purpose]] = defaultdict(set)
    for recipient, purpose in await connection.execute(theirs):
        found[recipient].add(purpose)
    for recipient, purposes in found.items():
        await connection.execute(delete(table).where(table.c.recipient == recipient, table.c.purpose.in_(purposes)))
    return {recipient: frozenset(purposes) for recipient, purposes in found.items()}


async def _write_down(
    connection: AsyncConnection,
    ledger_key: bytes,
    people: list[int],
    live: dict[int, frozenset[Purpose]],
    waiting: dict[int, frozenset[Purpose]],
    now: datetime,
    proof_days: int,
) -> None:
    nothing: frozenset[Purpose] = frozenset()
    for recipient in people:
        statement = Statement(
            recipient=recipient,
            event=LedgerEvent.EXPIRED,
            purposes=live.get(recipient, nothing) | waiting.get(recipient, nothing),
            last_day=later(day_of(now), proof_days),
            recorded_at=now,
            actor=OwnActor.CLI,
            ends=await unsupported(connection, recipient),
        )
        await append(connection, ledger_key, statement)
    await settle_references(connection, people, day_of(now))
