"""Tells whether the ledger is as it was written: its chain, the heads noted in the journal, a head that somebody kept.

The law: who has the key and the database can write another past, but not one that holds the heads noted outside it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tracker.core.calendar import day_of
from tracker.core.journal import Anchor, Restored
from tracker.model import BadJournal, InvalidField
from tracker.store.examination import Fault
from tracker.store.journal import Journal
from tracker.store.store import Store

_HEAD: Final = re.compile(r"(?:(\d{1,18}):)?([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Head:
    """The ledger's last entry, as `consent head` prints it: ENTRY:DIGEST."""

    entry: int | None
    """None where somebody kept the digest alone."""
    digest: bytes

    def __str__(self) -> str:
        return f"{self.entry}:{self.digest.hex()}"


@dataclass(frozen=True, slots=True)
class Verification:
    """What came of it."""

    head: Head
    faults: tuple[str, ...]
    """Each a sentence; none when all is well."""
    remarks: tuple[str, ...]
    """What an officer should know although nothing is wrong."""


def read_head(text: str) -> Head:
    """The head that TEXT shows. Raises InvalidField."""
    found = _HEAD.fullmatch(text.strip().lower())
    if found is None:
        raise InvalidField("head: ENTRY:DIGEST as `tracker consent head` prints it, or the digest alone")
    return Head(int(found[1]) if found[1] else None, bytes.fromhex(found[2]))


async def head(store: Store) -> Head:
    """The ledger's head just now. Raises StoreUnavailable."""
    return Head(*await store.ledger_head())


async def verify(store: Store, journal: Journal, kept: Head | None, now: datetime) -> Verification:
    """Look at the whole ledger; KEPT is a head that was noted earlier. Raises StoreUnavailable."""
    examined = await store.examine_ledger(day_of(now))
    faults = [_sentence(fault) for fault in examined.faults]
    if examined.more:
        faults.append("There are further faults.")
    if kept is not None:
        faults += await _against(store, kept, examined.entries, "the head that was given")
    remarks: list[str] = []
    try:
        heads = await journal.load()
    except BadJournal as error:
        faults.append(f"The journal, in which heads are noted, cannot be read: {error.detail}.")
    else:
        found, remarks = await _against_journal(store, heads, examined.entries)
        faults += found
    return Verification(Head(examined.entries, examined.head), tuple(faults), tuple(remarks))


async def _against_journal(
    store: Store, noted_heads: Sequence[Anchor | Restored], entries: int
) -> tuple[list[str], list[str]]:
    """What NOTED_HEADS of a journal find wrong, and what they say of restores."""
    heads: list[Anchor] = []
    remarks: list[str] = []
    for record in noted_heads:
        match record:
            case Restored(at, entry):
                heads = [anchor for anchor in heads if anchor.entry <= entry]
                remarks.append(
                    f"On {at:%Y-%m-%d at %H:%M} UTC an older database was put in place: what the ledger had after "
                    f"entry {entry} is lost, but for the nos that were replayed."
                )
            case Anchor() if record.entry:
                heads.append(record)
    digests = await store.ledger_digests([anchor.entry for anchor in heads])
    for anchor in heads:  # the first says it all
        if digests.get(anchor.entry) != anchor.digest:
            noted = f"the head that the journal noted on {anchor.at:%Y-%m-%d at %H:%M} UTC"
            return _missed(anchor.entry, anchor.entry in digests, entries, noted), remarks
    return [], remarks


async def _against(store: Store, kept: Head, entries: int, what: str) -> list[str]:
    if kept.entry is None:
        if await store.ledger_entry(kept.digest) is not None:
            return []
        return [f"The ledger does not contain {what}: its tail was cut or its chain rebuilt."]
    digests = await store.ledger_digests([kept.entry])
    if digests.get(kept.entry) == kept.digest:
        return []
    return _missed(kept.entry, kept.entry in digests, entries, what)


def _missed(entry: int, is_there: bool, entries: int, what: str) -> list[str]:
    if is_there:
        return [f"The chain was rebuilt: entry {entry} is not the one that belongs to {what}."]
    if entry > entries:
        return [f"The tail was cut: the ledger ends at entry {entries}, and {what} is of entry {entry}."]
    return [f"Entry {entry} is not there, and {what} is of it."]


def _sentence(fault: Fault) -> str:
    return (
        f"Entry {fault.entry} {fault.what}."
        if not fault.what.startswith("its")
        else (f"Entry {fault.entry}: {fault.what}.")
    )
