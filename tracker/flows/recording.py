"""Writes down a reported consent in a transaction of the caller's: decided, then recorded, mail and calls apart.

The law: a report is decided as a whole before anything is written, so that one which is refused changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, TypeAlias

from tracker.core.calendar import day_of, later
from tracker.core.consent import (
    ConsentPolicy,
    Decision,
    call_of,
    decide,
    decide_calls,
    grant_last_day,
    lies_ahead,
    proof_of_calls_ends,
    suppression_last_day,
)
from tracker.core.ledger import notice_hash
from tracker.model import (
    MAIL_PURPOSES,
    Call,
    ConsentReport,
    ConsentState,
    Day,
    FutureDate,
    Notice,
    Purpose,
    Standing,
    UnknownNotice,
)
from tracker.store.consents import ConsentBook

Answer: TypeAlias = tuple[ConsentState, Day | None]
"""A state and, while it lasts, its last day."""
_PHONE: Final = frozenset({Purpose.PHONE})
_NOES: Final = (ConsentState.SUPPRESSED, ConsentState.WITHDRAWN)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a report: of what it says about mail, and of what it says about calls."""

    mail: Answer | None
    phone: Answer | None

    @property
    def answer(self) -> Answer:
        """What the report comes to: about mail, if it says anything of that."""
        return self.mail or self.phone or (ConsentState.UNCHANGED, None)


class Recorder:
    """Decides and writes reports one at a time, each in the transaction that its caller opened."""

    def __init__(self, policy: ConsentPolicy) -> None:
        self._policy = policy

    async def record(self, book: ConsentBook, report: ConsentReport, now: datetime) -> Outcome:
        """Record REPORT; that somebody who said no was asked for again is remembered, so that the no lasts.

        Raises UnknownNotice, PurchasedList, ExistingCustomer, MissingEvidence, FutureDate, ExpiredConsent before
        anything is written; StoreUnavailable.
        """
        standing = await book.standing(report.pseudonym, day_of(now))
        about_mail = replace(report, purposes=report.purposes & MAIL_PURPOSES)
        policy = replace(self._policy, vouched_since=await book.vouched_since())
        mail = decide(about_mail, standing, now, policy) if about_mail.purposes else None
        phone = decide_calls(report, standing, now, policy)
        ahead = lies_ahead(report, now)
        if ahead and not any(part and part.state in _NOES for part in (mail, phone)):
            raise FutureDate("evidence.call_started_at")
        call = None if ahead else call_of(report, self._policy)  # a no counts, whatever the report is worth
        notice = None
        if any(part and part.state not in _NOES for part in (mail, phone)):
            notice = await book.notice(report.notice_version, report.language)
            if notice is None or notice.superseded_day is not None:
                raise UnknownNotice("notice_version")
        days = []
        if phone is not None:
            about_calls = replace(report, purposes=_PHONE)
            days.append(await self._write(book, about_calls, phone, standing, notice, now))
        # A call is not kept of who said no to calls: that it is told again must not undo an erasure (LAW.md R51).
        if call is not None and Purpose.PHONE not in standing.suppressed:
            days.append(await self._note(book, report, call, standing, now))
        if mail is not None:
            days.append(await self._write(book, about_mail, mail, standing, notice, now))
        last_day = max((day for day in days if day is not None), default=None)
        if report.reference is not None and last_day is not None:  # one that is known already is not written again
            source = report.source or report.actor
            await book.remember_reference(source, report.reference, report.pseudonym, last_day)
        return Outcome(_answer(mail), _answer(phone))

    async def _write(
        self,
        book: ConsentBook,
        report: ConsentReport,
        decision: Decision,
        standing: Standing,
        notice: Notice | None,
        now: datetime,
    ) -> Day | None:
        """Do what DECISION says; until when a reference to the person is of use, None when it is not to be kept."""
        today = day_of(now)
        proof_ends = later(today, self._policy.proof_days)
        no_ends = suppression_last_day(today, self._policy)
        if decision.state is ConsentState.SUPPRESSED:
            refused = report.purposes & standing.suppressed.keys()
            await book.prolong_suppression(report.pseudonym, refused, no_ends)
            return None
        if decision.state is ConsentState.WITHDRAWN:
            news = await book.withdraw(
                report.pseudonym,
                report.purposes,
                now=now,
                actor=report.actor,
                language=report.language,
                content_last_day=proof_ends,
                suppression_last_day=no_ends,
            )
            return no_ends if news else None
        text_hash = "" if notice is None else notice_hash(notice.text)
        if decision.give:
            last_day = grant_last_day(report, self._policy)
            await book.give(
                report,
                decision.give,
                grant_last_day=last_day,
                content_last_day=later(last_day, self._policy.proof_days),
                today=today,
                now=now,
                notice_hash=text_hash,
            )
            return last_day
        if decision.hold:
            last_day = later(today, self._policy.pending_days)
            await book.hold(
                report,
                decision.hold,
                last_day=last_day,
                content_last_day=proof_ends,
                now=now,
                notice_hash=text_hash,
            )
            return last_day
        return decision.until or today

    async def _note(
        self, book: ConsentBook, report: ConsentReport, call: Call, standing: Standing, now: datetime
    ) -> Day | None:
        """Keep CALL, and the yes it rests on for five years more; one that is past its day is not written at all."""
        if Purpose.PHONE in standing.grants:
            await book.use_calls(report.pseudonym, call, proof_of_calls_ends(day_of(call.started_at)))
        if call.last_day < day_of(now):
            return None
        await book.note_call(report.pseudonym, call)
        return call.last_day


def _answer(decision: Decision | None) -> Answer | None:
    return None if decision is None else (decision.state, decision.until)
