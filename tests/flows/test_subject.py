"""See, withdraw, take along, be erased: by the person, or for them after a letter, with a line in the audit trail."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from tests.flows.conftest import NOW, RING, TOKENS, Flows, hit, locked, reported
from tests.flows.replies import OFFER
from tracker.core.calendar import day_of
from tracker.core.consent import ConsentPolicy
from tracker.core.periods import AUDIT_DAYS
from tracker.core.pseudonym import pseudonym
from tracker.flows.subject import Request, Subjects
from tracker.model import (
    MAIL_PURPOSES,
    AddressInValue,
    Envelope,
    InvalidAddress,
    InvalidField,
    Language,
    NotRecorded,
    Purpose,
    Suppressed,
    TrackerError,
)

ANNA = "anna@example.org"
PERSON = pseudonym(RING.pseudonym_keys, ANNA)
CLI = Request("cli", "DSB 2026/14")


def subjects(flows: Flows) -> Subjects:
    return Subjects(flows.store, lambda: TOKENS, ConsentPolicy(), flows.in_step)


def trail(folder: Path) -> list[tuple[str, str, str | None, int]]:
    with closing(sqlite3.connect(folder / "tracker.db")) as plain:
        return plain.execute("SELECT actor, action, case_number, last_day FROM audit ORDER BY id").fetchall()


async def test_r54_each_look_at_a_person_leaves_a_line_without_content(flows: Flows, tmp_path: Path) -> None:
    """R54: who, what, when and in which matter; not of whom."""
    await flows.grant(ANNA)
    asked = subjects(flows)
    assert set((await asked.show(ANNA, CLI, NOW)).standing.grants) == MAIL_PURPOSES
    export = await asked.export(ANNA, Request("office"), NOW)
    assert [(one.version, one.language, one.text) for one in export.notices] == [("2026-1", Language.DE, "text")]
    assert await asked.erase(ANNA, CLI, NOW)
    assert not await asked.erase("Anna@Example.ORG", CLI, NOW)
    ends = day_of(NOW) + 365
    assert trail(tmp_path) == [
        ("cli", "subject show", "DSB 2026/14", ends),
        ("office", "subject export", None, ends),
        ("cli", "subject erase", "DSB 2026/14", ends),
        ("cli", "subject erase", "DSB 2026/14", ends),
    ]


@pytest.mark.parametrize(
    ("case", "error"),
    [
        ("from anna@example.org", AddressInValue),
        ("gro.elpmaxe@anna", AddressInValue),
        ("616e6e61406578616d706c652e6f7267", AddressInValue),
        ("", InvalidField),
        ("x" * 65, InvalidField),
        ("a\nb", InvalidField),
    ],
)
async def test_a_case_number_hides_no_address(
    flows: Flows, tmp_path: Path, case: str, error: type[TrackerError]
) -> None:
    await flows.grant(ANNA)
    for ask in (subjects(flows).show, subjects(flows).export, subjects(flows).erase):
        with pytest.raises(error):
            await ask(ANNA, Request("cli", case), NOW)
    assert not trail(tmp_path)
    assert (await flows.consents.lookup(ANNA, NOW)).standing.grants


async def test_what_is_no_address_changes_nothing(flows: Flows, tmp_path: Path) -> None:
    with pytest.raises(InvalidAddress):
        await subjects(flows).erase("anna", CLI, NOW)
    assert not trail(tmp_path)


async def test_r51_a_sync_after_an_erasure_brings_nobody_back(flows: Flows) -> None:
    """R51: the same consent posted again, also an older or newer one, is refused."""
    await flows.grant(ANNA)
    await subjects(flows).forget(PERSON, Language.DE, NOW)
    for days in (0, 1, 400, 1094):
        with pytest.raises(Suppressed):
            await flows.consents.report(reported(ANNA, given_at=NOW), NOW + timedelta(days=days))


@pytest.mark.usefixtures("patient")
async def test_r44_withdrawing_one_purpose_takes_its_events_and_leaves_the_other(flows: Flows) -> None:
    """R9, R44: one step, at once."""
    await flows.grant(ANNA)
    sent = await flows.sender.rewrite(Envelope(ANNA, "shop", single=True), OFFER, NOW)
    text = sent.message.decode()
    await flows.hits.opened(re.findall(r"/o/(.+?)\.gif", text)[0], hit())
    token, part, host = re.findall(r"/c/(.+?)/(.+?)/(.+?)/", text)[0]
    assert await flows.hits.clicked(token, part, host, hit())
    asked = subjects(flows)
    assert {event.purpose for event in (await asked.held(PERSON, NOW)).events} == MAIL_PURPOSES
    assert await asked.withdraw(PERSON, frozenset({Purpose.OPEN}), Language.FR, NOW)
    assert not await asked.withdraw(PERSON, frozenset({Purpose.OPEN}), Language.FR, NOW)
    held = await asked.held(PERSON, NOW)
    assert set(held.standing.grants) == {Purpose.CLICK}
    assert set(held.standing.suppressed) == {Purpose.OPEN}
    assert {event.purpose for event in held.events} == {Purpose.CLICK}
    assert held.history[-1].language is Language.FR


async def test_without_store_and_journal_nothing_is_promised(flows: Flows, tmp_path: Path) -> None:
    await flows.grant(ANNA)
    (tmp_path / "journal").rename(tmp_path / "away")
    with locked(tmp_path):
        with pytest.raises(NotRecorded):
            await subjects(flows).withdraw(PERSON, MAIL_PURPOSES, Language.DE, NOW)
        with pytest.raises(NotRecorded):
            await subjects(flows).forget(PERSON, Language.DE, NOW)
    assert set((await subjects(flows).held(PERSON, NOW)).standing.grants) == MAIL_PURPOSES


async def test_an_erasure_while_the_store_is_away_is_made_up_for(flows: Flows, tmp_path: Path) -> None:
    await flows.grant(ANNA, reference="crm-17")
    with locked(tmp_path):
        assert await subjects(flows).forget(PERSON, Language.DE, NOW)
    assert flows.in_step.trouble
    await flows.in_step.look(NOW)
    assert not flows.in_step.trouble
    held = await subjects(flows).held(PERSON, NOW)
    assert held.is_only_lawful_rest
    assert set(held.standing.suppressed) == MAIL_PURPOSES


async def test_r54_an_erasure_that_waited_for_the_store_leaves_its_line_too(flows: Flows, tmp_path: Path) -> None:
    """R54: the case number is not in the journal, but who did what and when is."""
    await flows.grant(ANNA)
    with locked(tmp_path):
        assert await subjects(flows).erase(ANNA, CLI, NOW)
    for _ in range(2):
        await flows.in_step.look(NOW)
    assert trail(tmp_path) == [("cli", "subject erase", None, day_of(NOW) + AUDIT_DAYS)]


async def test_r45_an_erasure_outlives_a_database_that_went_back(flows: Flows, tmp_path: Path) -> None:
    """R45: yesterday's copy brings back nothing of who was erased since, and nobody who is unknown to it."""
    await flows.grant(ANNA, reference="crm-17")
    await flows.in_step.look(NOW)
    with closing(sqlite3.connect(tmp_path / "tracker.db")) as now, closing(sqlite3.connect(tmp_path / "old")) as old:
        now.backup(old)
    await subjects(flows).forget(PERSON, Language.DE, NOW)
    await flows.grant("bert@example.org")
    await subjects(flows).forget(pseudonym(RING.pseudonym_keys, "bert@example.org"), Language.DE, NOW)
    await flows.in_step.look(NOW)
    with closing(sqlite3.connect(tmp_path / "old")) as old, closing(sqlite3.connect(tmp_path / "tracker.db")) as now:
        old.backup(now)
    await flows.in_step.look(NOW + timedelta(minutes=2))
    assert not flows.in_step.trouble
    for person in (PERSON, pseudonym(RING.pseudonym_keys, "bert@example.org")):
        held = await subjects(flows).held(person, NOW)
        assert held.is_only_lawful_rest
        assert set(held.standing.suppressed) == MAIL_PURPOSES


async def test_r52_of_a_stranger_nothing_is_known(flows: Flows) -> None:
    """R52: nothing is guessed for somebody whom no row names."""
    taken = await subjects(flows).take_along(PERSON, NOW)
    assert taken.held.is_only_lawful_rest
    assert not taken.notices
