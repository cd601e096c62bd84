"""Tells what a person may ask for: see what is held about them, withdraw, take it along, have it erased."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tracker.core.address import contains_address
from tracker.core.calendar import day_of, later
from tracker.core.consent import ConsentPolicy, suppression_last_day
from tracker.core.held import Held
from tracker.core.periods import AUDIT_DAYS, TELL_DAYS
from tracker.core.pseudonym import normalise, pseudonym
from tracker.core.tokens import Tokens
from tracker.core.traces import Traces, read
from tracker.flows.in_step import InStep
from tracker.flows.replay import ERASE
from tracker.model import (
    MAIL_PURPOSES,
    AddressInValue,
    InvalidField,
    Language,
    No,
    NoKind,
    Notice,
    NotRecorded,
    OwnActor,
    Pseudonym,
    Purpose,
    StoreUnavailable,
)
from tracker.store.store import Store
from tracker.store.subjects import SubjectBook

CASE: Final = re.compile(r"[\w .:/#-]{1,64}")
"""A controller's own number of a letter or a call."""


@dataclass(frozen=True, slots=True)
class Request:
    """Who asks on behalf of a person, and in which matter; it stands in the audit trail."""

    actor: str
    case: str | None = None


@dataclass(frozen=True, slots=True)
class Export:
    """All that is held about a person, with the texts they agreed to."""

    held: Held
    notices: tuple[Notice, ...]


class Subjects:
    """Answers people about themselves, and those who do it for them after a letter or a call."""

    def __init__(self, store: Store, tokens: Callable[[], Tokens], policy: ConsentPolicy, in_step: InStep) -> None:
        self._store = store
        self._tokens = tokens
        self._policy = policy
        self._in_step = in_step

    # --- for a letter or a call: every one leaves a line in the audit trail, without content ---

    def check(self, address: str, request: Request) -> None:
        """Raise what the others raise for an ADDRESS or a case number that cannot be; nothing is looked up."""
        self._person(address, request)

    async def show(self, address: str, request: Request, now: datetime) -> Held:
        """Everything that is held about the person behind ADDRESS.

        Raises InvalidAddress, AddressInValue and InvalidField for the case number, StoreUnavailable.
        """
        person = self._person(address, request)
        async with self._store.subjects() as book:
            await self._audit(book, request, "subject show", now)
            return await book.held(person, day_of(now))

    async def export(self, address: str, request: Request, now: datetime) -> Export:
        """The same with the texts that the person agreed to. Raises what `show` raises."""
        person = self._person(address, request)
        async with self._store.subjects() as book:
            await self._audit(book, request, "subject export", now)
            held = await book.held(person, day_of(now))
        return Export(held, await self._notices(held))

    async def erase(self, address: str, request: Request, now: datetime) -> bool:
        """Erase the person behind ADDRESS; True when there was something. Raises what `show` raises."""
        return await self._erase(self._person(address, request), request, None, now)

    # --- for the person, who proved their mailbox ---

    async def held(self, person: Pseudonym, now: datetime) -> Held:
        """Everything that is held about PERSON. Raises StoreUnavailable."""
        return await self._store.held(person, day_of(now))

    async def take_along(self, person: Pseudonym, now: datetime) -> Export:
        """The same with the texts that the person agreed to. Raises StoreUnavailable."""
        held = await self.held(person, now)
        return Export(held, await self._notices(held))

    async def withdraw(
        self, person: Pseudonym, purposes: frozenset[Purpose], language: Language, now: datetime
    ) -> bool:
        """Record PERSON's own no to PURPOSES; True when it was news. Raises NotRecorded: never a false yes."""
        today = day_of(now)

        async def write(book: SubjectBook) -> bool:
            return await book.withdraw(
                person,
                purposes,
                now=now,
                actor=OwnActor.RECIPIENT,
                language=language,
                content_last_day=later(today, self._policy.proof_days),
                suppression_last_day=suppression_last_day(today, self._policy),
            )

        no = No(NoKind.WITHDRAWAL, person, purposes, now, OwnActor.RECIPIENT, language)
        try:
            return await self._in_step.record(no, self._store.subjects(), write)
        except StoreUnavailable:
            raise NotRecorded from None

    async def withdraw_all(self, person: Pseudonym, language: Language, now: datetime) -> bool:
        """Record PERSON's no to everything that concerns mail, and to calls where there is a yes to them.

        True when it was news. Raises StoreUnavailable, and NotRecorded: never a false yes.
        """
        standing = (await self.held(person, now)).standing
        purposes = MAIL_PURPOSES | standing.grants.keys() | standing.pending.keys()
        return await self.withdraw(person, frozenset(purposes), language, now)

    async def forget(self, person: Pseudonym, language: Language, now: datetime) -> bool:
        """Erase PERSON at their own wish; True when there was something. Raises NotRecorded: never a false yes."""
        try:
            return await self._erase(person, None, language, now)
        except StoreUnavailable:
            raise NotRecorded from None

    async def _erase(
        self, person: Pseudonym, request: Request | None, language: Language | None, now: datetime
    ) -> bool:
        """Erase PERSON, for whom a REQUEST may have been made; what the database lacks stands in the journal."""
        today = day_of(now)
        actor = OwnActor.RECIPIENT if request is None else request.actor

        async def write(book: SubjectBook) -> bool:
            if request is not None:
                await self._audit(book, request, ERASE, now)
            return await book.erase(
                person,
                now=now,
                actor=actor,
                language=language,
                content_last_day=later(today, self._policy.proof_days),
                suppression_last_day=suppression_last_day(today, self._policy),
                tell_until=later(today, TELL_DAYS),
            )

        no = No(NoKind.ERASURE, person, MAIL_PURPOSES, now, actor, language)
        return await self._in_step.record(no, self._store.subjects(), write)

    async def _audit(self, book: SubjectBook, request: Request, action: str, now: datetime) -> None:
        ends = later(day_of(now), AUDIT_DAYS)
        await book.audit(at=now, actor=request.actor, action=action, case=request.case, last_day=ends)

    async def _notices(self, held: Held) -> tuple[Notice, ...]:
        """The notices, in the language they were read in, that the history names."""
        read_texts = {(entry.notice_version, entry.language) for entry in held.history}
        return tuple(one for one in await self._store.notices() if (one.version, one.language) in read_texts)

    def _person(self, address: str, request: Request) -> Pseudonym:
        normalised = normalise(address)
        if request.case is not None:
            check_case(request.case, normalised)
        return pseudonym(self._tokens().ring.pseudonym_keys, normalised)


def check_case(case: str, address: str) -> None:
    """Raise AddressInValue or InvalidField unless CASE may stand in the audit trail for (normalised) ADDRESS."""
    if contains_address(case) or Traces(address).shown(read([case])):
        raise AddressInValue("case")
    if not CASE.fullmatch(case):
        raise InvalidField("case: 1 to 64 letters, digits, blanks and . : / # - _")
