"""A call is a record of its own, and its answer about calls never an answer about mail (LAW.md R7, R17, R18)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.flows.conftest import NOW, TOKENS, Flows, reported
from tracker.core.calendar import date_of, day_of, later
from tracker.core.pseudonym import normalise, pseudonym
from tracker.flows.consent import ReportedConsent
from tracker.model import (
    MAIL_PURPOSES,
    ConsentState,
    Envelope,
    Evidence,
    FutureDate,
    InvalidField,
    LedgerEvent,
    Method,
    Purpose,
    Reason,
    Suppressed,
    UnknownNotice,
)

ANNA = "anna@example.org"
ALL: frozenset[Purpose] = frozenset()
CALLED = NOW - timedelta(hours=2)
OFFER = (
    b"From: jonas@werkstatt-nord.example\r\nTo: anna@example.org\r\nMessage-ID: <1@x>\r\n"
    b'Content-Type: text/html\r\n\r\n<p>Our <a href="https://werkstatt-nord.example/offer">offer</a></p>\r\n'
)


def call(*purposes: Purpose, again: bool | None = True, **more: Any) -> ReportedConsent:
    """A call two hours ago, by the key 'shop'."""
    evidence = Evidence(call_started_at=CALLED, call_seconds=312, call_again=again)
    values = {"method": Method.PHONE, "given_at": CALLED, "evidence": evidence, **more}
    return replace(reported(ANNA, **values), purposes=frozenset(purposes))


END_OF_TIME = datetime(9999, 12, 31, 23, 59, tzinfo=UTC)


def ahead(again: bool | None) -> Evidence:
    """Of a call that is to come."""
    return Evidence(call_started_at=NOW + timedelta(days=1), call_again=again)


def rows(folder: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(folder / "tracker.db")) as plain:
        return plain.execute(query).fetchall()


def calls(folder: Path) -> list[Any]:
    return rows(
        folder, "SELECT rep, started_at, seconds, call_again, tracking_agreed, last_day FROM calls ORDER BY started_at"
    )


async def standing(flows: Flows) -> tuple[set[Purpose], set[Purpose], set[Purpose]]:
    found = (await flows.consents.lookup(ANNA, NOW)).standing
    return set(found.grants), set(found.pending), set(found.suppressed)


async def test_r17_a_call_keeps_start_duration_and_whether_we_may_call_again(flows: Flows, tmp_path: Path) -> None:
    state, until = await flows.consents.report(call(Purpose.PHONE), NOW)
    assert (state, until) == (ConsentState.LIVE, day_of(CALLED) + 730)
    (row,) = calls(tmp_path)
    assert row[:5] == ("shop", CALLED.isoformat(), 312, 1, 0)
    assert date_of(row[5]) == CALLED.date().replace(year=CALLED.year + 5), "five years with a yes"
    assert await standing(flows) == ({Purpose.PHONE}, set(), set())


async def test_r17_the_proof_of_a_yes_is_kept_five_years_from_each_later_call(flows: Flows, tmp_path: Path) -> None:
    await flows.consents.report(call(Purpose.PHONE), NOW)
    then = NOW + timedelta(days=100)
    second = call(again=None, given_at=then, evidence=Evidence(call_started_at=then))
    assert await flows.consents.report(second, then) == (ConsentState.UNCHANGED, None)
    first, use = calls(tmp_path)
    assert date_of(first[5]) == then.date().replace(year=then.year + 5)
    assert use[5] == day_of(then) + 90, "the second call got no answer: kept as long as any other event"
    await flows.consents.report(second, then)
    assert calls(tmp_path) == [first, use]


async def test_r17_a_call_is_gone_the_day_after_its_last_and_not_before(flows: Flows, tmp_path: Path) -> None:
    await flows.consents.report(call(again=None), NOW)
    await flows.consents.report(call(again=True, actor="crm"), NOW)
    for days, left in ((90, 2), (91, 1)):
        await flows.store.sweep(later(day_of(NOW), days), NOW, 1095)
        assert len(calls(tmp_path)) == left
    ((last_day,),) = rows(tmp_path, "SELECT last_day FROM calls")
    await flows.store.sweep(last_day, NOW, 1095)
    assert len(calls(tmp_path)) == 1
    await flows.store.sweep(later(last_day, 1), NOW, 1095)
    assert calls(tmp_path) == []


async def test_a_call_of_long_ago_that_nobody_answered_is_not_kept_at_all(flows: Flows, tmp_path: Path) -> None:
    old = NOW - timedelta(days=91)
    await flows.consents.report(call(again=None, evidence=Evidence(call_started_at=old)), NOW)
    assert calls(tmp_path) == []


async def test_r7_what_a_call_says_about_mail_is_pending_and_apart_from_its_answer_about_calls(
    flows: Flows, tmp_path: Path
) -> None:
    outcome = await flows.consents.report_all(call(Purpose.OPEN, Purpose.PHONE), NOW)
    assert outcome.mail is not None
    assert outcome.phone is not None
    assert (outcome.mail[0], outcome.phone[0]) == (ConsentState.PENDING, ConsentState.LIVE)
    assert await standing(flows) == ({Purpose.PHONE}, {Purpose.OPEN}, set())
    assert calls(tmp_path)[0][4] == 1, "tracking was agreed to"
    entries = (await flows.consents.lookup(ANNA, NOW)).history
    assert [(entry.event, entry.purposes) for entry in entries] == [
        (LedgerEvent.GIVEN, frozenset({Purpose.PHONE})),
        (LedgerEvent.REQUESTED, frozenset({Purpose.OPEN})),
    ]


async def test_r18_a_yes_to_calls_tracks_nothing(flows: Flows) -> None:
    await flows.consents.report(call(Purpose.PHONE), NOW)
    answer = await flows.sender.rewrite(Envelope(ANNA, "shop"), OFFER, NOW)
    assert (answer.message, answer.reason) == (OFFER, Reason.NO_GRANT)


async def test_r18_an_opt_in_by_mail_is_no_yes_to_calls(flows: Flows) -> None:
    await flows.grant(ANNA)
    assert (await standing(flows))[0] == MAIL_PURPOSES
    with pytest.raises(InvalidField, match="phone"):
        await flows.consents.report(reported(ANNA, Purpose.OPEN, Purpose.PHONE), NOW)
    with pytest.raises(InvalidField, match="phone"):
        await flows.consents.report(reported(ANNA, Purpose.PHONE, method=Method.WRITTEN), NOW)
    said = Evidence(source="form", confirmed_at=NOW, confirmed_by="link", call_started_at=CALLED, call_again=True)
    await flows.consents.report(reported(ANNA, evidence=said), NOW)
    assert (await standing(flows))[0] == MAIL_PURPOSES, "only a call is answered in a call"


async def test_r18_a_no_to_mail_is_none_to_calls_and_the_other_way_round(flows: Flows) -> None:
    await flows.consents.withdraw(ANNA, MAIL_PURPOSES, "shop", NOW)
    assert (await flows.consents.report(call(Purpose.PHONE), NOW))[0] is ConsentState.LIVE
    with pytest.raises(Suppressed, match="the answer about calls was recorded"):
        await flows.consents.report(call(Purpose.OPEN, again=False), NOW)
    assert await standing(flows) == (set(), set(), {Purpose.OPEN, Purpose.CLICK, Purpose.PHONE})
    with pytest.raises(Suppressed):
        await flows.consents.report(call(Purpose.PHONE), NOW)


@pytest.mark.parametrize("method", [Method.PHONE, Method.REP, Method.IMPORTED])
async def test_a_no_to_calls_counts_at_once_whoever_reports_it(flows: Flows, method: Method) -> None:
    await flows.consents.report(call(Purpose.PHONE), NOW)
    said = Evidence(source="CRM", call_again=False)
    outcome = await flows.consents.report_all(reported(ANNA, Purpose.OPEN, method=method, evidence=said), NOW)
    assert outcome.phone == (ConsentState.WITHDRAWN, None)
    assert await standing(flows) == (set(), {Purpose.OPEN}, {Purpose.PHONE})


async def test_a_no_in_a_call_needs_nothing_but_the_call(flows: Flows, tmp_path: Path) -> None:
    answer = await flows.consents.report(call(again=False, notice_version="1999-9"), NOW)
    assert answer == (ConsentState.WITHDRAWN, None)
    assert await standing(flows) == (set(), set(), {Purpose.PHONE})
    (row,) = calls(tmp_path)
    assert (row[3], row[5]) == (0, day_of(CALLED) + 90)
    before = rows(tmp_path, "SELECT count(*) FROM ledger")
    await flows.consents.report(call(again=False), NOW)
    assert rows(tmp_path, "SELECT count(*) FROM ledger") == before, "a second no writes nothing"


async def test_after_a_no_to_calls_a_call_makes_no_grant_and_keeps_no_yes(flows: Flows, tmp_path: Path) -> None:
    await flows.consents.withdraw(ANNA, frozenset({Purpose.PHONE}), "shop", NOW)
    with pytest.raises(Suppressed):
        await flows.consents.report(call(Purpose.PHONE), NOW)
    assert await standing(flows) == (set(), set(), {Purpose.PHONE})
    assert calls(tmp_path) == []


async def test_the_same_call_again_writes_nothing(flows: Flows, tmp_path: Path) -> None:
    await flows.consents.report(call(Purpose.PHONE, Purpose.OPEN), NOW)
    before = (tmp_path / "tracker.db-wal").read_bytes()
    assert (await flows.consents.report_all(call(Purpose.PHONE, Purpose.OPEN), NOW)).phone is not None
    assert (tmp_path / "tracker.db-wal").read_bytes() == before


async def test_a_call_that_is_corrected_stays_one_call(flows: Flows, tmp_path: Path) -> None:
    await flows.consents.report(call(again=None), NOW)
    await flows.consents.report(call(again=True), NOW)
    (row,) = calls(tmp_path)
    assert row[3] == 1


async def test_a_no_to_everything_ends_a_yes_to_calls_and_invents_no_answer_about_them(flows: Flows) -> None:
    await flows.consents.withdraw(ANNA, ALL, "shop", NOW)
    assert await standing(flows) == (set(), set(), set(MAIL_PURPOSES))
    await flows.consents.report(call(Purpose.PHONE), NOW)
    await flows.consents.withdraw(ANNA, ALL, "shop", NOW)
    assert await standing(flows) == (set(), set(), {*MAIL_PURPOSES, Purpose.PHONE})


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (call(Purpose.PHONE, evidence=Evidence(call_again=True)), InvalidField),
        (call(Purpose.PHONE, again=None), InvalidField),
        (call(method=Method.REP), InvalidField),
        (call(evidence=Evidence(source="CRM")), InvalidField),
        (call(Purpose.PHONE, notice_version="1999-9"), UnknownNotice),
        (call(Purpose.PHONE, given_at=NOW + timedelta(days=1)), FutureDate),
        (call(Purpose.PHONE, evidence=ahead(again=True)), FutureDate),
        (call(again=None, evidence=ahead(again=None)), FutureDate),
        (call(again=None, evidence=Evidence(call_started_at=END_OF_TIME)), FutureDate),
    ],
)
async def test_a_call_that_is_not_in_order_changes_nothing(
    flows: Flows, tmp_path: Path, wrong: ReportedConsent, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await flows.consents.report(wrong, NOW)
    for table in ("recipients", "ledger", "calls", "grants", "external_ids"):
        assert rows(tmp_path, f"SELECT count(*) FROM {table}") == [(0,)]


async def test_a_call_that_is_to_come_prolongs_no_yes(flows: Flows, tmp_path: Path) -> None:
    """Promise 8: it would be kept for as long as its date says, and the yes with it."""
    await flows.consents.report(call(Purpose.PHONE), NOW)
    before = calls(tmp_path)
    with pytest.raises(FutureDate):
        await flows.consents.report(call(again=None, evidence=Evidence(call_started_at=END_OF_TIME)), NOW)
    assert calls(tmp_path) == before


@pytest.mark.parametrize("started_at", [NOW + timedelta(days=1), END_OF_TIME])
async def test_a_no_in_a_call_that_is_to_come_counts_and_the_call_is_not_kept(
    flows: Flows, tmp_path: Path, started_at: datetime
) -> None:
    """A no counts at once, whatever else the report says."""
    no = call(again=False, evidence=Evidence(call_started_at=started_at, call_again=False))
    assert (await flows.consents.report(no, NOW))[0] is ConsentState.WITHDRAWN
    assert await standing(flows) == (set(), set(), {Purpose.PHONE})
    assert calls(tmp_path) == []
    assert not (await flows.store.overdue(day_of(NOW + timedelta(days=1_500))))["calls"]


async def test_nothing_of_a_call_names_the_person(flows: Flows, tmp_path: Path) -> None:
    await flows.consents.report(call(Purpose.PHONE), NOW)
    assert ANNA.encode() not in (tmp_path / "tracker.db-wal").read_bytes()
    known = pseudonym(TOKENS.ring.pseudonym_keys, normalise(ANNA))
    assert rows(tmp_path, "SELECT pseudonym FROM recipients") == [(known,)]
