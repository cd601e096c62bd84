"""Decides what a reported consent is worth, from the report and where the person stands: the law of this project.

The rules, all of them here (GDPR Art. 4(11), 7; UWG section 7, 7a; DESIGN.md, Consent):

- a purchased list is no consent, whatever comes with it, and being a customer is none to tracking;
- a report needs evidence, and a date that is neither in the future nor longer ago than a consent lasts;
- after a no nothing that anybody reports makes a grant;
- only a confirmed web form, paper or import makes a live grant: what a rep or a call reports waits for the person;
- after a restore that may have lost a no, a report of what was confirmed before it waits for the person too;
- a report that adds nothing to what is known writes nothing;
- the person's own yes on our page makes a live grant, but only behind a link that we mailed to them does it take back
  a no or confirm a report;
- an answer about calls is given in a call and concerns nothing else; a no to calls counts whoever reports it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from tracker.core.calendar import day_of, later, years_later
from tracker.core.periods import PROOF_OF_CALLS, SIX_MONTHS
from tracker.model import (
    MAIL_PURPOSES,
    Call,
    ConsentReport,
    ConsentState,
    Day,
    Evidence,
    ExistingCustomer,
    ExpiredConsent,
    FutureDate,
    Grant,
    InvalidField,
    Method,
    MissingEvidence,
    PurchasedList,
    Purpose,
    Standing,
)

CLOCK_SKEW = timedelta(minutes=5)
"""How far ahead another system's clock may be."""

BY_OUR_MAIL: Final = "link-in-mail"
"""How a yes was confirmed that came behind a link which we mailed, in the evidence of its entry."""

CONFIRMABLE = frozenset({Method.WEB_FORM, Method.WRITTEN, Method.IMPORTED, Method.PAGE})
"""Methods by which a report can show that the person confirmed it."""

_PHONE: Final = frozenset({Purpose.PHONE})


@dataclass(frozen=True, slots=True)
class ConsentPolicy:
    """Periods in days, from the settings."""

    consent_days: int = 730
    proof_days: int = 1095
    pending_days: int = 30
    retention_days: int = 90
    """How long a call is kept in which nobody said yes to further ones."""
    vouched_since: datetime | None = None
    """After a restore that lost nos: what was confirmed before it shows nothing any more."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about a report; `give` and `hold` name the purposes to write, both empty when nothing changes."""

    state: ConsentState
    until: Day | None
    give: frozenset[Purpose] = frozenset()
    hold: frozenset[Purpose] = frozenset()


def decide(report: ConsentReport, standing: Standing, now: datetime, policy: ConsentPolicy) -> Decision:
    """What REPORT changes for a person who stands at STANDING.

    The state `suppressed` is decided here too, so that no caller can forget it.

    Raises:
        PurchasedList, MissingEvidence, FutureDate, ExpiredConsent: the report is worth nothing.
    """
    if report.purposes & standing.suppressed.keys():  # whatever it is worth: that it was tried prolongs the no
        return Decision(ConsentState.SUPPRESSED, until=None)
    _examine(report, now, policy)
    if is_confirmed(report) and not _in_doubt(report, policy):
        return _grant(report, standing, policy)
    return _hold(report, standing, now, policy)


def decide_calls(report: ConsentReport, standing: Standing, now: datetime, policy: ConsentPolicy) -> Decision | None:
    """What REPORT changes about calls; None when it holds no answer about them.

    An answer about mail is none about calls, whatever it says, and the other way round (LAW.md R18): only the person's
    own word in the call makes a grant, of purpose `phone` alone. Raises as `decide`.
    """
    if report.evidence.call_again is False:
        return Decision(ConsentState.WITHDRAWN, until=None)
    if not report.evidence.call_again or not _is_call(report):
        return None
    if Purpose.PHONE in standing.suppressed:
        return Decision(ConsentState.SUPPRESSED, until=None)
    _examine(report, now, policy)
    about_calls = replace(report, purposes=_PHONE)
    if _in_doubt(report, policy):
        return _hold(about_calls, standing, now, policy)
    return _grant(about_calls, standing, policy)


def call_of(report: ConsentReport, policy: ConsentPolicy) -> Call | None:
    """What is kept of the call that REPORT tells of, if it tells of one (LAW.md R17)."""
    started_at = report.evidence.call_started_at
    if started_at is None or not _is_call(report):
        return None
    again = report.evidence.call_again
    day = day_of(started_at)
    return Call(
        rep=report.actor,
        started_at=started_at.replace(microsecond=0),
        seconds=report.evidence.call_seconds,
        call_again=again,
        tracking_agreed=bool(report.purposes & MAIL_PURPOSES),
        last_day=proof_of_calls_ends(day) if again else later(day, policy.retention_days),
    )


def lies_ahead(report: ConsentReport, now: datetime) -> bool:
    """Whether REPORT tells of a call that has not begun NOW: it would be kept for too long, and a yes with it."""
    started_at = report.evidence.call_started_at
    return started_at is not None and _is_call(report) and started_at > now + CLOCK_SKEW


def proof_of_calls_ends(day: Day) -> Day:
    """The last day of the proof of a yes to calls that was given or made use of on DAY."""
    return years_later(day, PROOF_OF_CALLS)


def check_purposes(report: ConsentReport) -> None:
    """Raise InvalidField unless the purposes of REPORT can be answered in the way that it says."""
    evidence = report.evidence
    if Purpose.PHONE in report.purposes and not (
        report.method is Method.PHONE
        and evidence.call_again is not None
        and (evidence.call_started_at is not None or not evidence.call_again)
    ):
        raise InvalidField(
            "purposes: 'phone' is answered in a call: method phone, evidence.call_started_at, evidence.call_again"
        )
    if not report.purposes and not _is_call(report):
        raise InvalidField("purposes: needs one or both of open, click")


def everything_of(standing: Standing) -> frozenset[Purpose]:
    """What a no to everything ends: all about mail, and calls where there is anything to end."""
    return MAIL_PURPOSES | (_PHONE & (standing.grants.keys() | standing.pending.keys()))


def _is_call(report: ConsentReport) -> bool:
    return report.method is Method.PHONE and report.evidence.call_started_at is not None


def is_confirmed(report: ConsentReport) -> bool:
    """Whether REPORT shows when and how the person confirmed it."""
    evidence = report.evidence
    return (
        report.method in CONFIRMABLE
        and evidence.confirmed_at is not None
        and any(map(str.isalnum, evidence.confirmed_by or ""))
    )


def grant_last_day(report: ConsentReport, policy: ConsentPolicy) -> Day:
    """The last day of a grant that rests on REPORT: a consent is as old as what shows it."""
    confirmed_at = report.evidence.confirmed_at
    since = report.given_at if confirmed_at is None else min(report.given_at, confirmed_at)
    return later(day_of(since), policy.consent_days)


def _in_doubt(report: ConsentReport, policy: ConsentPolicy) -> bool:
    """Whether a no that is lost may have followed what REPORT shows."""
    confirmed_at = report.evidence.confirmed_at
    since = report.given_at if confirmed_at is None else min(report.given_at, confirmed_at)
    return policy.vouched_since is not None and since <= policy.vouched_since


def invited_by(key: str) -> str:
    """What the evidence of a yes behind a sender's own link says of it: which API KEY had the link made."""
    return f"invitation by {key}"


def needs_own_mail(purposes: frozenset[Purpose], standing: Standing) -> bool:
    """Whether a yes to PURPOSES of a person who stands at STANDING needs a link that we mailed to them."""
    return bool(purposes & (standing.suppressed.keys() | standing.pending.keys()))


def suppression_last_day(today: Day, policy: ConsentPolicy) -> Day:
    """Until when a no of TODAY holds at least: as long as its proof, and never less than six months."""
    return later(today, max(policy.proof_days, SIX_MONTHS))


def _examine(report: ConsentReport, now: datetime, policy: ConsentPolicy) -> None:
    if report.method is Method.PURCHASED:
        raise PurchasedList("method")
    if report.method is Method.EXISTING_CUSTOMER:
        raise ExistingCustomer("method")
    if report.evidence == Evidence():
        raise MissingEvidence("evidence")
    dates = {
        "given_at": report.given_at,
        "evidence.confirmed_at": report.evidence.confirmed_at,
        "evidence.call_started_at": report.evidence.call_started_at,
    }
    for name, date in dates.items():
        if date is not None and date > now + CLOCK_SKEW:
            raise FutureDate(name)
    if grant_last_day(report, policy) < day_of(now):
        raise ExpiredConsent("given_at")


def _grant(report: ConsentReport, standing: Standing, policy: ConsentPolicy) -> Decision:
    newer = frozenset(
        purpose
        for purpose in report.purposes
        if purpose not in standing.grants or _renews(report, standing.grants[purpose], policy)
    )
    kept = [standing.grants[purpose].last_day for purpose in report.purposes - newer]
    if not newer:
        return Decision(ConsentState.UNCHANGED, until=min(kept))
    return Decision(ConsentState.LIVE, until=min([grant_last_day(report, policy), *kept]), give=newer)


def _renews(report: ConsentReport, grant: Grant, policy: ConsentPolicy) -> bool:
    """Whether REPORT is a newer consent than the one GRANT rests on, and not an old confirmation with a new date."""
    if report.given_at <= grant.given_at:
        return False
    last_day = grant_last_day(report, policy)
    confirmed_at = report.evidence.confirmed_at
    confirmed_since = confirmed_at is not None and confirmed_at >= report.given_at
    return last_day > grant.last_day or (last_day == grant.last_day and confirmed_since)


def _hold(report: ConsentReport, standing: Standing, now: datetime, policy: ConsentPolicy) -> Decision:
    open_questions = report.purposes - standing.grants.keys()
    if not open_questions:
        return Decision(ConsentState.UNCHANGED, min(standing.grants[purpose].last_day for purpose in report.purposes))
    unasked = frozenset(open_questions - standing.pending.keys())
    waiting = [standing.pending[purpose].last_day for purpose in open_questions - unasked]
    until = min([later(day_of(now), policy.pending_days)] * bool(unasked) + waiting)
    return Decision(ConsentState.PENDING, until=until, hold=unasked)
