"""Every way to say no, from the stop link to a line of a list: how long it holds, and that no crash loses it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.flows.asking_world import World, world_on
from tests.flows.conftest import NOW, RING, TOKENS, Flows, counted_bytes, locked, reported
from tracker.core.calendar import day_of
from tracker.core.consent import ConsentPolicy
from tracker.core.periods import SIX_MONTHS
from tracker.core.pseudonym import pseudonym
from tracker.flows.bulk import Bulk, NotAll
from tracker.flows.consent import Consents, ReportedConsent
from tracker.flows.in_step import WAITS, InStep
from tracker.flows.subject import Request, Subjects
from tracker.model import MAIL_PURPOSES, Day, Evidence, Language, Method, No, Purpose, StoreUnavailable
from tracker.store.journal import Journal
from tracker.store.sqlite import SqliteDatabase
from tracker.store.store import Store

ANNA = "anna@example.org"
PERSON = pseudonym(RING.pseudonym_keys, ANNA)
ALL: frozenset[Purpose] = frozenset()
PHONE = frozenset({Purpose.PHONE})
SHORT = ConsentPolicy(proof_days=7)
"""Proof that goes sooner than a no may."""
THEN = NOW + timedelta(hours=1)


@dataclass
class People:
    """All flows in which somebody can say no, under one policy."""

    flows: Flows
    world: World
    consents: Consents
    bulk: Bulk
    subjects: Subjects


@pytest.fixture
async def people(flows: Flows) -> AsyncIterator[People]:
    consents = Consents(flows.store, lambda: TOKENS, SHORT, flows.in_step)
    async with world_on(flows, SHORT) as world:
        yield People(
            flows,
            world,
            consents,
            Bulk(flows.store, consents, SHORT, flows.in_step),
            Subjects(flows.store, lambda: TOKENS, SHORT, flows.in_step),
        )


def no_to_calls(address: str = ANNA) -> ReportedConsent:
    """What a rep reports who was told not to call again."""
    said = Evidence(call_started_at=NOW, call_again=False)
    return reported(address, Purpose.PHONE, method=Method.PHONE, given_at=NOW, evidence=said)


async def by_telephone(people: People) -> None:
    await people.consents.withdraw(ANNA, MAIL_PURPOSES, "cli", THEN)


async def by_the_stop_link(people: People) -> None:
    token = TOKENS.seal_stop(PERSON, Language.DE, b"n" * 12, "A").decode()
    await people.consents.withdraw_by_link(token, MAIL_PURPOSES, THEN)


async def by_the_ask_link(people: People) -> None:
    await people.world.answers.no(await people.world.asked(), THEN)


async def in_the_session(people: People) -> None:
    await people.subjects.withdraw(PERSON, MAIL_PURPOSES, Language.DE, THEN)


async def by_erasure(people: People) -> None:
    await people.subjects.forget(PERSON, Language.DE, THEN)


async def by_a_letter(people: People) -> None:
    await people.subjects.erase(ANNA, Request("cli"), THEN)


async def in_a_report(people: People) -> None:
    await people.consents.report(no_to_calls(), THEN)


async def in_a_batch(people: People) -> None:
    await people.bulk.record([reported("bert@example.org"), no_to_calls()], THEN)


async def in_a_list_as_a_whole(people: People) -> None:
    await people.bulk.record_all([[reported("bert@example.org")], [no_to_calls()]], THEN)


Way = Callable[[People], Awaitable[None]]
TO_MAIL: tuple[Way, ...] = (
    by_telephone, by_the_stop_link, by_the_ask_link, in_the_session, by_erasure, by_a_letter,
)  # fmt: skip
TO_CALLS: tuple[Way, ...] = (in_a_report, in_a_batch, in_a_list_as_a_whole)
WAYS = [(way, MAIL_PURPOSES) for way in TO_MAIL] + [(way, PHONE) for way in TO_CALLS]
every_no = pytest.mark.parametrize(("way", "purposes"), WAYS, ids=[way.__name__ for way, _ in WAYS])


async def suppressed(people: People) -> dict[Purpose, int]:
    standing = await people.flows.store.standing(PERSON, day_of(THEN))
    assert not standing.grants.keys() & standing.suppressed.keys()
    return dict(standing.suppressed)


@every_no
async def test_r12_a_no_holds_for_six_months_at_least(people: People, way: Way, purposes: frozenset[Purpose]) -> None:
    """R12: however somebody says no, and however soon the proof of it goes."""
    await people.flows.grant(ANNA)
    await way(people)
    found = await suppressed(people)
    assert {purpose: found[purpose] for purpose in purposes} == dict.fromkeys(purposes, day_of(THEN) + SIX_MONTHS)


async def test_r12_being_asked_again_prolongs_a_no_by_the_same_rule(people: People) -> None:
    await by_telephone(people)
    later = THEN + timedelta(days=100)
    await people.bulk.record([reported(ANNA)], later)
    assert set((await suppressed(people)).values()) == {day_of(later) + SIX_MONTHS}
    later += timedelta(days=1)
    await people.bulk.note_attempts([reported(ANNA)], later)
    assert set((await suppressed(people)).values()) == {day_of(later) + SIX_MONTHS}


@pytest.mark.parametrize("way", [by_telephone, by_the_stop_link, by_erasure])
async def test_r12_a_no_that_is_replayed_holds_as_long(people: People, tmp_path: Path, way: Way) -> None:
    await people.flows.grant(ANNA)
    with locked(tmp_path):
        await way(people)
    journal = Journal(tmp_path / "journal", RING.journal_key)
    other = InStep(people.flows.store, journal, lambda: TOKENS, counted_bytes(), proof_days=7, backup_days=35)
    await other.look(THEN)
    assert not other.trouble
    assert await suppressed(people) == dict.fromkeys(MAIL_PURPOSES, day_of(THEN) + SIX_MONTHS)


# --- before the commit ---


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def killing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ends the process after the journal's fsync, before the transaction commits."""
    noted: list[No] = []
    note, write = Journal.note_nos, SqliteDatabase.write

    async def noting(journal: Journal, nos: Sequence[No], generation: int, now: datetime) -> None:
        await note(journal, nos, generation, now)
        noted.extend(nos)

    @asynccontextmanager
    async def writing(
        database: SqliteDatabase, sweep_day: Day | None = None, *, alone: bool = True
    ) -> AsyncIterator[AsyncConnection]:
        async with write(database, sweep_day, alone=alone) as connection:
            yield connection
            if noted:
                noted.clear()
                raise Killed

    monkeypatch.setattr(Journal, "note_nos", noting)
    monkeypatch.setattr(SqliteDatabase, "write", writing)


@every_no
@pytest.mark.usefixtures("killing")
async def test_r45_every_no_is_in_the_journal_before_its_transaction_commits(
    people: People, tmp_path: Path, way: Way, purposes: frozenset[Purpose]
) -> None:
    """R45: a process that ends in between loses nothing; the next one replays it before anything is tracked."""
    await people.flows.grant(ANNA, reference="77")
    with pytest.raises(Killed):
        await way(people)
    assert not await suppressed(people), "the database knows nothing of it"
    url = f"sqlite+aiosqlite:///{tmp_path / 'tracker.db'}"
    store = await Store.open(url, ledger_key=RING.ledger_key, fingerprint=RING.fingerprint)
    journal = Journal(tmp_path / "journal", RING.journal_key)
    again = InStep(store, journal, lambda: TOKENS, counted_bytes(), proof_days=7, backup_days=35)
    await again.start(THEN)
    await store.close()
    assert not again.trouble
    assert (await suppressed(people)).keys() == purposes


async def test_the_nos_of_a_chunk_share_one_fsync(
    people: People, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    real = os.fsync

    def fsync(file: int) -> None:
        synced.append(file)
        real(file)

    monkeypatch.setattr("tracker.store.journal_files.os.fsync", fsync)
    await people.bulk.record([no_to_calls(f"p{number}@example.org") for number in range(100)], THEN)
    assert len(synced) == 1
    journal = Journal(tmp_path / "journal", RING.journal_key)
    await journal.load()
    assert journal.number == 100
    assert len({noted.no.pseudonym for noted in journal.waiting}) == 100


async def test_what_is_not_written_is_not_noted_either(people: People, tmp_path: Path) -> None:
    before = (tmp_path / "journal" / "2026-11.journal").read_bytes()
    await people.bulk.record([no_to_calls()], THEN, rehearsal=True)
    with pytest.raises(NotAll):
        await people.bulk.record_all([[no_to_calls()], [reported("nobody")]], THEN)
    with locked(tmp_path), pytest.raises(StoreUnavailable):
        await people.consents.report(no_to_calls(), THEN)
    assert (tmp_path / "journal" / "2026-11.journal").read_bytes() == before
    await in_a_report(people)
    await in_a_batch(people)
    assert before.count(b"\n") + 1 == (tmp_path / "journal" / "2026-11.journal").read_bytes().count(b"\n"), "once"


async def test_a_report_that_fails_after_its_no_was_noted_counts_before_anything_is_tracked(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    await people.flows.grant(ANNA, Purpose.OPEN)
    write = SqliteDatabase.write

    @asynccontextmanager
    async def failing(
        database: SqliteDatabase, sweep_day: Day | None = None, *, alone: bool = True
    ) -> AsyncIterator[AsyncConnection]:
        async with write(database, sweep_day, alone=alone) as connection:
            yield connection
            raise StoreUnavailable("the disk is full")

    monkeypatch.setattr(SqliteDatabase, "write", failing)
    with pytest.raises(StoreUnavailable):
        await people.consents.report(no_to_calls(), THEN)
    monkeypatch.setattr(SqliteDatabase, "write", write)
    assert people.flows.in_step.trouble == WAITS
    with pytest.raises(StoreUnavailable):
        await people.flows.store.grants_of(PERSON, day_of(THEN))
    await people.flows.in_step.keep(THEN)
    assert not people.flows.in_step.trouble
    assert set(await suppressed(people)) == PHONE
    assert await people.flows.store.grants_of(PERSON, day_of(THEN)) == {Purpose.OPEN}
