"""Tells a mail system what became of people's consent, in its own references; an erasure for as long as it may ask.

The law: a system is told of a person only under the reference that it gave itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import delete, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.model import Change, Day, LedgerEvent
from tracker.store.ledger import contents, entries_after, head
from tracker.store.schema import erased_ids, external_ids, grants, is_live, ledger_contents
from tracker.store.upsert import upsert

STEP: Final = 1_000
"""Entries of the ledger that are looked at together."""
MOST_STEPS: Final = 20
"""How often, at most, for one page: a system that knows few people does not make the store read for long."""


@dataclass(frozen=True, slots=True)
class ChangePage:
    """Some changes in the ledger's order, and how far the ledger was read for them."""

    changes: tuple[Change, ...]
    reached: int
    """The last entry that was looked at."""
    more: bool
    """Whether the ledger goes on after it."""


async def changes_after(connection: AsyncConnection, source: str, entry: int, today: Day, limit: int) -> ChangePage:
    """What became after ENTRY of the people for whom SOURCE has a reference: up to LIMIT changes.

    What waits for a confirmation is none. All changes of one entry are on one page.
    """
    end, _ = await head(connection)
    changes: list[Change] = []
    reached = entry
    for _ in range(MOST_STEPS):
        found = await entries_after(connection, reached, today, STEP)
        step = max(found) if len(found) == STEP else end
        told = [*await _of_entries(connection, source, found, today)]
        told += await _of_erased(connection, source, reached, step, today)
        told.sort(key=lambda change: (change.entry, change.reference))
        room = limit - len(changes)
        if len(told) > room:
            cut = told[room].entry  # the first that is not told any more
            whole = [change for change in told if change.entry < cut]
            if not changes and not whole:  # one person under so many references
                whole = [change for change in told if change.entry == cut]
            changes += whole
            reached = whole[-1].entry if whole else reached
            return ChangePage(tuple(changes), reached, more=True)
        changes += told
        reached = step
        if reached == end:
            break
    return ChangePage(tuple(changes), reached, more=reached < end)


async def _of_entries(
    connection: AsyncConnection, source: str, found: Mapping[int, int], today: Day
) -> Iterator[Change]:
    references = await _references(connection, source, set(found.values()), today)
    if not references:
        return iter(())
    ends = await _live_until(connection, references.keys(), today)
    known = await contents(connection, [entry for entry, recipient in found.items() if recipient in references])
    return (
        Change(
            content.entry,
            reference,
            _told(content.event),
            content.purposes,
            content.recorded_at,
            ends.get(content.entry),
        )
        for content in known
        if content.event is not LedgerEvent.REQUESTED
        for reference in references[found[content.entry]]
    )


def _told(event: LedgerEvent) -> LedgerEvent:
    """EVENT as it is told under a reference that is there: one that was given after an erasure is not itself erased."""
    return LedgerEvent.WITHDRAWN if event is LedgerEvent.ERASED else event


async def _references(
    connection: AsyncConnection, source: str, people: Collection[int], today: Day
) -> dict[int, list[str]]:
    # Asked for the source too, SQLite would walk through all that the source ever gave, for each step anew.
    rows = await connection.execute(
        select(external_ids).where(external_ids.c.recipient.in_(people), external_ids.c.last_day >= today)
    )
    found: dict[int, list[str]] = defaultdict(list)
    for row in rows:
        if row.source == source:
            found[row.recipient].append(row.reference)
    return found


async def _live_until(connection: AsyncConnection, people: Collection[int], today: Day) -> dict[int, Day]:
    """The last day of what is live, by the entry that it rests on."""
    rows = await connection.execute(
        select(grants.c.entry, func.max(grants.c.last_day))
        .where(grants.c.recipient.in_(people), is_live(today))
        .group_by(grants.c.entry)
    )
    return {entry: Day(last_day) for entry, last_day in rows}


async def _of_erased(connection: AsyncConnection, source: str, after: int, until: int, today: Day) -> list[Change]:
    rows = await connection.execute(
        select(erased_ids.c.entry, erased_ids.c.reference, ledger_contents.c.recorded_at)
        .outerjoin(ledger_contents, ledger_contents.c.entry == erased_ids.c.entry)
        .where(
            erased_ids.c.source == source,
            erased_ids.c.entry > after,
            erased_ids.c.entry <= until,
            erased_ids.c.last_day >= today,
        )
    )
    return [
        Change(
            row.entry,
            row.reference,
            LedgerEvent.ERASED,
            at=row.recorded_at and datetime.fromisoformat(row.recorded_at),
        )
        for row in rows
    ]


async def remember_erased(connection: AsyncConnection, recipient: int, entry: int, last_day: Day) -> None:
    """Take the references of RECIPIENT, erased by the ledger's ENTRY, off the person; keep them alone until LAST_DAY.

    Nothing leads from them to the person any more: each mail system can read that its own reference was erased.
    """
    theirs = select(external_ids.c.source, external_ids.c.reference, literal(entry), literal(int(last_day))).where(
        external_ids.c.recipient == recipient
    )
    moved = upsert(erased_ids).from_select(["source", "reference", "entry", "last_day"], theirs)
    await connection.execute(  # a reference may have been given to somebody else since, who is erased now
        moved.on_conflict_do_update(
            index_elements=["source", "reference"],
            set_={"entry": moved.excluded.entry, "last_day": moved.excluded.last_day},
        )
    )
    await connection.execute(delete(external_ids).where(external_ids.c.recipient == recipient))
