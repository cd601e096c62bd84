"""Reads everything that is held about one person, and erases all of it that the law does not keep.

The law (GDPR Art. 15, 17): seeing leaves nothing out that is not past its day; erasing leaves the refusals, so that
nobody begins again, and the proof in the ledger until its own day.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Select, delete, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.core.calendar import day_of, hour_of
from tracker.core.held import Held, HeldCall, HeldDelivery, HeldEvent, HeldMailing, HeldReference
from tracker.core.ledger import Statement
from tracker.model import (
    MAIL_PURPOSES,
    Agent,
    Day,
    Hour,
    Language,
    LedgerEvent,
    No,
    NoKind,
    Pseudonym,
    Purpose,
    Standing,
)
from tracker.store.audit import write_audit
from tracker.store.changes import remember_erased
from tracker.store.consents import ConsentBook
from tracker.store.deliveries import forget
from tracker.store.engaged import hold_messages_of
from tracker.store.ledger import append, history, unsupported
from tracker.store.schema import (
    calls,
    deliveries,
    events,
    external_ids,
    folded,
    grants,
    is_live,
    ledger_contents,
    links,
    mailings,
    message_untouched,
    messages,
    pending,
    tracked,
)
from tracker.store.standing import read_standing, recipient_of

ERASED: Final = (grants, deliveries, pending, calls)
"""What goes at once; tracked copies and events go with their deliveries. References go last, since the entry about it
names them to the systems that gave them. Throttles of our own mail go too, but are no news. Grants go first: whoever
registers a copy meanwhile passes over a grant that is going, and waits for nothing."""


class SubjectBook(ConsentBook):
    """One transaction on all that is held about people; commits when its block ends, not at all when that raises."""

    async def held(self, pseudonym: Pseudonym, today: Day) -> Held:
        """Everything that is held about the person on TODAY."""
        return await read_held(self._connection, pseudonym, today)

    async def audit(self, *, at: datetime, actor: str, action: str, case: str | None, last_day: Day) -> None:
        """Note who did what, without content."""
        await write_audit(self._connection, at=at, actor=actor, action=action, case=case, last_day=last_day)

    async def erase(
        self,
        pseudonym: Pseudonym,
        *,
        now: datetime,
        actor: str,
        language: Language | None,
        content_last_day: Day,
        suppression_last_day: Day,
        tell_until: Day,
        spared: frozenset[Purpose] = frozenset(),
        on_record: bool = False,
    ) -> bool:
        """Erase the person, but for what the law keeps; True when there was something.

        The refusals stay until SUPPRESSION_LAST_DAY, the entry about it until CONTENT_LAST_DAY.
        Until TELL_UNTIL the systems that know the person can read that their reference was erased.
        Who was only invited, or is only in the ledger any more, says no by it. Of a person never heard of, and of one
        who got nothing but the mail that was asked for on our own pages, nothing is written, unless the erasure is to
        be ON_RECORD all the same. SPARED is what the person agreed to again after NOW; it stays, and so do the
        messages that were sent since.
        """
        connection, today = self._connection, day_of(now)
        recipient = await (self._recipient(pseudonym) if on_record else recipient_of(connection, pseudonym))
        if recipient is None:
            return False
        standing = await self.standing(pseudonym, today)
        purposes = await self._concerned(recipient, standing)
        known = bool(standing.suppressed) or await self._is_known(recipient, today)
        unsaid = known and purposes - standing.suppressed.keys()
        await connection.execute(delete(mailings).where(mailings.c.recipient == recipient))
        if not on_record and not unsaid and not await self._has_rows(recipient):
            return False
        await self._delete(recipient, spared, hour_of(now))
        if purposes - spared:
            await self._suppress(recipient, purposes - spared, today, suppression_last_day)
        statement = Statement(
            recipient=recipient,
            event=LedgerEvent.ERASED,
            purposes=purposes,
            last_day=content_last_day,
            recorded_at=now,
            actor=actor,
            language=language,
            ends=await unsupported(connection, recipient),
        )
        entry = await append(connection, self._ledger_key, statement)
        await remember_erased(connection, recipient, entry, tell_until)
        self.nos.append(No(NoKind.ERASURE, pseudonym, purposes, now, actor, language))
        return True

    async def _concerned(self, recipient: int, standing: Standing) -> frozenset[Purpose]:
        """The purposes that an erasure says no to: those of mail, and calls where there were any."""
        found = MAIL_PURPOSES | standing.grants.keys() | standing.pending.keys() | standing.suppressed.keys()
        called = await self._connection.execute(select(exists().where(calls.c.recipient == recipient)))
        return frozenset(found | {Purpose.PHONE} if called.scalar() else found)

    async def _has_rows(self, recipient: int) -> bool:
        for table in (*ERASED, external_ids):
            found = await self._connection.execute(select(exists().where(table.c.recipient == recipient)))
            if found.scalar():
                return True
        return False

    async def _is_known(self, recipient: int, today: Day) -> bool:
        """Whether the ledger tells of RECIPIENT, or a sender had leave to ask them or had us ask them."""
        told = exists().where(ledger_contents.c.recipient == recipient, ledger_contents.c.last_day >= today)
        asked = exists().where(
            mailings.c.recipient == recipient, mailings.c.source.is_not(None), mailings.c.last_day >= today
        )
        return bool((await self._connection.execute(select(or_(told, asked)))).scalar())

    async def _delete(self, recipient: int, spared: frozenset[Purpose], hour: Hour) -> None:
        """Delete what goes: all but the grants for SPARED, and where there are any what was sent after HOUR."""
        await hold_messages_of(self._connection, [recipient])
        theirs = select(deliveries.c.message).where(deliveries.c.recipient == recipient).distinct()
        sent = (await self._connection.execute(theirs)).scalars().all()
        for table in ERASED:
            those = table.c.recipient == recipient
            if table is grants:
                those &= grants.c.purpose.not_in(spared)
            elif table is deliveries:
                await forget(self._connection, those & (deliveries.c.sent_hour <= hour) if spared else those)
                continue
            await self._connection.execute(delete(table).where(those))
        # A message that went to nobody else would tell of the person by its label alone.
        for message in sent:
            await self._connection.execute(
                delete(messages).where(
                    messages.c.id == message,
                    ~exists().where(deliveries.c.message == message),
                    ~exists().where(message_untouched.c.message == message),
                    ~exists().where(folded.c.message == message),
                )
            )


async def read_held(connection: AsyncConnection, pseudonym: Pseudonym, today: Day) -> Held:
    """Everything that is held about the person behind PSEUDONYM on TODAY."""
    recipient = await recipient_of(connection, pseudonym)
    if recipient is None:
        return Held()
    return Held(
        standing=await read_standing(connection, pseudonym, today),
        history=await history(connection, recipient, today),
        deliveries=await _deliveries(connection, recipient, today),
        events=await _events(connection, recipient, today),
        references=await _references(connection, recipient, today),
        calls=await _calls(connection, recipient, today),
        mailings=await _mailings(connection, recipient, today),
    )


async def _deliveries(connection: AsyncConnection, recipient: int, today: Day) -> tuple[HeldDelivery, ...]:
    measured: dict[tuple[int, bytes], set[Purpose]] = defaultdict(set)
    open_for = select(tracked.c.last_day, tracked.c.delivery, tracked.c.purpose).join(
        grants, (grants.c.recipient == tracked.c.recipient) & (grants.c.purpose == tracked.c.purpose)
    )
    for last_day, delivery, purpose in await connection.execute(
        open_for.where(tracked.c.recipient == recipient, tracked.c.last_day >= today, is_live(today))
    ):
        measured[last_day, delivery].add(purpose)
    rows = await connection.execute(
        select(deliveries.c.last_day, deliveries.c.id, deliveries.c.sent_hour, messages.c.label)
        .join(messages, messages.c.id == deliveries.c.message)
        .where(deliveries.c.recipient == recipient, deliveries.c.last_day >= today)
        .order_by(deliveries.c.sent_hour, deliveries.c.id)
    )
    return tuple(
        HeldDelivery(row.label, Hour(row.sent_hour), frozenset(measured[row.last_day, row.id]), Day(row.last_day))
        for row in rows
    )


async def _events(connection: AsyncConnection, recipient: int, today: Day) -> tuple[HeldEvent, ...]:
    of_tracked = (
        (events.c.last_day == tracked.c.last_day)
        & (events.c.delivery == tracked.c.delivery)
        & (events.c.purpose == tracked.c.purpose)
    )
    found: Select[Any] = (
        select(events, messages.c.label, links.c.host, links.c.path)
        .select_from(tracked)
        .join(grants, (grants.c.recipient == tracked.c.recipient) & (grants.c.purpose == tracked.c.purpose))
        .join(events, of_tracked)
        .join(deliveries, (deliveries.c.last_day == tracked.c.last_day) & (deliveries.c.id == tracked.c.delivery))
        .join(messages, messages.c.id == deliveries.c.message)
        .outerjoin(links, (links.c.message == messages.c.id) & (links.c.number == events.c.link))
        .where(tracked.c.recipient == recipient, tracked.c.last_day >= today, is_live(today))
        .order_by(events.c.hour, events.c.delivery, events.c.purpose, events.c.link)
    )
    return tuple(
        HeldEvent(row.label, row.purpose, Hour(row.hour), Agent(row.agent), row.host, row.path, Day(row.last_day))
        for row in await connection.execute(found)
    )


async def _references(connection: AsyncConnection, recipient: int, today: Day) -> tuple[HeldReference, ...]:
    rows = await connection.execute(
        select(external_ids)
        .where(external_ids.c.recipient == recipient, external_ids.c.last_day >= today)
        .order_by(external_ids.c.source, external_ids.c.reference)
    )
    return tuple(HeldReference(row.source, row.reference, Day(row.last_day)) for row in rows)


async def _calls(connection: AsyncConnection, recipient: int, today: Day) -> tuple[HeldCall, ...]:
    rows = await connection.execute(
        select(calls).where(calls.c.recipient == recipient, calls.c.last_day >= today).order_by(calls.c.started_at)
    )
    return tuple(
        HeldCall(
            row.rep,
            datetime.fromisoformat(row.started_at),
            row.seconds,
            _answer(row.call_again),
            _answer(row.tracking_agreed),
            Day(row.last_day),
        )
        for row in rows
    )


async def _mailings(connection: AsyncConnection, recipient: int, today: Day) -> tuple[HeldMailing, ...]:
    rows = await connection.execute(
        select(mailings.c.kind, mailings.c.day, mailings.c.count, mailings.c.last_day)
        .where(mailings.c.recipient == recipient, mailings.c.last_day >= today)
        .order_by(mailings.c.day, mailings.c.kind)
    )
    return tuple(HeldMailing(kind, Day(day), count, Day(last_day)) for kind, day, count, last_day in rows)


def _answer(value: int | None) -> bool | None:
    return None if value is None else bool(value)
