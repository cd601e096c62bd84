"""Tells how consent is reported, looked up and withdrawn: shown, said yes or no, recorded."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from datetime import datetime
from functools import lru_cache
from typing import Final

from tracker.core.address import contains_address
from tracker.core.calendar import day_of, later
from tracker.core.consent import ConsentPolicy, check_purposes, everything_of, suppression_last_day
from tracker.core.pseudonym import normalise, pseudonym
from tracker.core.tokens import StopToken, Tokens
from tracker.core.traces import Reading, Traces, read
from tracker.flows.in_step import InStep
from tracker.flows.recording import Outcome, Recorder
from tracker.model import (
    AddressInValue,
    BadToken,
    ConsentReport,
    ConsentState,
    Day,
    Evidence,
    InvalidField,
    Language,
    LedgerContent,
    Method,
    No,
    NoKind,
    NotRecorded,
    OwnActor,
    Pseudonym,
    Purpose,
    Standing,
    StoreUnavailable,
    Suppressed,
)
from tracker.store.consents import ConsentBook
from tracker.store.store import Store

REFERENCE: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
LONGEST_VALUE: Final = 500


@dataclass(frozen=True, slots=True)
class ReportedConsent:
    """A consent as it came in at a door, with the address still in it."""

    address: str
    purposes: frozenset[Purpose]
    method: Method
    given_at: datetime
    notice_version: str
    language: Language
    evidence: Evidence
    actor: str
    reference: str | None = None
    requested: bool = False
    source: str | None = None
    """Whose id `reference` is, where it is not the actor's."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """Where a person stands, and how it came about."""

    standing: Standing
    history: tuple[LedgerContent, ...]


class Consents:
    """Records what people agreed to and what they took back."""

    def __init__(self, store: Store, tokens: Callable[[], Tokens], policy: ConsentPolicy, in_step: InStep) -> None:
        self._store = store
        self._tokens = tokens
        self._policy = policy
        self._in_step = in_step
        self._recorder = Recorder(policy)

    async def report(self, reported: ReportedConsent, now: datetime) -> tuple[ConsentState, Day | None]:
        """Record a consent that somebody reports; return its state and, while it lasts, its last day.

        Raises:
            InvalidAddress, InvalidField, AddressInValue, UnknownNotice, PurchasedList, MissingEvidence, FutureDate,
            ExpiredConsent: the report is refused and nothing was written.
            Suppressed: the person said no; that it was tried again is remembered, so that the no lasts.
            StoreUnavailable: nothing was written.
        """
        return (await self.report_all(reported, now)).answer

    async def report_all(self, reported: ReportedConsent, now: datetime) -> Outcome:
        """The same, told apart: what became of what was said about mail, and about calls. Raises as `report`."""
        report = self.understood(reported)
        async with self._in_step.noting(self._store.consents()) as book:
            outcome = await self._recorder.record(book, report, now)
        if outcome.answer[0] is ConsentState.SUPPRESSED:
            raise refusal(outcome)
        return outcome

    async def lookup(self, address: str, now: datetime) -> Lookup:
        """Where the person behind ADDRESS stands. Raises InvalidAddress, StoreUnavailable."""
        person = self._pseudonym(address)
        today = day_of(now)
        return Lookup(await self._store.standing(person, today), await self._store.history(person, today))

    async def withdraw(self, address: str, purposes: frozenset[Purpose], actor: str, now: datetime) -> bool:
        """Record a no that somebody reports for ADDRESS; it counts at once. True when it was news.

        Without PURPOSES it is a no to everything, calls too where there is anything to end.
        Raises InvalidAddress, StoreUnavailable: neither database nor journal could be written.
        """
        return await self._withdraw(self._pseudonym(address), purposes, actor, None, now)

    def read_stop(self, token: str) -> StopToken | None:
        """Whose stop TOKEN this is; None when it was altered. Needs no database."""
        return self._tokens().open_stop(token)

    async def withdraw_by_link(self, token: str, purposes: frozenset[Purpose], now: datetime) -> bool:
        """Record the no of whoever holds a stop TOKEN; True when it was news.

        Raises:
            BadToken: the token was altered; nothing was written.
            NotRecorded: neither database nor journal could be written; never a false yes.
        """
        stop = self.read_stop(token)
        if stop is None:
            raise BadToken
        try:
            return await self._withdraw(stop.pseudonym, purposes, OwnActor.RECIPIENT, stop.language, now)
        except StoreUnavailable:
            raise NotRecorded from None

    async def _withdraw(
        self, person: Pseudonym, purposes: frozenset[Purpose], actor: str, language: Language | None, now: datetime
    ) -> bool:
        today = day_of(now)
        no = No(NoKind.WITHDRAWAL, person, purposes, now, actor, language)

        async def write(book: ConsentBook) -> bool:
            return await book.withdraw(
                person,
                purposes or everything_of(await book.standing(person, day_of(now))),
                now=now,
                actor=actor,
                language=language,
                content_last_day=self._proof_ends(today),
                suppression_last_day=suppression_last_day(today, self._policy),
            )

        return await self._in_step.record(no, self._store.consents(), write)

    def understood(self, reported: ReportedConsent) -> ConsentReport:
        """REPORTED without the address, checked as far as that needs no store.

        Raises InvalidAddress, InvalidField, AddressInValue.
        """
        address = normalise(reported.address)
        person = pseudonym(self._tokens().ring.pseudonym_keys, address)
        if reported.method is Method.PAGE:
            raise InvalidField("method: 'page' is what this tracker's own page records")
        if reported.reference is not None:
            check_reference(reported.reference, "reference", address)
        evidence = _checked_evidence(reported.evidence, address)
        report = ConsentReport(
            pseudonym=person,
            purposes=reported.purposes,
            method=reported.method,
            given_at=reported.given_at.replace(microsecond=0),
            notice_version=reported.notice_version,
            language=reported.language,
            evidence=evidence,
            actor=reported.actor,
            reference=reported.reference,
            requested=reported.requested,
            source=reported.source,
        )
        check_purposes(report)
        return report

    def _pseudonym(self, address: str) -> Pseudonym:
        return pseudonym(self._tokens().ring.pseudonym_keys, normalise(address))

    def _proof_ends(self, day: Day) -> Day:
        return later(day, self._policy.proof_days)


def refusal(outcome: Outcome) -> Suppressed:
    """Why nothing came of what was reported; OUTCOME may hold an answer about calls that was recorded all the same."""
    if outcome.phone is None or outcome.phone[0] is ConsentState.SUPPRESSED:
        return Suppressed("purposes")
    return Suppressed("purposes: the answer about calls was recorded, that about mail was not")


def check_reference(reference: str, field: str, address: str) -> None:
    """Raise InvalidField or AddressInValue, naming FIELD, unless REFERENCE may be stored of (normalised) ADDRESS."""
    if contains_address(reference) or Traces(address).shown(read([reference])):
        raise AddressInValue(field)
    if not REFERENCE.fullmatch(reference):
        raise InvalidField(f"{field}: 1 to 64 of A-Z a-z 0-9 _ . : -")


@lru_cache(maxsize=64)
def _reading(value: str) -> Reading:
    """What VALUE says in all its layers: a list says the same of many people. Raises AddressInValue, unremembered."""
    if contains_address(value):
        raise AddressInValue
    return read([value])


def _checked_evidence(evidence: Evidence, address: str) -> Evidence:
    """EVIDENCE without blanks around its values; what is nothing but blanks is no evidence. Raises as above."""
    values: dict[str, str | None] = {}
    for field in fields(evidence):
        value = getattr(evidence, field.name)
        if not isinstance(value, str):
            continue
        name = f"evidence.{field.name}"
        try:
            shown = Traces(address).shown(_reading(value))
        except AddressInValue:
            shown = True
        if shown:
            raise AddressInValue(name)
        if len(value) > LONGEST_VALUE or not value.isprintable():
            raise InvalidField(f"{name}: at most {LONGEST_VALUE} printable characters")
        values[field.name] = value.strip() or None
    return replace(evidence, **values)  # type: ignore[arg-type]
