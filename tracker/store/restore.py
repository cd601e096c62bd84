"""Keeps in the database how far it has applied each journal, and finds out whether it went back to an older state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import delete, select

from tracker.core.consent import BY_OUR_MAIL
from tracker.core.ledger import evidence_of, instant_text
from tracker.model import Day, Language, LedgerEvent, Method, No, NoKind, Pseudonym, Purpose
from tracker.store import notes
from tracker.store.engaged import hold_messages_of
from tracker.store.expiry import GRANTS, expire
from tracker.store.journal_tail import Mark
from tracker.store.ledger import head as last_entry
from tracker.store.schema import grants, installation, ledger, ledger_contents, recipients
from tracker.store.standing import recipient_of
from tracker.store.subjects import SubjectBook
from tracker.store.upsert import upsert

JOURNAL: Final = "journal:"
RESTORED: Final = "restored"
SEEN: Final = "restored:"
NOES: Final = {
    LedgerEvent.WITHDRAWN: NoKind.WITHDRAWAL,
    LedgerEvent.REFUSED: NoKind.REFUSAL,
    LedgerEvent.ERASED: NoKind.ERASURE,
}
"""Entries of the ledger that say no, and what the journal calls them."""


@dataclass(frozen=True, slots=True)
class Marks:
    """What the database says about journals."""

    applied: Mapping[bytes, Mark]
    """Journal's id → how far it was applied."""
    restored: bytes | None
    """Drawn when somebody noticed that the database went back; None when every journal was replayed since."""
    replayed: frozenset[bytes]
    """Ids of the journals that were replayed since then."""


class RestoreBook(SubjectBook):
    """One transaction on journals and the people they tell of."""

    async def marks(self) -> Marks:
        """What is known of journals."""
        rows = await self._connection.execute(select(installation.c.name, installation.c.value))
        known = {str(row.name): bytes(row.value) for row in rows}
        restored = known.get(RESTORED)
        return Marks(
            applied={
                bytes.fromhex(name.removeprefix(JOURNAL)): Mark(int.from_bytes(value[:8], "big"), value[8:])
                for name, value in known.items()
                if name.startswith(JOURNAL)
            },
            restored=restored,
            replayed=frozenset(
                bytes.fromhex(name.removeprefix(SEEN))
                for name, value in known.items()
                if name.startswith(SEEN) and value == restored
            ),
        )

    async def set_mark(self, journal: bytes, mark: Mark) -> None:
        """Note that all of JOURNAL up to MARK is in the database; a mark that is further stays."""
        value = mark.number.to_bytes(8, "big") + mark.seal
        note = upsert(installation).values(name=JOURNAL + journal.hex(), value=value)
        await self._connection.execute(
            note.on_conflict_do_update(
                index_elements=["name"],
                set_={"value": note.excluded.value},
                where=installation.c.value < note.excluded.value,
            )
        )

    async def forget_journal(self, journal: bytes) -> None:
        """Do not wait for JOURNAL any more."""
        names = (JOURNAL + journal.hex(), SEEN + journal.hex())
        await self._connection.execute(delete(installation).where(installation.c.name.in_(names)))

    async def went_back(self, drawn: bytes) -> None:
        """Let every server know by what was DRAWN that the database went back."""
        await notes.write(self._connection, RESTORED, drawn)

    async def replayed(self, journal: bytes, drawn: bytes) -> None:
        """Note that JOURNAL was replayed since the database went back as DRAWN says."""
        await notes.write(self._connection, SEEN + journal.hex(), drawn)

    async def is_forward(self) -> None:
        """Forget that the database went back: every journal was replayed."""
        name = installation.c.name
        await self._connection.execute(delete(installation).where((name == RESTORED) | name.startswith(SEEN)))

    async def vouched(self, since: datetime) -> None:
        """Let no consent from before SINCE count any more: a no may have followed it that is lost."""
        await notes.write(self._connection, notes.VOUCHED_SINCE, instant_text(since).encode("ascii"))

    async def has_head(self, entry: int, digest: bytes) -> bool:
        """Whether the ledger's ENTRY is there and has DIGEST; entry 0 stands for an empty ledger."""
        if not entry:
            return True
        found = await self._connection.execute(select(ledger.c.digest).where(ledger.c.entry == entry))
        return bool(found.scalar_one_or_none() == digest)

    async def head(self) -> tuple[int, bytes]:
        """The number and the digest of the ledger's last entry."""
        return await last_entry(self._connection)

    async def knows(self, no: No) -> bool:
        """Whether the ledger has an entry about NO; about an erasure one that says so."""
        events = [LedgerEvent.ERASED] if no.kind is NoKind.ERASURE else list(NOES)
        recipient = await recipient_of(self._connection, no.pseudonym)
        if recipient is None:
            return False
        found = await self._connection.execute(
            select(ledger_contents.c.entry).where(
                ledger_contents.c.recipient == recipient,
                ledger_contents.c.recorded_at == instant_text(no.at),
                ledger_contents.c.event.in_(events),
            )
        )
        return found.first() is not None

    async def agreed_since(self, pseudonym: Pseudonym, at: datetime) -> frozenset[Purpose]:
        """What the person agreed to after AT behind a link that we mailed to them: nothing else takes back a no."""
        recipient = await recipient_of(self._connection, pseudonym)
        rows = await self._connection.execute(
            select(ledger_contents.c.recorded_at, ledger_contents.c.purposes, ledger_contents.c.evidence).where(
                ledger_contents.c.recipient == recipient,
                ledger_contents.c.event == LedgerEvent.GIVEN,
                ledger_contents.c.method == Method.PAGE,
            )
        )
        return frozenset(
            Purpose(name)
            for row in rows
            if datetime.fromisoformat(row.recorded_at) > at and evidence_of(row.evidence).confirmed_by == BY_OUR_MAIL
            for name in row.purposes.split(",")
        )

    async def nos_since(self, entry: int) -> tuple[No, ...]:
        """The nos that the ledger has after ENTRY, oldest first."""
        rows = await self._connection.execute(
            select(ledger_contents, recipients.c.pseudonym)
            .join(recipients, recipients.c.id == ledger_contents.c.recipient)
            .where(ledger_contents.c.entry > entry, ledger_contents.c.event.in_(list(NOES)))
            .order_by(ledger_contents.c.entry)
        )
        return tuple(
            No(
                kind=NOES[LedgerEvent(row.event)],
                pseudonym=Pseudonym(row.pseudonym),
                purposes=frozenset(Purpose(name) for name in row.purposes.split(",")),
                at=datetime.fromisoformat(row.recorded_at),
                actor=row.actor,
                language=Language(row.language) if row.language else None,
            )
            for row in rows
        )

    async def end_some_grants(self, now: datetime, last_day: Day) -> int:
        """End up to GRANTS grants, whoever gave them; how many there were. Their proof stays until LAST_DAY."""
        theirs: dict[int, set[Purpose]] = {}
        rows = (await self._connection.execute(select(grants.c.recipient, grants.c.purpose).limit(GRANTS))).all()
        for recipient, purpose in rows:
            theirs.setdefault(recipient, set()).add(purpose)
        await hold_messages_of(self._connection, theirs)
        for recipient, purposes in theirs.items():
            await expire(self._connection, self._ledger_key, recipient, frozenset(purposes), now, last_day)
        return len(rows)
