"""Examines the ledger entry by entry, and says of each that is not as it was sealed what became of it (LAW.md R15)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hmac import compare_digest
from typing import Any, Final

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.core.ledger import GENESIS, entry_digest
from tracker.model import Day
from tracker.store.ledger import chain_after, content_digests
from tracker.store.schema import ledger, ledger_contents

MOST: Final = 100
"""Faults that are told one by one."""

CHANGED: Final = "was changed, or written without the key"
CONTENT_CHANGED: Final = "its content was changed"
CONTENT_GONE: Final = "its content was removed before its day"
UNCHAINED: Final = "does not follow the entry before it, which was replaced"
UNLEDGERED: Final = "has a content but no place in the chain"


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one entry, or with a run of them."""

    entry: int
    what: str


@dataclass(frozen=True, slots=True)
class Examination:
    """What came of looking at the whole ledger."""

    entries: int
    """The number of the last entry."""
    head: bytes
    """Its digest."""
    faults: tuple[Fault, ...]
    more: bool
    """Whether there are further faults than these."""


class _Examiner:
    """Walks along the chain."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.faults: list[Fault] = []
        self.last, self.head = 0, GENESIS
        self._sealed_otherwise: list[Row[Any]] = []

    def look_at(self, link: Row[Any], content: bytes | None) -> None:
        """Go on to LINK, whose CONTENT that is there would be sealed with that digest (None: it is not there)."""
        gap = link.entry - self.last - 1
        if gap:
            first = self.last + 1
            removed = "was removed" if gap == 1 else f"and all up to {link.entry - 1} were removed"
            self.faults.append(Fault(first, removed))
        if not compare_digest(link.digest, self._digest(link, link.entry)):
            self._sealed_otherwise.append(link)
            self.faults.append(Fault(link.entry, CHANGED))
        elif not gap and not compare_digest(link.previous, self.head):
            self.faults.append(Fault(link.entry, UNCHAINED))
        elif content is None and not link.due:
            self.faults.append(Fault(link.entry, CONTENT_GONE))
        elif content is not None and not compare_digest(link.content_digest, content):
            self.faults.append(Fault(link.entry, CONTENT_CHANGED))
        self.last, self.head = link.entry, link.digest

    def told(self) -> tuple[Fault, ...]:
        """The faults, with those entries recognised that stand in another's place."""
        numbers = [link.entry for link in self._sealed_otherwise[:MOST]]
        places = {
            link.entry: number
            for link in self._sealed_otherwise[:MOST]
            for number in numbers
            if compare_digest(link.digest, self._digest(link, number))
        }
        return tuple(
            Fault(fault.entry, f"stands in another's place: it was entry {places[fault.entry]}")
            if fault.what == CHANGED and fault.entry in places
            else fault
            for fault in self.faults[:MOST]
        )

    def _digest(self, link: Row[Any], number: int) -> bytes:
        return entry_digest(self._key, number, link.previous, link.last_day, link.content_digest)


async def examine(connection: AsyncConnection, key: bytes, today: Day) -> Examination:
    """Everything that is wrong with the ledger on TODAY, sealed with KEY, in order."""
    examiner = _Examiner(key)
    while chain := await chain_after(connection, examiner.last, today):
        contents = await content_digests(connection, key, chain[0].entry, chain[-1].entry)
        for link in chain:
            examiner.look_at(link, contents.get(link.entry))
    loose = [Fault(entry, UNLEDGERED) for entry in await _unledgered(connection)]
    faults = (*examiner.told(), *loose)[:MOST]
    return Examination(examiner.last, examiner.head, faults, more=len(examiner.faults) + len(loose) > len(faults))


async def digests_of(connection: AsyncConnection, entries: Sequence[int]) -> dict[int, bytes]:
    """The digests of those of ENTRIES that are there."""
    found: dict[int, bytes] = {}
    for at in range(0, len(entries), 500):
        rows = await connection.execute(
            select(ledger.c.entry, ledger.c.digest).where(ledger.c.entry.in_(entries[at : at + 500]))
        )
        found |= {row.entry: row.digest for row in rows}
    return found


async def has_digest(connection: AsyncConnection, digest: bytes) -> int | None:
    """The entry with that DIGEST; None when there is none."""
    found = await connection.execute(select(ledger.c.entry).where(ledger.c.digest == digest))
    entry: int | None = found.scalars().first()
    return entry


async def _unledgered(connection: AsyncConnection) -> Sequence[int]:
    rows = await connection.execute(
        select(ledger_contents.c.entry)
        .where(ledger_contents.c.entry.not_in(select(ledger.c.entry)))
        .order_by(ledger_contents.c.entry)
        .limit(MOST + 1)
    )
    return rows.scalars().all()
