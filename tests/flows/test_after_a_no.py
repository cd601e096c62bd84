"""What somebody tries after a no or an erasure: nothing of it undoes the no, and nothing that went comes back."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.flows.asking_world import ANNA, World, world_on
from tests.flows.conftest import NOW, RING, TOKENS, Flows, locked, reported
from tracker.core.calendar import day_of
from tracker.core.consent import ConsentPolicy
from tracker.core.periods import SIX_MONTHS
from tracker.core.pseudonym import pseudonym
from tracker.flows.bulk import Bulk
from tracker.flows.consent import Consents, ReportedConsent
from tracker.flows.subject import Request, Subjects
from tracker.model import (
    MAIL_PURPOSES,
    ConsentState,
    Evidence,
    Language,
    Method,
    NeedsOwnMail,
    Purpose,
    Suppressed,
    TrackerError,
)

PERSON = pseudonym(RING.pseudonym_keys, ANNA)
ERASED = ("calls", "external_ids", "pending", "grants", "deliveries", "mailings")


@pytest.fixture
async def world(flows: Flows) -> AsyncIterator[World]:
    async with world_on(flows) as world:
        yield world


def subjects(flows: Flows) -> Subjects:
    return Subjects(flows.store, lambda: TOKENS, ConsentPolicy(), flows.in_step)


def counts(folder: Path, *tables: str) -> dict[str, int]:
    with closing(sqlite3.connect(folder / "tracker.db")) as plain:
        return {table: plain.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}


def call(*purposes: Purpose, again: bool | None, **more: Any) -> ReportedConsent:
    """A call of yesterday, as a CRM posts it every night."""
    called = NOW - timedelta(days=1)
    evidence = Evidence(call_started_at=called, call_seconds=312, call_again=again)
    values = {"method": Method.PHONE, "given_at": called, "evidence": evidence, "reference": "crm-17", **more}
    return replace(reported(ANNA, **values), purposes=frozenset(purposes))


# --- erased after nothing but a sender's question, or long after everything ended --------------------


async def test_an_erasure_after_an_invitation_is_a_no_to_it(world: World) -> None:
    token = await world.invited()
    assert await subjects(world.flows).erase(ANNA, Request("office"), NOW)
    assert (await world.standing()).suppressed.keys() == MAIL_PURPOSES
    with pytest.raises(NeedsOwnMail):
        await world.answers.yes(token, MAIL_PURPOSES, Language.DE, NOW)
    with pytest.raises(Suppressed):
        await world.invited(now=NOW + timedelta(days=1))
    assert not await subjects(world.flows).erase(ANNA, Request("office"), NOW), "the second time writes nothing"


async def test_an_erasure_long_after_a_grant_ended_is_a_no(flows: Flows) -> None:
    """The proof alone is left then; who is erased is not to be granted again by whoever has the address."""
    await flows.grant(ANNA)
    later = NOW + timedelta(days=800)
    await flows.store.sweep(day_of(later), later, 1095)
    assert await subjects(flows).forget(PERSON, Language.DE, later)
    with pytest.raises(Suppressed):
        await flows.consents.report(
            reported(ANNA, given_at=later, evidence=Evidence(source="x", confirmed_at=later, confirmed_by="x")), later
        )
    assert not await subjects(flows).forget(PERSON, Language.DE, later)


# --- calls that are posted again ------------------------------------------------------------------


@pytest.mark.parametrize(
    "posted",
    [
        call(Purpose.PHONE, again=True),
        call(Purpose.OPEN, again=True),
        call(Purpose.OPEN, again=None),
        call(again=None),
        call(again=False),
        call(Purpose.OPEN, again=False),
    ],
    ids=["yes", "yes, about mail", "unanswered, about mail", "unanswered", "no", "no, about mail"],
)
@pytest.mark.parametrize("together", [False, True], ids=["alone", "in bulk"])
async def test_r51_a_call_that_is_posted_again_after_an_erasure_brings_nothing_back(
    flows: Flows, tmp_path: Path, posted: ReportedConsent, together: bool
) -> None:
    """R51: neither the call nor the sender's reference, whatever the call said."""
    await flows.consents.report_all(posted, NOW)
    assert await subjects(flows).forget(PERSON, Language.DE, NOW)
    nothing = dict.fromkeys(ERASED, 0)
    assert counts(tmp_path, *ERASED) == nothing
    night = NOW + timedelta(hours=12)
    if together:
        await Bulk(flows.store, flows.consents, ConsentPolicy(), flows.in_step).record([posted], night)
    else:
        try:
            await flows.consents.report_all(posted, night)
        except TrackerError as error:
            assert isinstance(error, Suppressed)  # noqa: PT017 - some are told so, others have nothing to tell
    assert counts(tmp_path, *ERASED) == nothing


# --- a restore that lost the no ---------------------------------------------------------------------


async def test_after_a_restore_that_lost_nos_an_invitation_from_before_needs_the_persons_own_mail(
    world: World,
) -> None:
    """Nobody knows any more who said no behind the link, or otherwise, since it was made."""
    token = await world.invited()
    restored = NOW + timedelta(days=1)
    async with world.flows.store.restoring() as book:
        await book.vouched(restored)
    with pytest.raises(NeedsOwnMail):
        await world.answers.yes(token, MAIL_PURPOSES, Language.DE, restored)
    await world.answers.yes(await world.asked(now=restored), MAIL_PURPOSES, Language.DE, restored)
    bert = await world.invited("bert@example.org", now=restored + timedelta(hours=1))
    await world.answers.yes(bert, MAIL_PURPOSES, Language.DE, restored + timedelta(hours=1))


# --- how long a no holds ----------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["the session", "an erasure", "a call"])
async def test_r12_a_no_holds_six_months_at_least_however_soon_proofs_go(flows: Flows, by: str) -> None:
    """R12: also where `proof_days` is less."""
    policy = ConsentPolicy(proof_days=30)
    asked = Subjects(flows.store, lambda: TOKENS, policy, flows.in_step)
    await flows.grant(ANNA)
    purpose = Purpose.OPEN
    if by == "the session":
        await asked.withdraw(PERSON, MAIL_PURPOSES, Language.DE, NOW)
    elif by == "an erasure":
        await asked.forget(PERSON, Language.DE, NOW)
    else:
        purpose = Purpose.PHONE
        await Consents(flows.store, lambda: TOKENS, policy, flows.in_step).report(call(again=False), NOW)
    standing = await flows.store.standing(PERSON, day_of(NOW))
    assert standing.suppressed[purpose] == day_of(NOW) + SIX_MONTHS


async def test_r12_an_attempt_to_grant_again_prolongs_a_no_by_six_months_at_least(flows: Flows) -> None:
    policy = ConsentPolicy(proof_days=30)
    consents = Consents(flows.store, lambda: TOKENS, policy, flows.in_step)
    await consents.withdraw(ANNA, MAIL_PURPOSES, "shop", NOW)
    again = NOW + timedelta(days=100)
    with pytest.raises(Suppressed):
        await consents.report(reported(ANNA), again)
    many = Bulk(flows.store, consents, policy, flows.in_step)
    await many.record([reported(ANNA)], again + timedelta(days=1))
    await many.note_attempts([reported(ANNA)], again + timedelta(days=2))
    standing = await flows.store.standing(PERSON, day_of(again))
    assert standing.suppressed[Purpose.OPEN] == day_of(again) + 2 + SIX_MONTHS


# --- while the store is away ------------------------------------------------------------------------


async def test_a_no_to_calls_is_not_lost_behind_a_no_to_everything(flows: Flows, tmp_path: Path) -> None:
    """A no to everything says nothing about calls where there is no yes to them, so it does not stand for both."""
    with locked(tmp_path):
        assert await flows.consents.withdraw(ANNA, frozenset(), "shop", NOW)
        assert await flows.consents.withdraw(ANNA, frozenset({Purpose.PHONE}), "shop", NOW + timedelta(seconds=1))
    await flows.in_step.keep(NOW + timedelta(seconds=2))
    assert (await flows.store.standing(PERSON, day_of(NOW))).suppressed.keys() == {*MAIL_PURPOSES, Purpose.PHONE}


async def test_after_a_restore_that_lost_nos_an_old_call_makes_no_yes_to_calls(flows: Flows) -> None:
    """A sync that tells of the call again must not undo a no to calls that is lost; a call after it counts."""
    old, restored = call(Purpose.PHONE, again=True), NOW + timedelta(hours=1)
    async with flows.store.restoring() as book:
        await book.vouched(restored)
    assert (await flows.consents.report(old, restored))[0] is ConsentState.PENDING
    later = restored + timedelta(days=1)
    asked = call(Purpose.PHONE, again=True, given_at=later, evidence=Evidence(call_started_at=later, call_again=True))
    assert (await flows.consents.report(asked, later))[0] is ConsentState.LIVE
    assert not (await flows.store.standing(PERSON, day_of(later))).pending
