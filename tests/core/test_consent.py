"""What a reported consent is worth: the table of decisions, and what holds for all of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.core.calendar import day_of, later
from tracker.core.consent import ConsentPolicy, Decision, decide, needs_own_mail, suppression_last_day
from tracker.core.periods import SIX_MONTHS
from tracker.model import (
    ConsentReport,
    ConsentState,
    Day,
    Evidence,
    ExpiredConsent,
    FutureDate,
    Grant,
    Language,
    Method,
    MissingEvidence,
    PendingGrant,
    Pseudonym,
    PurchasedList,
    Purpose,
    Standing,
    TrackerError,
)

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
TODAY = day_of(NOW)
POLICY = ConsentPolicy()
BOTH = frozenset({Purpose.OPEN, Purpose.CLICK})
CONFIRMED = Evidence(source="https://example.org/newsletter", confirmed_at=NOW, confirmed_by="link-in-mail")
REPORT = ConsentReport(
    pseudonym=Pseudonym(b"p" * 32),
    purposes=BOTH,
    method=Method.WEB_FORM,
    given_at=NOW - timedelta(days=1),
    notice_version="2026-1",
    language=Language.DE,
    evidence=CONFIRMED,
    actor="shop",
)
NOBODY = Standing()


def live(purpose: Purpose, given_at: datetime) -> Grant:
    return Grant(purpose, later(day_of(given_at), 730), given_at, "2026-1", entry=1)


def standing_live(given_at: datetime, *purposes: Purpose) -> Standing:
    return Standing(grants={purpose: live(purpose, given_at) for purpose in purposes})


def test_a_confirmed_web_form_is_live_until_the_consent_ends() -> None:
    assert decide(REPORT, NOBODY, NOW, POLICY) == Decision(
        ConsentState.LIVE, until=Day(day_of(REPORT.given_at) + 730), give=BOTH
    )


@pytest.mark.parametrize("method", [Method.WEB_FORM, Method.WRITTEN, Method.IMPORTED])
@pytest.mark.parametrize("missing", ["confirmed_at", "confirmed_by"])
def test_without_a_confirmation_it_is_pending(method: Method, missing: str) -> None:
    report = replace(REPORT, method=method, evidence=replace(CONFIRMED, **{missing: None}))
    assert decide(report, NOBODY, NOW, POLICY) == Decision(ConsentState.PENDING, until=Day(TODAY + 30), hold=BOTH)


@pytest.mark.parametrize("method", [Method.PHONE, Method.REP])
def test_what_a_rep_or_a_call_reports_is_pending_whatever_the_evidence(method: Method) -> None:
    """R7: it waits for the person."""
    decision = decide(replace(REPORT, method=method), NOBODY, NOW, POLICY)
    assert decision.state is ConsentState.PENDING
    assert not decision.give


def test_after_a_restore_that_lost_nos_what_was_confirmed_before_waits_for_the_person() -> None:
    """R45: a no that is lost may have followed it."""
    for days, state in ((0, ConsentState.PENDING), (-2, ConsentState.LIVE)):
        policy = ConsentPolicy(vouched_since=NOW + timedelta(days=days))
        assert decide(REPORT, NOBODY, NOW, policy).state is state
    old_date = replace(REPORT, given_at=NOW - timedelta(days=3))
    assert decide(old_date, NOBODY, NOW, ConsentPolicy(vouched_since=NOW - timedelta(days=2))).state is (
        ConsentState.PENDING
    ), "neither a new confirmation nor a new date alone helps"


def test_a_purchased_list_is_refused_whatever_the_evidence() -> None:
    """R16: a bought list is no consent."""
    with pytest.raises(PurchasedList):
        decide(replace(REPORT, method=Method.PURCHASED), NOBODY, NOW, POLICY)


def test_evidence_is_required() -> None:
    with pytest.raises(MissingEvidence):
        decide(replace(REPORT, evidence=Evidence()), NOBODY, NOW, POLICY)


@pytest.mark.parametrize("field", ["given_at", "confirmed_at", "call_started_at"])
def test_a_date_in_the_future_is_refused(field: str) -> None:
    tomorrow = NOW + timedelta(days=1)
    if field == "given_at":
        report = replace(REPORT, given_at=tomorrow)
    else:
        report = replace(REPORT, evidence=Evidence(**{field: tomorrow}))  # type: ignore[arg-type]
    with pytest.raises(FutureDate, match=field):
        decide(report, NOBODY, NOW, POLICY)


def test_a_consent_lasts_through_its_last_day_and_not_a_day_longer() -> None:
    """R14: consents expire."""
    oldest = replace(REPORT, given_at=NOW - timedelta(days=730))
    assert decide(oldest, NOBODY, NOW, POLICY).until == TODAY
    with pytest.raises(ExpiredConsent):
        decide(oldest, NOBODY, NOW + timedelta(days=1), POLICY)


def test_the_same_again_changes_nothing() -> None:
    standing = standing_live(REPORT.given_at, *BOTH)
    decision = decide(REPORT, standing, NOW, POLICY)
    assert decision == Decision(ConsentState.UNCHANGED, until=Day(day_of(REPORT.given_at) + 730))


def test_an_older_consent_than_the_live_one_changes_nothing() -> None:
    standing = standing_live(NOW, *BOTH)
    assert decide(REPORT, standing, NOW, POLICY).state is ConsentState.UNCHANGED


def test_a_newer_consent_renews() -> None:
    standing = standing_live(NOW - timedelta(days=100), *BOTH)
    assert decide(REPORT, standing, NOW, POLICY).give == BOTH


def test_an_old_confirmation_with_a_new_date_renews_nothing() -> None:
    old = replace(CONFIRMED, confirmed_at=NOW - timedelta(days=100))
    first = decide(replace(REPORT, given_at=NOW - timedelta(days=100), evidence=old), NOBODY, NOW, POLICY)
    grant = Grant(Purpose.OPEN, first.until or TODAY, NOW - timedelta(days=100), "2026-1", entry=1)
    standing = Standing(grants={Purpose.OPEN: grant, Purpose.CLICK: replace(grant, purpose=Purpose.CLICK)})
    again = decide(replace(REPORT, given_at=NOW, evidence=old), standing, NOW, POLICY)
    assert again == Decision(ConsentState.UNCHANGED, until=first.until)


@pytest.mark.parametrize("blank", ["", " ", "."])
def test_a_confirmation_by_nothing_is_none(blank: str) -> None:
    decision = decide(replace(REPORT, evidence=replace(CONFIRMED, confirmed_by=blank)), NOBODY, NOW, POLICY)
    assert decision.state is ConsentState.PENDING


def test_a_purpose_that_is_live_is_not_given_twice() -> None:
    standing = standing_live(REPORT.given_at, Purpose.OPEN)
    assert decide(REPORT, standing, NOW, POLICY).give == {Purpose.CLICK}


def test_a_rep_cannot_make_a_live_grant_pending() -> None:
    standing = standing_live(REPORT.given_at, *BOTH)
    decision = decide(replace(REPORT, method=Method.REP), standing, NOW, POLICY)
    assert decision.state is ConsentState.UNCHANGED


def test_a_pending_report_again_changes_nothing() -> None:
    pending = {purpose: PendingGrant(purpose, Day(TODAY + 7), Method.REP, 1) for purpose in BOTH}
    decision = decide(replace(REPORT, method=Method.REP), Standing(pending=pending), NOW, POLICY)
    assert decision == Decision(ConsentState.PENDING, until=Day(TODAY + 7))


REPORTS = st.builds(
    ConsentReport,
    pseudonym=st.just(REPORT.pseudonym),
    purposes=st.sampled_from([BOTH, frozenset({Purpose.OPEN}), frozenset({Purpose.CLICK})]),
    method=st.sampled_from(Method),
    given_at=st.integers(-800, 40).map(lambda days: NOW + timedelta(days=days)),
    notice_version=st.just("2026-1"),
    language=st.sampled_from(Language),
    evidence=st.sampled_from([CONFIRMED, Evidence(), Evidence(source="form")]),
    actor=st.just("shop"),
)


@given(REPORTS)
def test_after_a_no_nothing_that_anybody_reports_makes_a_grant(report: ConsentReport) -> None:
    standing = Standing(suppressed=dict.fromkeys(BOTH, Day(TODAY + 1)))
    try:
        decision = decide(report, standing, NOW, POLICY)
    except TrackerError:
        return
    assert decision == Decision(ConsentState.SUPPRESSED, until=None)


@given(REPORTS)
def test_nothing_is_given_without_a_confirmation(report: ConsentReport) -> None:
    try:
        decision = decide(report, NOBODY, NOW, POLICY)
    except TrackerError:
        return
    if decision.give:
        assert report.evidence.confirmed_at
        assert report.evidence.confirmed_by
        assert report.method not in {Method.PHONE, Method.REP, Method.PURCHASED}
    assert decision.give <= report.purposes
    assert decision.hold <= report.purposes


@pytest.mark.parametrize("purpose", sorted(BOTH))
def test_what_was_refused_or_reported_needs_a_link_that_we_mailed(purpose: Purpose) -> None:
    refused = Standing(suppressed={purpose: Day(TODAY + 1)})
    waiting = Standing(pending={purpose: PendingGrant(purpose, Day(TODAY + 7), Method.REP, 1)})
    for standing in (refused, waiting):
        assert needs_own_mail(frozenset({purpose}), standing)
        assert needs_own_mail(BOTH, standing)
        assert not needs_own_mail(BOTH - {purpose}, standing)
    assert not needs_own_mail(BOTH, NOBODY)


@pytest.mark.parametrize(("proof_days", "days"), [(7, SIX_MONTHS), (SIX_MONTHS, SIX_MONTHS), (1095, 1095)])
def test_r12_a_no_holds_as_long_as_its_proof_and_six_months_at_least(proof_days: int, days: int) -> None:
    """R12: no re-asking for six months after refusal."""
    assert suppression_last_day(TODAY, ConsentPolicy(proof_days=proof_days)) == TODAY + days
