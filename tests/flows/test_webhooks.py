"""Another system is told of events and of withdrawals: at least once, in random order, and never too early."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.flows.conftest import NOW, RING, TOKENS, Flows, kept_in_step, locked, reported
from tests.fresh import new_database
from tracker.core.calendar import day_of, hour_of
from tracker.core.consent import ConsentPolicy
from tracker.core.pseudonym import normalise, pseudonym
from tracker.flows.consent import Consents
from tracker.flows.subject import Request, Subjects
from tracker.flows.webhooks import END, EVENT, LEASE, TOGETHER, Receiver, Webhooks
from tracker.model import (
    NO_LINK,
    Agent,
    DeliveryId,
    Event,
    Language,
    Link,
    LinkNumber,
    MessageKey,
    Notice,
    Owner,
    Purpose,
    Registration,
    StoreUnavailable,
    WebhookNotSent,
)
from tracker.store.store import Store

ANNA, BERT = "anna@example.org", "bert@example.org"
TURNED = NOW + timedelta(hours=1)
LINKS = tuple(Link(LinkNumber(2**46 + number), "shop.example.com", f"/{number}") for number in range(40))


@dataclass
class Other:
    """The system that is told; while it is `away` it takes nothing."""

    away: bool = False
    refuses: set[str] = field(default_factory=set)
    """References about which it takes nothing."""
    asked: int = 0
    taken: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    async def post(self, body: bytes, headers: Mapping[str, str]) -> None:
        self.asked += 1
        told = json.loads(body)
        if self.away or self.refuses & set(told["data"]["references"]):
            raise WebhookNotSent("503")
        self.taken.append((headers["webhook-id"], told))

    @property
    def types(self) -> list[str]:
        return [told["type"] for _, told in self.taken]

    @property
    def paths(self) -> list[str]:
        return [told["data"]["link"]["path"] for _, told in self.taken]


@dataclass
class Telling:
    """A store whose events are told to `other`."""

    store: Store
    consents: Consents
    subjects: Subjects
    other: Other
    webhooks: Webhooks
    folder: Path

    async def copy(self, address: str, reference: str, notice: str = "covered") -> Registration:
        """A copy of a mail that ADDRESS agreed to have measured."""
        await self.consents.report(reported(address, notice_version=notice, reference=reference), NOW)
        person = pseudonym(RING.pseudonym_keys, normalise(address))
        sent = Registration(
            recipient=person,
            delivery=DeliveryId(person[:16]),
            last_day=day_of(NOW + timedelta(days=90)),
            sent_hour=hour_of(NOW),
            message=MessageKey(b"m" * 16),
            owner=Owner(b"o" * 16),
            label="Offer",
            links=LINKS,
            purposes=frozenset({Purpose.OPEN, Purpose.CLICK}),
            source="shop",
            reference=reference,
        )
        assert await self.store.register(sent, day_of(NOW))
        return sent

    async def opened(self, sent: Registration, at: datetime = NOW) -> None:
        event = Event(sent.last_day, sent.delivery, Purpose.OPEN, NO_LINK, hour_of(at), Agent.HUMAN)
        assert await self.store.record(event, day_of(at))

    async def clicked(self, sent: Registration, count: int) -> None:
        for link in LINKS[:count]:
            event = Event(sent.last_day, sent.delivery, Purpose.CLICK, link.number, hour_of(NOW), Agent.HUMAN)
            assert await self.store.record(event, day_of(NOW))

    def told_by(self, seed: int) -> Webhooks:
        """What another process, or the same one after its start, sends with."""
        return Webhooks(self.store, Receiver("shop", b"k" * 32), self.other.post, random.Random(seed))


@pytest.fixture
async def telling(tmp_path: Path) -> AsyncIterator[Telling]:
    notices = [
        Notice("2026-1", Language.DE, "text"),
        Notice("covered", Language.DE, "text", frozenset({"webhook"})),
        Notice("watched", Language.DE, "text", frozenset({"webhook", "live"})),
    ]
    url = await new_database(tmp_path, RING.fingerprint, notices)
    store = await Store.open(
        url, ledger_key=RING.ledger_key, fingerprint=RING.fingerprint, busy_seconds=0.2, told_to="shop"
    )
    in_step = await kept_in_step(store, tmp_path / "journal")
    other = Other()
    policy = ConsentPolicy()
    made = Telling(
        store=store,
        consents=Consents(store, lambda: TOKENS, policy, in_step),
        subjects=Subjects(store, lambda: TOKENS, policy, in_step),
        other=other,
        webhooks=Webhooks(store, Receiver("shop", b"k" * 32), other.post, random.Random(1)),
        folder=tmp_path,
    )
    await made.webhooks.send(NOW)
    yield made
    await store.close()


async def test_nothing_is_told_before_its_hour_has_turned(telling: Telling) -> None:
    await telling.opened(await telling.copy(ANNA, "A"))
    await telling.webhooks.send(NOW + timedelta(minutes=59))
    assert not telling.other.types
    await telling.webhooks.send(TURNED)
    assert telling.other.types == ["message.opened"]
    await telling.webhooks.send(TURNED + timedelta(days=1))
    assert telling.other.types == ["message.opened"], "once"


async def test_where_the_notice_lets_somebody_watch_it_is_told_at_once(telling: Telling) -> None:
    await telling.opened(await telling.copy(ANNA, "A", "watched"))
    await telling.webhooks.send(NOW)
    assert telling.other.types == ["message.opened"]
    assert telling.other.taken[0][1]["timestamp"] == "2026-11-23T12:00:00Z", "no more precise than what is stored"


async def test_what_the_notice_does_not_cover_is_never_told(telling: Telling) -> None:
    await telling.opened(await telling.copy(ANNA, "A", "2026-1"))
    await telling.webhooks.send(TURNED)
    assert not telling.other.asked


async def test_those_of_an_hour_come_in_random_order(telling: Telling) -> None:
    await telling.clicked(await telling.copy(ANNA, "A"), TOGETHER)
    await telling.webhooks.send(TURNED)
    happened = [link.path for link in LINKS[:TOGETHER]]
    assert sorted(telling.other.paths) == sorted(happened)
    assert telling.other.paths != happened
    assert telling.other.paths != sorted(happened)


async def test_many_are_told_a_few_at_a_time(telling: Telling) -> None:
    await telling.clicked(await telling.copy(ANNA, "A"), len(LINKS))
    for sent in (TOGETHER, 2 * TOGETHER, 2 * TOGETHER):
        await telling.webhooks.send(TURNED)
        assert len(set(telling.other.paths)) == telling.other.asked == sent


async def test_what_was_not_taken_is_told_again_under_the_same_identifier(telling: Telling) -> None:
    await telling.opened(await telling.copy(ANNA, "A"))
    telling.other.away = True
    for minutes in range(24 * 60):
        with suppress(WebhookNotSent):
            await telling.webhooks.send(TURNED + timedelta(minutes=minutes))
    assert 8 <= telling.other.asked <= 20, "less and less often"
    telling.other.away = False
    for hours in range(7):
        await telling.webhooks.send(TURNED + timedelta(days=1, hours=hours))
    assert telling.other.types == ["message.opened"]


async def test_one_that_is_never_taken_holds_up_no_other(telling: Telling) -> None:
    telling.other.refuses = {"A"}
    await telling.opened(await telling.copy(ANNA, "A"))
    await telling.opened(await telling.copy(BERT, "B"))
    await telling.webhooks.send(TURNED)
    assert [told["data"]["references"] for _, told in telling.other.taken] == [["B"]]


async def test_what_its_sender_died_over_is_told_again(telling: Telling) -> None:
    await telling.opened(await telling.copy(ANNA, "A"))
    await telling.store.take_webhooks("shop", TURNED, TURNED + LEASE, TOGETHER)  # and then the process is killed
    await telling.told_by(2).send(TURNED)
    assert not telling.other.asked
    await telling.told_by(2).send(TURNED + LEASE)
    assert telling.other.types == ["message.opened"]


async def test_a_withdrawal_takes_along_what_waits_and_is_told_itself(telling: Telling) -> None:
    await telling.opened(await telling.copy(ANNA, "A"))
    await telling.consents.withdraw(ANNA, frozenset({Purpose.OPEN}), "recipient", NOW)
    await telling.webhooks.send(TURNED)
    assert telling.other.types == ["consent.withdrawn"]
    assert telling.other.taken[0][1]["data"] == {"references": ["A"], "purposes": ["open"]}


async def test_an_erasure_is_told_and_nothing_of_before(telling: Telling) -> None:
    await telling.opened(await telling.copy(ANNA, "A"))
    await telling.subjects.erase(ANNA, Request("officer", "1"), NOW)
    await telling.webhooks.send(TURNED)
    assert telling.other.types == ["consent.erased"]
    assert telling.other.taken[0][1]["data"]["references"] == ["A"]


async def test_after_the_end_of_a_consent_no_event_of_before_is_told(telling: Telling) -> None:
    await telling.opened(await telling.copy(ANNA, "A", "watched"))
    telling.other.away = True
    with pytest.raises(WebhookNotSent):
        await telling.webhooks.send(NOW)
    telling.other.away = False
    await telling.consents.withdraw(ANNA, frozenset(), "recipient", NOW)
    for hours in range(1, 24):
        await telling.webhooks.send(NOW + timedelta(hours=hours))
    assert telling.other.types == ["consent.withdrawn"]


async def test_ends_of_consents_are_told_again_until_they_are_taken_also_by_another_process(telling: Telling) -> None:
    await telling.copy(ANNA, "A")
    await telling.copy(BERT, "B")
    telling.other.refuses = {"A"}
    for address in (ANNA, BERT):
        await telling.consents.withdraw(address, frozenset(), "recipient", NOW)
    await telling.webhooks.send(NOW)
    assert [told["data"]["references"] for _, told in telling.other.taken] == [["B"]], "and is not held up"
    telling.other.refuses.clear()
    await telling.told_by(2).send(NOW)
    await telling.told_by(3).send(NOW)
    assert [told["data"]["references"] for _, told in telling.other.taken] == [["B"], ["A"], ["B"]]
    identifiers = [identifier for identifier, _ in telling.other.taken]
    assert identifiers[0] == identifiers[2] != identifiers[1]


async def test_what_ended_before_webhooks_were_set_up_is_not_told(flows: Flows) -> None:
    await flows.consents.report(reported(ANNA, reference="A"), NOW)
    await flows.consents.withdraw(ANNA, frozenset(), "recipient", NOW)
    other = Other()
    webhooks = Webhooks(flows.store, Receiver("shop", b"k" * 32), other.post, random.Random(1))
    for _ in range(3):
        await webhooks.send(NOW)
    assert not other.asked


async def test_who_is_away_is_asked_less_and_less_often(telling: Telling) -> None:
    telling.other.away = True
    await telling.clicked(await telling.copy(ANNA, "A"), len(LINKS))
    with pytest.raises(WebhookNotSent):
        await telling.webhooks.send(TURNED)
    await telling.webhooks.send(TURNED + timedelta(seconds=1))
    assert telling.other.asked == TOGETHER, "nor are others tried meanwhile"


async def test_nothing_is_told_while_a_no_waits_to_be_replayed(telling: Telling) -> None:
    await telling.opened(await telling.copy(ANNA, "A"))
    telling.store.hold()
    await telling.webhooks.send(TURNED)
    assert not telling.other.asked


async def test_every_try_is_counted_with_what_became_of_it(telling: Telling) -> None:
    counted: list[tuple[str, bool]] = []
    webhooks = Webhooks(
        telling.store,
        Receiver("shop", b"k" * 32),
        telling.other.post,
        random.Random(1),
        lambda kind, taken: counted.append((kind, taken)),
    )
    await telling.opened(await telling.copy(ANNA, "A"))
    await telling.copy(BERT, "B")
    telling.other.refuses = {"A"}
    await telling.consents.withdraw(BERT, frozenset(), "recipient", NOW)
    await webhooks.send(TURNED)
    telling.other.refuses = set()
    await webhooks.send(TURNED + timedelta(minutes=1))
    assert counted == [(EVENT, False), (END, True), (EVENT, True)]


async def test_a_store_that_is_away_loses_nothing(telling: Telling) -> None:
    await telling.opened(await telling.copy(ANNA, "A"))
    with locked(telling.folder), pytest.raises(StoreUnavailable):
        await telling.webhooks.send(TURNED)
    assert not telling.other.asked, "what cannot be noted as taken is not sent"
    await telling.webhooks.send(TURNED)
    assert telling.other.types == ["message.opened"]
