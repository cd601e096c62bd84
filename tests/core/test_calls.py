"""What a call says: an answer about calls and a record, neither of which anything about mail can make (R17, R18)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.test_consent import NOBODY, NOW, POLICY, REPORT, TODAY, standing_live
from tracker.core.calendar import date_of, day_of, later, years_later
from tracker.core.consent import Decision, call_of, check_purposes, decide, decide_calls, everything_of
from tracker.model import (
    MAIL_PURPOSES,
    Call,
    ConsentReport,
    ConsentState,
    Day,
    Evidence,
    ExistingCustomer,
    InvalidField,
    Method,
    PendingGrant,
    Purpose,
    Standing,
)

PHONE = frozenset({Purpose.PHONE})
CALLED = Evidence(call_started_at=NOW, call_seconds=60, call_again=True)
CALL = replace(REPORT, method=Method.PHONE, purposes=PHONE, given_at=NOW, evidence=CALLED)


def test_r16_being_a_customer_is_no_consent_to_tracking_whatever_the_evidence() -> None:
    with pytest.raises(ExistingCustomer):
        decide(replace(REPORT, method=Method.EXISTING_CUSTOMER), NOBODY, NOW, POLICY)


def test_a_yes_in_a_call_is_a_grant_of_purpose_phone_alone() -> None:
    decision = decide_calls(replace(CALL, purposes=MAIL_PURPOSES), NOBODY, NOW, POLICY)
    assert decision == Decision(ConsentState.LIVE, later(TODAY, 730), give=PHONE)
    assert decide_calls(CALL, standing_live(NOW, Purpose.PHONE), NOW, POLICY) == Decision(
        ConsentState.UNCHANGED, later(TODAY, 730)
    )


def test_a_no_is_a_no_whatever_the_report_is_worth() -> None:
    for method in Method:
        said = replace(CALL, method=method, evidence=Evidence(call_again=False), given_at=NOW + timedelta(days=9))
        assert decide_calls(said, NOBODY, NOW, POLICY) == Decision(ConsentState.WITHDRAWN, None)


def test_after_a_no_to_calls_a_call_makes_no_grant() -> None:
    decision = decide_calls(CALL, Standing(suppressed={Purpose.PHONE: TODAY}), NOW, POLICY)
    assert decision == Decision(ConsentState.SUPPRESSED, None)


@given(
    st.sampled_from(sorted(Method)),
    st.frozensets(st.sampled_from(sorted(Purpose))),
    st.sampled_from([None, NOW]),
    st.sampled_from([None, True, False]),
)
def test_r18_only_a_call_makes_a_grant_about_calls_and_it_makes_none_about_mail(
    method: Method, purposes: frozenset[Purpose], started: datetime | None, again: bool | None
) -> None:
    evidence = replace(REPORT.evidence, call_started_at=started, call_again=again)
    report = replace(REPORT, method=method, purposes=purposes, evidence=evidence, given_at=NOW)
    decision = decide_calls(report, NOBODY, NOW, POLICY)
    if decision is not None and decision.give:
        assert decision.give == PHONE
        assert (method, again) == (Method.PHONE, True)
        assert started is not None
        assert not decide(replace(report, purposes=MAIL_PURPOSES), NOBODY, NOW, POLICY).give


def test_r17_a_call_is_kept_five_years_with_a_yes_and_as_long_as_an_event_without() -> None:
    kept = call_of(CALL, POLICY)
    assert kept == Call("shop", NOW, 60, True, False, years_later(TODAY, 5))
    for again in (None, False):
        kept = call_of(replace(CALL, evidence=replace(CALLED, call_again=again)), POLICY)
        assert kept is not None
        assert kept.last_day == later(TODAY, 90)
    assert call_of(replace(CALL, method=Method.REP), POLICY) is None
    assert call_of(replace(CALL, evidence=Evidence(call_again=True)), POLICY) is None


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        (date(2026, 11, 23), date(2031, 11, 23)),
        (date(2024, 2, 29), date(2029, 3, 1)),
        (date(2027, 1, 1), date(2032, 1, 1)),
    ],
)
def test_five_years_are_five_years_of_the_calendar(begin: date, end: date) -> None:
    day = day_of(datetime(begin.year, begin.month, begin.day, tzinfo=UTC))
    assert date_of(years_later(day, 5)) == end


@pytest.mark.parametrize(
    "wrong",
    [
        replace(CALL, method=Method.WEB_FORM),
        replace(CALL, evidence=replace(CALLED, call_started_at=None)),
        replace(CALL, evidence=replace(CALLED, call_again=None)),
        replace(CALL, purposes=frozenset(), method=Method.REP),
        replace(CALL, purposes=frozenset(), evidence=Evidence(call_again=True)),
    ],
)
def test_what_cannot_be_answered_that_way_is_refused(wrong: ConsentReport) -> None:
    with pytest.raises(InvalidField, match="purposes"):
        check_purposes(wrong)


def test_what_can_is_not() -> None:
    for purposes in (frozenset(), PHONE, MAIL_PURPOSES, frozenset(Purpose)):
        check_purposes(replace(CALL, purposes=purposes))
    check_purposes(replace(CALL, evidence=Evidence(call_again=False)))


def test_a_no_to_everything_is_about_calls_only_where_there_is_anything_to_end() -> None:
    assert everything_of(NOBODY) == MAIL_PURPOSES
    assert everything_of(standing_live(NOW, Purpose.PHONE)) == frozenset(Purpose)
    waiting = PendingGrant(Purpose.PHONE, Day(TODAY + 30), Method.PHONE, entry=1)
    assert everything_of(Standing(pending={Purpose.PHONE: waiting})) == frozenset(Purpose)
