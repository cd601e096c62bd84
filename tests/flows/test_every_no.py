"""Every way to say no, from the stop link to a line of a list: how long it holds, and that no crash loses it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from tests.flows.asking_world import World, world_on
from tests.flows.conftest import NOW, RING, TOKENS, Flows, counted_bytes, locked, reported
from tracker.core.calendar import day_of
from tracker.core.consent import SIX_MONTHS, ConsentPolicy
from tracker.core.pseudonym import pseudonym
from tracker.flows.bulk import Bulk
from tracker.flows.consent import Consents, ReportedConsent
from tracker.flows.in_step import InStep
from tracker.flows.subject import Request, Subjects
from tracker.model import MAIL_PURPOSES, Evidence, Language, Method, Purpose
from tracker.store.journal import Journal

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
            Bulk(flows.store, consents, SHORT),
            Subjects(flows.store, lambda: TOKENS, SHORT, flows.in_step),
        )


def no_to_calls() -> ReportedConsent:
    """What a rep reports who was told not to call again."""
    said = Evidence(call_started_at=NOW, call_again=False)
    return reported(ANNA, Purpose.PHONE, method=Method.PHONE, given_at=NOW, evidence=said)


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
