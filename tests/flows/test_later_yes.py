"""A replayed no ends what was allowed before it, and not what the person allowed later behind a link of ours (R45)."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from tests.flows.asking_world import World, world_on
from tests.flows.conftest import NOW, RING, TOKENS, Flows, locked, reported
from tracker.core.calendar import day_of
from tracker.core.consent import ConsentPolicy
from tracker.core.pseudonym import pseudonym
from tracker.flows.subject import Subjects
from tracker.model import MAIL_PURPOSES, Envelope, Language, LedgerEvent, Purpose

ANNA = "anna@example.org"
PERSON = pseudonym(RING.pseudonym_keys, ANNA)
ALL: frozenset[Purpose] = frozenset()
OPEN, CLICK = frozenset({Purpose.OPEN}), frozenset({Purpose.CLICK})
NO = NOW + timedelta(hours=1)
YES = NOW + timedelta(hours=2)
AFTER = NOW + timedelta(hours=3)


@pytest.fixture
async def world(flows: Flows) -> AsyncIterator[World]:
    async with world_on(flows) as world:
        yield world


async def said_no_while_the_store_was_away(world: World, folder: Path, *, erased: bool = False) -> None:
    """The no stands in the journal alone."""
    flows = world.flows
    await flows.in_step.keep(NOW + timedelta(minutes=2))
    with locked(folder):
        if erased:
            subjects = Subjects(flows.store, lambda: TOKENS, ConsentPolicy(), flows.in_step)
            assert await subjects.forget(PERSON, Language.DE, NO)
        else:
            assert await flows.consents.withdraw(ANNA, ALL, "cli", NO)


async def test_a_later_yes_behind_our_own_link_outlives_an_older_no_that_is_replayed(
    world: World, tmp_path: Path
) -> None:
    await world.flows.grant(ANNA)
    await said_no_while_the_store_was_away(world, tmp_path)
    await world.answers.yes(await world.asked(purposes=OPEN, now=YES), OPEN, Language.DE, YES)
    await world.flows.in_step.keep(AFTER)
    assert not world.flows.in_step.trouble
    granted, _, refused = await world.stands()
    assert granted == OPEN, "what they agreed to themselves, after they had said no"
    assert refused == CLICK, "and nothing else: the no counts for all the rest"


@pytest.mark.parametrize("how", ["earlier", "by a sender", "on a sender's link"])
async def test_no_other_yes_outlives_it(world: World, tmp_path: Path, how: str) -> None:
    """An earlier yes of their own, a sync that came between, and a link that a sender mailed."""
    if how == "earlier":
        await world.answers.yes(await world.asked(), MAIL_PURPOSES, Language.DE, NOW)
    await said_no_while_the_store_was_away(world, tmp_path)
    if how == "by a sender":
        await world.flows.consents.report(reported(ANNA, given_at=YES), YES)
    if how == "on a sender's link":
        await world.answers.yes(await world.invited(now=YES), MAIL_PURPOSES, Language.DE, YES)
    assert (await world.stands())[0] == MAIL_PURPOSES
    await world.flows.in_step.keep(AFTER)
    assert await world.stands() == (ALL, ALL, MAIL_PURPOSES)


async def test_a_sender_who_renews_it_makes_the_later_yes_no_weaker(world: World, tmp_path: Path) -> None:
    await said_no_while_the_store_was_away(world, tmp_path)
    await world.answers.yes(await world.asked(now=YES), MAIL_PURPOSES, Language.DE, YES)
    renewed = AFTER - timedelta(minutes=1)
    await world.flows.grant(ANNA, given_at=renewed, now=renewed)
    await world.flows.in_step.keep(AFTER)
    assert await world.stands() == (MAIL_PURPOSES, ALL, ALL)


async def test_a_database_that_has_both_keeps_the_yes_however_often_the_journal_is_replayed(world: World) -> None:
    await world.flows.grant(ANNA)
    await world.flows.consents.withdraw(ANNA, ALL, "cli", NO)
    await world.answers.yes(await world.asked(now=YES), MAIL_PURPOSES, Language.DE, YES)
    await world.flows.in_step.keep(AFTER)
    journal = world.flows.in_step._journal
    await journal.load()
    assert len(journal.waiting) == 1
    assert await world.flows.in_step.replay(journal) == 0
    assert await world.stands() == (MAIL_PURPOSES, ALL, ALL)


async def test_r45_a_database_that_went_back_behind_both_leaves_the_person_silent(world: World, tmp_path: Path) -> None:
    """R45: the later yes is lost with the database; the replay only ever makes things more private."""
    await world.flows.grant(ANNA)
    await world.flows.in_step.keep(NOW + timedelta(minutes=2))
    database = tmp_path / "tracker.db"
    with closing(sqlite3.connect(database)) as now, closing(sqlite3.connect(tmp_path / "old")) as old:
        now.backup(old)
    await world.flows.consents.withdraw(ANNA, ALL, "cli", NO)
    await world.answers.yes(await world.asked(now=YES), MAIL_PURPOSES, Language.DE, YES)
    await world.flows.in_step.keep(AFTER)
    assert await world.stands() == (MAIL_PURPOSES, ALL, ALL)
    with closing(sqlite3.connect(tmp_path / "old")) as old, closing(sqlite3.connect(database)) as now:
        old.backup(now)
    await world.flows.in_step.keep(AFTER + timedelta(minutes=2))
    assert not world.flows.in_step.trouble
    assert await world.stands() == (ALL, ALL, MAIL_PURPOSES)


async def test_an_erasure_that_is_replayed_takes_what_was_there_before_and_leaves_what_came_after(
    world: World, tmp_path: Path
) -> None:
    """R51: with the mail that went out before it; not with what was agreed to, and sent, since."""
    flows = world.flows
    await flows.grant(ANNA, reference="77")
    mail = b"From: j@werkstatt-nord.example\r\nMessage-ID: <%d@x>\r\nContent-Type: text/html\r\n\r\n<p>Hello</p>\r\n"
    await flows.sender.rewrite(Envelope(ANNA, "shop", single=True), mail % 1, NOW)
    await said_no_while_the_store_was_away(world, tmp_path, erased=True)
    await world.answers.yes(await world.asked(purposes=OPEN, now=YES), OPEN, Language.DE, YES)
    flows.store.hold_while(bool)  # as another server, which has not read this journal
    flows.store.go_on()
    sent = await flows.sender.rewrite(Envelope(ANNA, "shop", single=True), mail % 2, YES)
    assert sent.reason is None
    await flows.in_step.keep(AFTER)
    assert await world.stands() == (OPEN, ALL, CLICK)
    held = await flows.store.held(PERSON, day_of(NOW))
    assert [one.sent for one in held.deliveries] == [int(YES.timestamp()) // 3600]
    assert held.references == ()
    assert [one.event for one in held.history] == [LedgerEvent.GIVEN, LedgerEvent.GIVEN, LedgerEvent.ERASED]
