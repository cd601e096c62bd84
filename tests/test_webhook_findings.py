"""`tracker doctor` says when the system that webhooks go to does not take them, and when what waits grows old."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.doors.dashboard_world import NOW
from tests.flows.conftest import reported
from tests.fresh import new_installation
from tests.receiver import SECRET
from tracker.config import load
from tracker.core.calendar import day_of, hour_of
from tracker.core.pseudonym import normalise, pseudonym
from tracker.model import (
    MAIL_PURPOSES,
    NO_LINK,
    Agent,
    DeliveryId,
    Event,
    Language,
    MessageKey,
    Notice,
    Owner,
    Purpose,
    Registration,
)
from tracker.parts import Parts, built
from tracker.webhook_findings import webhooks_taken

ANNA = "anna@example.org"
TURNED = NOW + timedelta(hours=1)
WEBHOOK = {
    "TRACKER_WEBHOOK_URL": "https://crm.example.com/told",
    "TRACKER_WEBHOOK_SECRET": SECRET,
    "TRACKER_WEBHOOK_SOURCE": "crm",
}


@pytest.fixture
async def config(tmp_path: Path) -> Path:
    return await new_installation(tmp_path, Language.DE, NOW)


@pytest.fixture
async def parts(config: Path) -> AsyncIterator[Parts]:
    """An installation with webhooks, in which Anna agreed that another system is told."""
    async with built(load(config, WEBHOOK), lambda: NOW) as made:
        await made.store.note_consents_told((await made.store.ledger_head())[0])
        await made.store.add_notice(Notice("told", Language.DE, "Dürfen wir?", frozenset({"webhook"})))
        consent = reported(ANNA, notice_version="told", reference="4711", actor="crm")
        await made.consents.report(consent, NOW)
        yield made


async def open_it(parts: Parts) -> Event:
    person = pseudonym(parts.keys().ring.pseudonym_keys, normalise(ANNA))
    sent = Registration(
        recipient=person,
        delivery=DeliveryId(person[:16]),
        last_day=day_of(NOW + timedelta(days=90)),
        sent_hour=hour_of(NOW),
        message=MessageKey(b"m" * 16),
        owner=Owner(b"o" * 16),
        label="Offer",
        links=(),
        purposes=MAIL_PURPOSES,
        source="crm",
        reference="4711",
    )
    assert await parts.store.register(sent, day_of(NOW))
    event = Event(sent.last_day, sent.delivery, Purpose.OPEN, NO_LINK, hour_of(NOW), Agent.HUMAN)
    assert await parts.store.record(event, day_of(NOW))
    return event


async def said(parts: Parts, now: datetime) -> list[str]:
    return [str(finding) for finding in await webhooks_taken(parts.store, parts.settings, now)]


async def test_what_waits_for_its_hour_is_in_order(parts: Parts) -> None:
    assert await said(parts, NOW) == ["ok    the other system takes webhooks"]
    await open_it(parts)
    assert await said(parts, TURNED) == ["ok    the other system takes webhooks"]


async def test_what_was_not_taken_is_noted_and_is_wrong_when_it_grows_old(parts: Parts) -> None:
    event = await open_it(parts)
    await parts.store.take_webhooks("crm", TURNED, TURNED, 20)
    await parts.store.settle_webhooks([], {event: TURNED + timedelta(minutes=1)})
    (noted,) = await said(parts, TURNED)
    assert noted.startswith("note  the other system takes webhooks: 1 event waits to be told")
    assert "the first since 2026-11-23 12:00 UTC; 1 of them were tried, and not taken" in noted
    (wrong,) = await said(parts, TURNED + timedelta(hours=2, seconds=1))
    assert wrong.startswith("WRONG the other system takes webhooks: 1 event waits")
    assert "does webhook_url answer 2xx" in wrong
    await parts.store.settle_webhooks([event], {})
    assert await said(parts, TURNED + timedelta(hours=3)) == ["ok    the other system takes webhooks"]


async def test_a_withdrawal_that_is_not_told_is_wrong(parts: Parts) -> None:
    await parts.consents.withdraw(ANNA, frozenset(), "recipient", NOW)
    assert await said(parts, NOW + timedelta(hours=1)) == ["ok    the other system takes webhooks"]
    (wrong,) = await said(parts, NOW + timedelta(hours=1, seconds=1))
    assert wrong.startswith("WRONG the other system takes webhooks: that a consent ended has been waiting")
    await parts.store.note_consents_told((await parts.store.ledger_head())[0])
    assert await said(parts, NOW + timedelta(days=1)) == ["ok    the other system takes webhooks"]


async def test_what_waits_for_a_system_that_is_no_longer_named_is_noted(parts: Parts, config: Path) -> None:
    await open_it(parts)
    (noted,) = map(str, await webhooks_taken(parts.store, load(config, {}), NOW + timedelta(days=3)))
    assert noted.startswith("note  the other system takes webhooks: 1 event waits for a system that the settings no")


async def test_where_there_are_no_webhooks_nothing_is_said_of_them(parts: Parts, config: Path) -> None:
    assert await webhooks_taken(parts.store, load(config, {}), NOW) == []
