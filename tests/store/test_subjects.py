"""Everything that is held about a person is shown, and erasing leaves the refusals and the proof alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.store.world import (
    ANNA,
    BERT,
    NOW,
    OFFER,
    PROOF,
    RETENTION,
    TODAY,
    World,
    at,
    clicked,
    copy,
    on,
    opened,
)
from tracker.core.held import Held
from tracker.model import MAIL_PURPOSES, Agent, DeliveryId, Language, LedgerEvent, MessageKey, Pseudonym, Purpose

PERSONAL = ("deliveries", "tracked", "events", "external_ids", "pending", "calls", "mailings", "grants")


def fill(world: World) -> None:
    """Give Anna a call, a mail of our own and a pending report, as other parts write them."""
    with world.connected() as plain:
        (anna,) = plain.execute("SELECT id FROM recipients WHERE pseudonym = ?", [ANNA]).fetchone()
        started = "2026-11-20T10:00:00+00:00"
        plain.execute("INSERT INTO calls VALUES (?, 'jonas', ?, 90, 1, 0, ?)", [anna, started, on(20)])
        plain.execute("INSERT INTO mailings VALUES (?, 'confirm', ?, 1, 'crm', ?)", [anna, TODAY, on(180)])
        plain.execute("INSERT INTO pending VALUES (?, 'p', 1, 'phone', ?)", [anna, on(30)])


async def full(world: World) -> None:
    """Anna with something of every kind, and Bert beside her with the same message."""
    sent = await world.send(reference="crm-17")
    for event in (opened(sent), clicked(sent), opened(sent, agent=Agent.MACHINE)):
        assert await world.store.record(event, TODAY)
    fill(world)
    other = await world.send(BERT)
    assert await world.store.record(opened(other), TODAY)


async def erase(world: World, day: int = 0) -> bool:
    async with world.store.subjects() as book:
        proof = on(day + PROOF)
        return await book.erase(
            ANNA, now=at(day), actor="recipient", language=Language.DE,
            content_last_day=proof, suppression_last_day=proof, tell_until=on(day + 30),
        )  # fmt: skip


async def test_r47_everything_that_is_held_is_shown_with_its_last_day(world: World) -> None:
    """R47: standing, messages, events, references, calls, mails of our own, and the history."""
    await full(world)
    held = await world.store.held(ANNA, TODAY)
    assert set(held.standing.grants) == MAIL_PURPOSES
    assert set(held.standing.pending) == {Purpose.PHONE}
    assert [(one.label, one.measured, one.last_day) for one in held.deliveries] == [
        ("Offer", MAIL_PURPOSES, on(RETENTION))
    ]
    assert {(one.purpose, one.agent, one.host, one.path) for one in held.events} == {
        (Purpose.OPEN, Agent.HUMAN, None, None),
        (Purpose.OPEN, Agent.MACHINE, None, None),
        (Purpose.CLICK, Agent.HUMAN, "shop.example.com", "/a"),
    }
    assert {one.last_day for one in held.events} == {on(RETENTION)}
    assert [(one.source, one.reference) for one in held.references] == [("crm", "crm-17")]
    assert [(one.rep, one.seconds, one.call_again, one.tracking_agreed) for one in held.calls] == [
        ("jonas", 90, True, False)
    ]
    assert [(one.kind, one.day, one.count) for one in held.mailings] == [("confirm", TODAY, 1)]
    assert [one.event for one in held.history] == [LedgerEvent.GIVEN]
    assert not held.is_only_lawful_rest


async def test_nothing_past_its_day_is_shown_and_nobody_unknown(world: World) -> None:
    await full(world)
    late = await world.store.held(ANNA, on(RETENTION + 1))
    assert (late.deliveries, late.events, late.calls, late.standing.pending) == ((), (), (), {})
    assert await world.store.held(ANNA, on(PROOF + 731)) == Held()
    assert await world.store.held(nobody(), TODAY) == Held()


def nobody() -> Pseudonym:
    return Pseudonym(b"?" * 32)


async def test_r51_erasing_keeps_only_the_refusals_and_the_proof(world: World) -> None:
    """R51: and of another person who got the same message, everything."""
    await full(world)
    assert await erase(world)
    held = await world.store.held(ANNA, TODAY)
    assert held.is_only_lawful_rest
    assert held.standing.suppressed == dict.fromkeys([*MAIL_PURPOSES, Purpose.PHONE], on(PROOF))
    assert [one.event for one in held.history] == [LedgerEvent.GIVEN, LedgerEvent.ERASED]
    anna = world.rows("SELECT id FROM recipients WHERE pseudonym = ?", ANNA)[0][0]
    for table in PERSONAL:
        if table != "events":
            assert not world.rows(f"SELECT * FROM {table} WHERE recipient = ?", anna), table
    assert world.rows("SELECT source, reference, last_day FROM erased_ids") == [("crm", "crm-17", on(30))]
    assert world.count("events") == 1
    assert world.count("deliveries") == 1
    bert = await world.store.held(BERT, TODAY)
    assert len(bert.events) == len(bert.deliveries) == 1
    assert await world.store.broken_entry(TODAY) is None


async def test_the_label_of_a_message_that_went_to_nobody_else_goes_along(world: World) -> None:
    await full(world)
    alone = copy(delivery=DeliveryId(b"2" * 16), message=MessageKey(b"?" * 16), label="For Anna")
    assert await world.store.register(alone, TODAY)
    assert await erase(world)
    assert world.rows("SELECT id FROM messages") == [(OFFER,)]
    assert world.rows("SELECT DISTINCT message FROM links") == [(OFFER,)]


async def test_erasing_again_writes_nothing(world: World) -> None:
    await full(world)
    assert await erase(world)
    before = world.rows("SELECT * FROM suppressions"), world.count("ledger")
    assert not await erase(world, day=5)
    assert (world.rows("SELECT * FROM suppressions"), world.count("ledger")) == before


async def test_of_somebody_never_heard_of_nothing_is_written(world: World) -> None:
    """What a stranger asks to have erased must not put them on file."""
    assert not await erase(world)
    for table in ("recipients", "suppressions", "ledger"):
        assert not world.count(table)


async def test_of_somebody_who_only_got_our_own_mail_just_that_goes(world: World) -> None:
    await world.send()
    with world.connected() as plain:
        plain.execute("INSERT INTO recipients VALUES (7, ?)", [BERT])
        plain.execute("INSERT INTO mailings VALUES (7, 'mailbox', ?, 1, NULL, ?)", [TODAY, on(180)])
    async with world.store.subjects() as book:
        assert not await book.erase(
            BERT,
            now=NOW,
            actor="recipient",
            language=None,
            content_last_day=on(PROOF),
            suppression_last_day=on(PROOF),
            tell_until=on(30),
        )
    assert not world.count("mailings")
    assert not world.count("suppressions")


@pytest.mark.parametrize("said", [frozenset({Purpose.OPEN}), MAIL_PURPOSES])
async def test_what_a_withdrawal_left_is_erased_too(world: World, said: frozenset[Purpose]) -> None:
    await full(world)
    await world.withdraw(purposes=said)
    assert len((await world.store.held(ANNA, TODAY)).deliveries) == 1
    assert await erase(world)
    assert (await world.store.held(ANNA, TODAY)).is_only_lawful_rest
    assert not await erase(world)


async def test_after_erasing_nothing_can_be_recorded_any_more(world: World) -> None:
    """R10, R44: an old pixel finds nothing to hang on."""
    sent = await world.send()
    assert await erase(world)
    assert not await world.store.record(opened(sent), TODAY)
    assert await world.store.register(replace(sent, delivery=DeliveryId(b"3" * 16)), TODAY) == frozenset()


async def test_the_day_of_the_last_vacuum_is_remembered(world: World) -> None:
    assert await world.store.vacuum_day() is None
    await world.store.note_vacuum(TODAY)
    await world.store.note_vacuum(on(1))
    assert await world.store.vacuum_day() == on(1)
