"""Reports in bulk come to what they would have come to one by one, and mail nobody (LAW.md R7, R8, R16)."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.flows.conftest import NOW, RING, TOKENS, Flows, kept_in_step, locked, reported
from tracker.core.calendar import day_of, later
from tracker.core.consent import ConsentPolicy
from tracker.flows.bulk import Bulk, Line, NotAll, Result
from tracker.flows.consent import Consents, ReportedConsent
from tracker.flows.recording import Outcome
from tracker.model import (
    AddressInValue,
    BadJson,
    BadRequest,
    ConsentState,
    Evidence,
    ExistingCustomer,
    InvalidAddress,
    InvalidField,
    Language,
    Method,
    MissingEvidence,
    Notice,
    PurchasedList,
    Purpose,
    StoreUnavailable,
    Suppressed,
    TrackerError,
    UnknownNotice,
)
from tracker.store import bulk as bulk_store
from tracker.store.consents import grant_rows
from tracker.store.store import Store

ALL: frozenset[Purpose] = frozenset()


def bulk(flows: Flows) -> Bulk:
    return Bulk(flows.store, flows.consents, ConsentPolicy(), flows.in_step, tries=2, pause=0)


def people(count: int, **more: Any) -> list[Line]:
    return [reported(f"p{number}@example.org", reference=f"R{number}", **more) for number in range(count)]


def states(results: Sequence[Result]) -> list[object]:
    return [result.answer[0] if isinstance(result, Outcome) else type(result) for result in results]


def rows(folder: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(folder / "tracker.db")) as plain:
        return plain.execute(query).fetchall()


async def test_a_nightly_sync_of_people_who_are_live_writes_nothing(flows: Flows, tmp_path: Path) -> None:
    assert set(states(await bulk(flows).record(people(100), NOW))) == {ConsentState.LIVE}
    before = (tmp_path / "tracker.db-wal").read_bytes(), (tmp_path / "tracker.db").read_bytes()
    assert set(states(await bulk(flows).record(people(100), NOW + timedelta(days=1)))) == {ConsentState.UNCHANGED}
    assert ((tmp_path / "tracker.db-wal").read_bytes(), (tmp_path / "tracker.db").read_bytes()) == before
    assert await flows.store.broken_entry(day_of(NOW)) is None


async def test_r7_a_second_report_of_what_is_pending_writes_nothing_until_it_has_expired(
    flows: Flows, tmp_path: Path
) -> None:
    rep: dict[str, Any] = {"method": Method.REP, "evidence": Evidence(source="CRM")}
    assert set(states(await bulk(flows).record(people(3, **rep), NOW))) == {ConsentState.PENDING}
    before = (tmp_path / "tracker.db-wal").read_bytes()
    assert set(states(await bulk(flows).record(people(3, **rep), NOW + timedelta(days=30)))) == {ConsentState.PENDING}
    assert (tmp_path / "tracker.db-wal").read_bytes() == before
    await flows.store.sweep(later(day_of(NOW), 31), NOW, 1095)
    assert rows(tmp_path, "SELECT count(*) FROM pending") == [(0,)]
    await bulk(flows).record(people(3, **rep), NOW + timedelta(days=31))
    assert rows(tmp_path, "SELECT DISTINCT last_day FROM pending") == [(day_of(NOW) + 61,)]


async def test_one_refused_line_never_fails_its_chunk(flows: Flows, tmp_path: Path) -> None:
    """R16: bought addresses and customers who agreed to nothing are refused, each with its own reason."""
    await flows.consents.withdraw("no@example.org", ALL, "cli", NOW)
    lines: list[Line] = [
        reported("a@example.org"),
        reported("b@example.org", method=Method.PURCHASED),
        reported("c@example.org", method=Method.EXISTING_CUSTOMER),
        reported("no@example.org"),
        reported("nobody"),
        reported("d@example.org", evidence=Evidence(source="d@example.org")),
        reported("e@example.org", evidence=Evidence()),
        reported("f@example.org", notice_version="1999-9"),
        BadJson(),
        reported("z@example.org"),
    ]
    assert states(await bulk(flows).record(lines, NOW)) == [
        ConsentState.LIVE,
        PurchasedList,
        ExistingCustomer,
        Suppressed,
        InvalidAddress,
        AddressInValue,
        MissingEvidence,
        UnknownNotice,
        BadJson,
        ConsentState.LIVE,
    ]
    assert rows(tmp_path, "SELECT count(*) FROM recipients") == [(3,)]


async def test_r8_nothing_in_bulk_asks_for_a_confirmation_by_mail(flows: Flows) -> None:
    (result,) = await bulk(flows).record([reported("a@example.org", method=Method.REP, requested=True)], NOW)
    assert isinstance(result, InvalidField)
    assert "single report only" in result.detail
    assert not (await flows.consents.lookup("a@example.org", NOW)).standing.pending


async def test_a_nightly_sync_never_outlives_a_no_not_even_on_day_1096(flows: Flows) -> None:
    await flows.consents.withdraw("p1@example.org", ALL, "import", NOW)
    for days in (1_000, 1_095, 1_096, 2_190):
        then = NOW + timedelta(days=days)
        fresh = {"given_at": then, "evidence": Evidence(source="s", confirmed_at=then, confirmed_by="link")}
        assert states(await bulk(flows).record(people(3, **fresh), then))[1] is Suppressed
        await flows.store.sweep(day_of(then), then, 1095)


async def test_a_no_in_a_list_counts_at_once(flows: Flows) -> None:
    """A yes to mail and a no to calls in one line of a list: both count, each for itself."""
    said = Evidence(source="CRM", confirmed_at=NOW, confirmed_by="paper", call_again=False)
    lines: list[Line] = [*people(2), reported("p0@example.org", method=Method.IMPORTED, evidence=said), *people(2)]
    results = await bulk(flows).record(lines, NOW)
    assert isinstance(results[2], Outcome)
    assert results[2].phone == (ConsentState.WITHDRAWN, None)
    assert set((await flows.consents.lookup("p0@example.org", NOW)).standing.suppressed) == {Purpose.PHONE}


async def test_of_a_rehearsal_nothing_is_kept(flows: Flows, tmp_path: Path) -> None:
    results = await bulk(flows).record(people(5), NOW, rehearsal=True)
    assert set(states(results)) == {ConsentState.LIVE}
    assert rows(tmp_path, "SELECT count(*) FROM recipients") == [(0,)]
    assert rows(tmp_path, "SELECT count(*) FROM ledger") == [(0,)]


async def test_all_or_nothing_writes_nothing_when_one_is_refused(flows: Flows, tmp_path: Path) -> None:
    with pytest.raises(NotAll):
        await bulk(flows).record_all([people(300), [reported("nobody")]], NOW)
    assert rows(tmp_path, "SELECT count(*) FROM recipients") == [(0,)]
    counts = await bulk(flows).record_all([people(300), people(10)], NOW)
    assert counts == {ConsentState.LIVE: 300, ConsentState.UNCHANGED: 10}


async def test_a_list_that_was_not_taken_was_a_try_all_the_same(flows: Flows) -> None:
    await flows.consents.withdraw("p1@example.org", ALL, "cli", NOW)
    then = NOW + timedelta(days=500)
    await bulk(flows).note_attempts(people(3), then)
    suppressed = (await flows.consents.lookup("p1@example.org", then)).standing.suppressed
    assert set(suppressed.values()) == {day_of(then) + 1095}


async def test_when_the_store_is_away_nothing_of_a_chunk_is_written(flows: Flows, tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(StoreUnavailable):
        await bulk(flows).record(people(3), NOW)
    assert rows(tmp_path, "SELECT count(*) FROM recipients") == [(0,)]


async def test_a_row_that_the_database_refuses_fails_alone(
    flows: Flows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = grant_rows

    def poisoned(report: Any, *rest: Any) -> list[dict[str, Any]]:
        made = real(report, *rest)
        return [{**row, "last_day": "never"} for row in made] if report.reference == "R1" else made

    monkeypatch.setattr(bulk_store, "grant_rows", poisoned)
    assert states(await bulk(flows).record(people(3), NOW)) == [
        ConsentState.LIVE,
        StoreUnavailable,
        ConsentState.LIVE,
    ]
    assert rows(tmp_path, "SELECT count(*) FROM recipients") == [(2,)]
    assert await flows.store.broken_entry(day_of(NOW)) is None


# --- one by one or together ---

PERSON = st.integers(0, 3)
STEP = st.tuples(
    PERSON,
    st.frozensets(st.sampled_from(sorted(Purpose)), max_size=3),
    st.sampled_from([Method.WEB_FORM, Method.REP, Method.PHONE, Method.IMPORTED, Method.PURCHASED]),
    st.integers(-3, 0),
    st.sampled_from([None, True, False]),
    st.sampled_from([None, "A", "B"]),
)
EVERYTHING = {
    "grants": "recipient, purpose, last_day, given_at, notice_version",
    "pending": "recipient, purpose, method, last_day",
    "suppressions": "recipient, purpose, since_day, last_day",
    "external_ids": "recipient, source, reference, last_day",
    "calls": "recipient, rep, started_at, seconds, call_again, tracking_agreed, last_day",
    "ledger_contents": "recipient, event, purposes, last_day, method, actor, evidence",
}


def made(step: tuple[Any, ...]) -> ReportedConsent:
    number, purposes, method, days, again, reference = step
    at = NOW + timedelta(days=days)
    evidence = Evidence(
        source="form",
        confirmed_at=at,
        confirmed_by="link",
        call_started_at=at if method is Method.PHONE else None,
        call_again=again,
    )
    plain = reported(f"p{number}@example.org", method=method, given_at=at, evidence=evidence, reference=reference)
    return replace(plain, purposes=purposes)


@given(st.lists(STEP, max_size=14), st.integers(1, 6))
@settings(max_examples=30)
async def test_any_reports_end_in_the_same_standing_one_by_one_and_in_bulk(
    steps: list[tuple[Any, ...]], size: int
) -> None:
    reports = [made(step) for step in steps]
    single, answers = await outcome_of(reports, 0)
    for chunk in (size, len(reports) or 1):
        together, same = await outcome_of(reports, chunk)
        assert same == answers
        assert together == single


async def outcome_of(reports: list[ReportedConsent], chunk: int) -> tuple[dict[str, list[Any]], list[object]]:
    """All that a fresh store holds after REPORTS, CHUNK at a time (0: each by itself), and what was answered."""
    with TemporaryDirectory() as folder:
        url = f"sqlite+aiosqlite:///{folder}/tracker.db"
        await Store.create(url, fingerprint=RING.fingerprint, notices=[Notice("2026-1", Language.DE, "text")])
        store = await Store.open(url, ledger_key=RING.ledger_key, fingerprint=RING.fingerprint)
        in_step = await kept_in_step(store, Path(folder) / "journal")
        consents = Consents(store, lambda: TOKENS, ConsentPolicy(), in_step)
        answers: list[object] = []
        try:
            if chunk:
                many = Bulk(store, consents, ConsentPolicy(), in_step)
                for begin in range(0, len(reports), chunk):
                    answers += map(told, await many.record(reports[begin : begin + chunk], NOW))
            else:
                for report in reports:
                    answers.append(await alone(consents, report, NOW))
            assert await store.broken_entry(day_of(NOW)) is None
        finally:
            await store.close()
        return contents(Path(folder)), answers


async def alone(consents: Consents, report: ReportedConsent, now: datetime) -> object:
    try:
        return told(await consents.report_all(report, now))
    except BadRequest as error:
        return told(error)


def told(result: Result) -> object:
    return (type(result), result.detail) if isinstance(result, TrackerError) else result


def contents(folder: Path) -> dict[str, list[Any]]:
    names = dict(rows(folder, "SELECT id, pseudonym FROM recipients"))
    found = {
        table: [(names[row[0]], *row[1:]) for row in rows(folder, f"SELECT {columns} FROM {table} ORDER BY rowid")]
        if table == "ledger_contents"
        else sorted((names[row[0]], *map(repr, row[1:])) for row in rows(folder, f"SELECT {columns} FROM {table}"))
        for table, columns in EVERYTHING.items()
    }
    return {**found, "ends": rows(folder, "SELECT ended, entry FROM ledger_ends ORDER BY ended, entry")}
