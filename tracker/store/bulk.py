"""A consent book for many reports: looks all their people up at once, and writes what came of them at once.

The law: what it leaves behind is what the plain book would have, report by report; it only asks the database less.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Integer, bindparam, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.core.ledger import Statement
from tracker.model import Call, ConsentReport, Day, Language, LedgerEvent, Notice, Pseudonym, Purpose, Standing
from tracker.store.consents import (
    ConsentBook,
    grant_rows,
    pending_rows,
    report_statement,
    settle_references,
    write_grants,
    write_pending,
)
from tracker.store.ledger import append_all, head
from tracker.store.schema import Number, external_ids, recipients, suppressions
from tracker.store.standing import read_standings, remember_references


class BulkBook(ConsentBook):
    """One transaction on what many people agreed to. What is rare, such as a no, goes the plain book's way."""

    def __init__(self, connection: AsyncConnection, ledger_key: bytes) -> None:
        super().__init__(connection, ledger_key)
        self._ids: dict[Pseudonym, int | None] = {}
        self._standings: dict[Pseudonym, Standing] = {}
        """Of those about whom nothing waits to be written."""
        self._notices: dict[tuple[str, Language], Notice | None] = {}
        self._next = 0
        """The ledger's next entry, while statements wait."""
        self._today = Day(0)
        self._forget_what_waited()

    async def look_up(self, people: Collection[Pseudonym], today: Day) -> None:
        """Learn where PEOPLE stand on TODAY, and forget who was looked up before."""
        await self.flush()
        self._ids, self._standings = {}, {}
        await self._learn(people, today)

    # --- the plain book's methods ---

    async def standing(self, pseudonym: Pseudonym, today: Day) -> Standing:
        """Where the person stands on TODAY."""
        if pseudonym not in self._standings:
            await self.flush()
            await self._learn([pseudonym], today)
        return self._standings[pseudonym]

    async def notice(self, version: str, language: Language) -> Notice | None:
        """The notice of that VERSION in LANGUAGE, superseded or not; the same throughout the transaction."""
        if (version, language) not in self._notices:
            self._notices[version, language] = await super().notice(version, language)
        return self._notices[version, language]

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
        """As the plain book; written with the next flush."""
        recipient, known = self._person(report.pseudonym)
        entry = await self._state(
            report_statement(LedgerEvent.GIVEN, report, purposes, recipient, content_last_day, now, notice_hash)
        )
        self._grants += grant_rows(report, purposes, recipient, entry, grant_last_day)
        if known:
            self._to_settle.append(recipient)
        self._standings.pop(report.pseudonym, None)
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
        """As the plain book; written with the next flush."""
        recipient, _ = self._person(report.pseudonym)
        entry = await self._state(
            report_statement(LedgerEvent.REQUESTED, report, purposes, recipient, content_last_day, now, notice_hash)
        )
        self._pending += pending_rows(report, purposes, recipient, entry, last_day)
        self._standings.pop(report.pseudonym, None)
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
        """As the plain book, at once."""
        await self.flush()
        news = await super().withdraw(
            pseudonym,
            purposes,
            now=now,
            actor=actor,
            language=language,
            content_last_day=content_last_day,
            suppression_last_day=suppression_last_day,
        )
        self._standings.pop(pseudonym, None)
        return news

    async def prolong_suppression(self, pseudonym: Pseudonym, purposes: frozenset[Purpose], last_day: Day) -> None:
        """As the plain book; written with the next flush."""
        recipient, _ = self._person(pseudonym)
        self._prolonged += [{"person": recipient, "refused": purpose, "day": last_day} for purpose in purposes]

    async def remember_reference(self, source: str, reference: str, pseudonym: Pseudonym, last_day: Day) -> None:
        """As the plain book; written with the next flush."""
        recipient, _ = self._person(pseudonym)
        if any(row["person"] == recipient for row in self._prolonged):
            await self.flush()  # what is prolonged are the references that were there
        self._references.append(
            {"source": source, "reference": reference, "recipient": recipient, "last_day": last_day}
        )

    async def note_call(self, pseudonym: Pseudonym, call: Call) -> None:
        """As the plain book, at once."""
        await self.flush()
        await super().note_call(pseudonym, call)

    async def use_calls(self, pseudonym: Pseudonym, call: Call, last_day: Day) -> None:
        """As the plain book, at once."""
        await self.flush()
        await super().use_calls(pseudonym, call, last_day)

    async def flush(self) -> None:
        """Write what waits, in the order in which the plain book would have."""
        if self._new:
            await self._connection.execute(insert(recipients), self._new)
        if self._statements:
            await append_all(self._connection, self._ledger_key, self._statements)
        if self._grants:
            await write_grants(self._connection, self._grants)
        if self._pending:
            await write_pending(self._connection, self._pending)
        if self._to_settle:
            await settle_references(self._connection, self._to_settle, self._today)
        if self._references:
            await remember_references(self._connection, self._references)
        if self._prolonged:
            await self._prolong()
        self._forget_what_waited()

    async def _recipient(self, pseudonym: Pseudonym) -> int:
        number = await super()._recipient(pseudonym)
        self._ids[pseudonym] = number
        return number

    def _person(self, pseudonym: Pseudonym) -> tuple[int, bool]:
        """The id of somebody who was looked up, and whether it is on file already."""
        known = self._ids[pseudonym]
        if known is not None:
            return known, True
        drawn = secrets.randbits(63)
        self._ids[pseudonym] = drawn
        self._new.append({"id": drawn, "pseudonym": pseudonym})
        return drawn, False

    async def _state(self, statement: Statement) -> int:
        """Let STATEMENT wait; the number that its entry will have."""
        if not self._statements:
            self._next = (await head(self._connection))[0] + 1
        self._statements.append(statement)
        return self._next + len(self._statements) - 1

    async def _learn(self, people: Collection[Pseudonym], today: Day) -> None:
        self._today = today
        found = await read_standings(self._connection, people, today)
        for pseudonym in people:
            self._ids[pseudonym], self._standings[pseudonym] = found.get(pseudonym, (None, Standing()))

    async def _prolong(self) -> None:
        person, day = bindparam("person", type_=Number), bindparam("day", type_=Integer)
        await self._connection.execute(
            update(suppressions)
            .where(
                suppressions.c.recipient == person,
                suppressions.c.purpose == bindparam("refused"),
                suppressions.c.last_day < day,
            )
            .values(last_day=day),
            self._prolonged,
        )
        await self._connection.execute(
            update(external_ids)
            .where(external_ids.c.recipient == person, external_ids.c.last_day < day)
            .values(last_day=day),
            [{"person": row["person"], "day": row["day"]} for row in self._prolonged],
        )

    def _forget_what_waited(self) -> None:
        self._new: list[dict[str, Any]] = []
        self._statements: list[Statement] = []
        self._grants: list[dict[str, Any]] = []
        self._pending: list[dict[str, Any]] = []
        self._to_settle: list[int] = []
        self._references: list[dict[str, Any]] = []
        self._prolonged: list[dict[str, Any]] = []
