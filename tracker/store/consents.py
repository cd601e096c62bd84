"""Keeps who agreed to what, who said no, and under which references senders know them; each change is in the ledger."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, func, insert, select, union_all, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.core.calendar import day_of
from tracker.core.ledger import Statement, instant_text
from tracker.model import (
    Call,
    ConsentReport,
    Day,
    Language,
    LedgerEvent,
    No,
    NoKind,
    Notice,
    Pseudonym,
    Purpose,
    Standing,
)
from tracker.store import invitations, notes
from tracker.store.calls import note_call, use_calls
from tracker.store.engaged import hold_messages_of
from tracker.store.ledger import append, unsupported
from tracker.store.notices import read_notice
from tracker.store.schema import Number, external_ids, grants, pending, recipients, suppressions
from tracker.store.spent import spend
from tracker.store.standing import read_standing, recipient_of, remember_references
from tracker.store.upsert import later_of, upsert


class ConsentBook:
    """One transaction on what people agreed to; commits when its block ends, and not at all when that raises."""

    def __init__(self, connection: AsyncConnection, ledger_key: bytes) -> None:
        self._connection = connection
        self._ledger_key = ledger_key
        self._vouched_since: datetime | None = None
        self._knows_vouched_since = False
        self.nos: list[No] = []
        """Every no that was written, for the journal."""

    async def standing(self, pseudonym: Pseudonym, today: Day) -> Standing:
        """Where the person stands on TODAY."""
        return await read_standing(self._connection, pseudonym, today)

    async def notice(self, version: str, language: Language) -> Notice | None:
        """The notice of that VERSION in LANGUAGE, superseded or not."""
        return await read_notice(self._connection, version, language)

    async def vouched_since(self) -> datetime | None:
        """Since when nobody's no can have been lost; None when it never was in doubt."""
        if not self._knows_vouched_since:  # it cannot change during the transaction, and lists are long
            value = await notes.read(self._connection, notes.VOUCHED_SINCE)
            self._vouched_since = None if value is None else datetime.fromisoformat(value.decode("ascii"))
            self._knows_vouched_since = True
        return self._vouched_since

    async def give(
        self,
        report: ConsentReport,
        purposes: frozenset[Purpose],
        *,
        grant_last_day: Day,
        content_last_day: Day,
        today: Day,
        now: datetime,
        notice_hash: str,
    ) -> int:
        """Make live grants for PURPOSES, or renew them; the number of the ledger's entry.

        A renewed grant keeps its row, so that the events that hang on it stay.
        """
        recipient = await self._recipient(report.pseudonym)
        statement = report_statement(LedgerEvent.GIVEN, report, purposes, recipient, content_last_day, now, notice_hash)
        entry = await append(self._connection, self._ledger_key, statement)
        await write_grants(self._connection, grant_rows(report, purposes, recipient, entry, grant_last_day))
        await settle_references(self._connection, [recipient], today)
        return entry

    async def hold(
        self,
        report: ConsentReport,
        purposes: frozenset[Purpose],
        *,
        last_day: Day,
        content_last_day: Day,
        now: datetime,
        notice_hash: str | None = None,
    ) -> int:
        """Note that PURPOSES wait until LAST_DAY for the person's own word; the number of the ledger's entry."""
        recipient = await self._recipient(report.pseudonym)
        statement = report_statement(
            LedgerEvent.REQUESTED, report, purposes, recipient, content_last_day, now, notice_hash
        )
        entry = await append(self._connection, self._ledger_key, statement)
        await write_pending(self._connection, pending_rows(report, purposes, recipient, entry, last_day))
        return entry

    async def withdraw(
        self,
        pseudonym: Pseudonym,
        purposes: frozenset[Purpose],
        *,
        now: datetime,
        actor: str,
        language: Language | None,
        content_last_day: Day,
        suppression_last_day: Day,
    ) -> bool:
        """End PURPOSES and suppress them until SUPPRESSION_LAST_DAY, also for a person never heard of.

        True when it was news; a second no only lets the first one last until SUPPRESSION_LAST_DAY too.
        """
        today = day_of(now)
        standing = await self.standing(pseudonym, today)
        open_for = standing.grants.keys() | standing.pending.keys()
        said_before = purposes & (standing.suppressed.keys() - open_for)
        if said_before:
            await self.prolong_suppression(pseudonym, said_before, suppression_last_day)
        purposes = purposes - said_before  # the ledger says what is news
        if not purposes:
            return False
        recipient = await self._recipient(pseudonym)
        await hold_messages_of(self._connection, [recipient])
        ended = await self._connection.execute(  # events, tracked: they go by the schema's cascades
            delete(grants).where(grants.c.recipient == recipient, grants.c.purpose.in_(purposes))
        )
        await self._connection.execute(
            delete(pending).where(pending.c.recipient == recipient, pending.c.purpose.in_(purposes))
        )
        await self._suppress(recipient, purposes, today, suppression_last_day)
        statement = Statement(
            recipient=recipient,
            event=LedgerEvent.WITHDRAWN if ended.rowcount else LedgerEvent.REFUSED,
            purposes=purposes,
            last_day=content_last_day,
            recorded_at=now,
            actor=actor,
            language=language,
            ends=await unsupported(self._connection, recipient),
        )
        await append(self._connection, self._ledger_key, statement)
        await settle_references(self._connection, [recipient], today)
        self.nos.append(No(NoKind.WITHDRAWAL, pseudonym, purposes, now, actor, language))
        return True

    async def spend(self, digest: bytes, last_day: Day) -> bool:
        """Note that the token with that DIGEST, good until LAST_DAY, was used; False when it had been."""
        return await spend(self._connection, digest, last_day)

    async def lift(self, pseudonym: Pseudonym, purposes: frozenset[Purpose]) -> None:
        """Take back the person's no to PURPOSES; the entry of the yes that follows says so."""
        recipient = await self._recipient(pseudonym)
        await self._connection.execute(
            delete(suppressions).where(suppressions.c.recipient == recipient, suppressions.c.purpose.in_(purposes))
        )

    async def invite(self, pseudonym: Pseudonym, today: Day, *, lasts: int, quiet: int, source: str) -> Day | None:
        """The day on which an invitation ends that SOURCE makes TODAY; None when the person is to be left alone.

        LASTS: days that a first one is open. QUIET: days of silence after it.
        """
        recipient = await self._recipient(pseudonym)
        return await invitations.invite(self._connection, recipient, today, lasts=lasts, quiet=quiet, source=source)

    async def inviter(self, pseudonym: Pseudonym, today: Day) -> str | None:
        """The API key that had the person asked; None when nobody has asked them as far as is known TODAY."""
        return await invitations.inviter(self._connection, await self._recipient(pseudonym), today)

    async def invitation_answered(self, pseudonym: Pseudonym) -> None:
        """Forget that the person was invited: they said yes to all that they were asked."""
        await invitations.answered(self._connection, await self._recipient(pseudonym))

    async def prolong_suppression(self, pseudonym: Pseudonym, purposes: frozenset[Purpose], last_day: Day) -> None:
        """Let a no that is there last until LAST_DAY at least."""
        recipient = await recipient_of(self._connection, pseudonym)
        prolonged = update(suppressions).where(
            suppressions.c.recipient == recipient,
            suppressions.c.purpose.in_(purposes),
            suppressions.c.last_day < last_day,
        )
        references = update(external_ids).where(
            external_ids.c.recipient == recipient, external_ids.c.last_day < last_day
        )
        await self._connection.execute(prolonged.values(last_day=last_day))
        await self._connection.execute(references.values(last_day=last_day))

    async def remember_reference(self, source: str, reference: str, pseudonym: Pseudonym, last_day: Day) -> None:
        """Note that SOURCE knows the person as REFERENCE, until LAST_DAY at least."""
        recipient = await self._recipient(pseudonym)
        await remember_references(
            self._connection,
            [{"source": source, "reference": reference, "recipient": recipient, "last_day": last_day}],
        )

    async def note_call(self, pseudonym: Pseudonym, call: Call) -> None:
        """Keep CALL with the person; the same again is not written."""
        await note_call(self._connection, await self._recipient(pseudonym), call)

    async def use_calls(self, pseudonym: Pseudonym, call: Call, last_day: Day) -> None:
        """Keep every yes that the person gave before CALL until LAST_DAY at least."""
        await use_calls(self._connection, await self._recipient(pseudonym), call, last_day)

    async def _recipient(self, pseudonym: Pseudonym) -> int:
        known = await recipient_of(self._connection, pseudonym)
        if known is not None:
            return known
        drawn = secrets.randbits(63)
        await self._connection.execute(insert(recipients).values(id=drawn, pseudonym=pseudonym))
        return drawn

    async def _suppress(self, recipient: int, purposes: Iterable[Purpose], since: Day, last_day: Day) -> None:
        no = upsert(suppressions)
        await self._connection.execute(
            no.on_conflict_do_update(
                index_elements=["recipient", "purpose"],
                set_={"last_day": later_of(suppressions.c.last_day, no.excluded.last_day)},
            ),
            [
                {"recipient": recipient, "purpose": purpose, "since_day": since, "last_day": last_day}
                for purpose in purposes
            ],
        )


def report_statement(
    event: LedgerEvent,
    report: ConsentReport,
    purposes: frozenset[Purpose],
    recipient: int,
    last_day: Day,
    now: datetime,
    notice_hash: str | None,
) -> Statement:
    """What the ledger says of REPORT."""
    return Statement(
        recipient=recipient,
        event=event,
        purposes=purposes,
        last_day=last_day,
        recorded_at=now,
        actor=report.actor,
        method=report.method,
        given_at=report.given_at,
        notice_version=report.notice_version,
        notice_hash=notice_hash,
        language=report.language,
        evidence=report.evidence,
    )


def grant_rows(
    report: ConsentReport, purposes: Iterable[Purpose], recipient: int, entry: int, last_day: Day
) -> list[dict[str, Any]]:
    """Rows of `grants` that rest on the ledger's ENTRY."""
    return [
        {
            "recipient": recipient,
            "purpose": purpose,
            "entry": entry,
            "last_day": last_day,
            "given_at": instant_text(report.given_at),
            "notice_version": report.notice_version,
        }
        for purpose in purposes
    ]


def pending_rows(
    report: ConsentReport, purposes: Iterable[Purpose], recipient: int, entry: int, last_day: Day
) -> list[dict[str, Any]]:
    """Rows of `pending` that rest on the ledger's ENTRY."""
    return [
        {"recipient": recipient, "purpose": purpose, "entry": entry, "method": report.method, "last_day": last_day}
        for purpose in purposes
    ]


async def write_grants(connection: AsyncConnection, rows: Sequence[dict[str, Any]]) -> None:
    """Write ROWS of `grants`, a renewed one in its place; what waited for the same answer is gone."""
    grant = upsert(grants)
    values = ("entry", "last_day", "given_at", "notice_version")
    await connection.execute(
        grant.on_conflict_do_update(
            index_elements=["recipient", "purpose"], set_={name: grant.excluded[name] for name in values}
        ),
        rows,
    )
    await connection.execute(
        delete(pending).where(pending.c.recipient == bindparam("person"), pending.c.purpose == bindparam("answered")),
        [{"person": row["recipient"], "answered": row["purpose"]} for row in rows],
    )


async def write_pending(connection: AsyncConnection, rows: Sequence[dict[str, Any]]) -> None:
    """Write ROWS of `pending`, each in the place of one that is past its day."""
    wait = upsert(pending)
    await connection.execute(
        wait.on_conflict_do_update(
            index_elements=["recipient", "purpose"],
            set_={name: wait.excluded[name] for name in ("entry", "method", "last_day")},
        ),
        rows,
    )


async def settle_references(connection: AsyncConnection, people: Sequence[int], today: Day) -> None:
    """Give the references of PEOPLE the last day of what they stand for."""
    person = bindparam("person", type_=Number)
    days = union_all(
        *(select(table.c.last_day).where(table.c.recipient == person) for table in (grants, pending, suppressions))
    ).subquery()
    await connection.execute(
        update(external_ids)
        .where(external_ids.c.recipient == person)
        .values(last_day=func.coalesce(select(func.max(days.c.last_day)).scalar_subquery(), today)),
        [{"person": person} for person in people],
    )
