"""One person's proof: an ISO/IEC TS 27560-shaped record of what they agreed to, refused and withdrew, signed."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.flows.conftest import NOW, RING, TOKENS, Flows, counted_bytes, reported
from tests.flows.test_send import ANNA
from tracker.core.calendar import date_of, day_of, later
from tracker.core.consent import ConsentPolicy
from tracker.core.disclosure import Disclosure, Periods, Wording
from tracker.core.ledger import notice_hash
from tracker.core.pseudonym import normalise, pseudonym
from tracker.core.receipt import ReceiptKey, is_about, verify
from tracker.flows.proof import Proofs
from tracker.flows.subject import Request, Subjects
from tracker.model import InvalidAddress, Language, Method, Purpose
from tracker.store.proofs import read_proof

TOLD = Disclosure(
    controller="Werkstatt Nord GmbH",
    contact="privacy@werkstatt-nord.example",
    public_url="https://t.example.com",
    language=Language.DE,
    periods=Periods(90, 730, 30, 1095, 35),
    controller_address="Hafenstra\u00dfe 1, Kiel",
    data_protection_officer="Dr. Vera Klug",
    supervisory_authority="ULD, Kiel",
    purposes=Wording(((None, "Damit wir wissen, was ankommt."),)),
    data_recipients=Wording(((Language.DE, "Vertrieb"), (Language.EN, "Sales"))),
    hosting=Wording(((None, "Kiel"),)),
    transfers=Wording(((None, "none"),)),
)


async def receipt_of(flows: Flows, *, address: str = ANNA, told: Disclosure = TOLD, now: Any = NOW) -> Any:
    envelope = await Proofs(flows.store, lambda: TOKENS, counted_bytes(), told).receipt(address, now)
    arrived = json.loads(json.dumps(envelope))
    return verify(arrived, ReceiptKey(RING).public)


async def test_every_mandatory_field_of_the_standard_is_there(flows: Flows) -> None:
    """R15: the record has the fields of ISO/IEC TS 27560; header, processing, parties and events."""
    await flows.grant(ANNA)
    receipt = await receipt_of(flows)
    for name in ("schema_version", "record_id", "pii_principal_id", "receipt_id"):
        assert receipt[name]
    processing = receipt["processing"]
    for name in (
        "privacy_notice", "purpose", "pii_information", "pii_controllers", "storage_locations", "retention_period",
        "jurisdiction", "recipients", "withdrawal_method", "lawful_basis", "privacy_rights", "authority",
    ):  # fmt: skip
        assert processing[name], name
    for party in receipt["parties"]:
        assert all(party[name] for name in ("id", "name", "address", "contact", "type", "role"))
    (event,) = receipt["events"]
    for name in ("event_time", "validity_duration", "entity_id", "event_type", "event_state", "channel", "record_hash"):
        assert event[name], name


async def test_it_says_what_was_agreed_to_and_to_which_words(flows: Flows) -> None:
    await flows.grant(ANNA, Purpose.OPEN)
    receipt = await receipt_of(flows)
    (event,) = receipt["events"]
    given = NOW - timedelta(days=2)
    ends = date_of(later(day_of(given), 730))
    assert (event["event_state"], event["purpose"], event["channel"]) == ("given", ["open"], "web-form")
    assert (event["valid_until"], event["validity_duration"]) == (str(ends), "P730D")
    assert event["evidence"]["source"] == "form"
    (notice,) = receipt["processing"]["privacy_notice"]
    assert (notice["version"], notice["language"], notice["text"]) == ("2026-1", "de", "text")
    assert event["notice_sha256"] == notice["sha256"] == notice_hash(notice["text"])
    states = {purpose["purpose"]: (purpose["state"], purpose["until"]) for purpose in receipt["processing"]["purpose"]}
    assert states == {"open": ("given", str(ends)), "click": ("none", None), "phone": ("none", None)}


async def test_past_states_are_kept(flows: Flows) -> None:
    await flows.consents.report(reported(ANNA, method=Method.REP), NOW)
    await flows.grant(ANNA)
    again = NOW + timedelta(days=30)
    await flows.grant(ANNA, now=again, given_at=again)
    await flows.consents.withdraw(ANNA, frozenset({Purpose.OPEN}), "cli", again)
    receipt = await receipt_of(flows, now=again)
    states = [(event["event_state"], event["purpose"]) for event in receipt["events"]]
    both = ["click", "open"]
    assert states == [("requested", both), ("given", both), ("renewed", both), ("withdrawn", ["open"])]
    chain = [(event["prev_hash"], event["record_hash"]) for event in receipt["events"]]
    assert [previous for previous, _ in chain[1:]] == [digest for _, digest in chain[:-1]]
    assert receipt["record_id"] == chain[-1][1]
    present = {purpose["purpose"]: purpose["state"] for purpose in receipt["processing"]["purpose"]}
    assert present == {"open": "refused or withdrawn", "click": "given", "phone": "none"}


async def test_an_erasure_is_a_withdrawal_to_the_standard_or_a_refusal_of_who_agreed_to_nothing(flows: Flows) -> None:
    await flows.grant(ANNA, Purpose.OPEN)
    subjects = Subjects(flows.store, lambda: TOKENS, ConsentPolicy(), flows.in_step)
    assert await subjects.erase(ANNA, Request("cli"), NOW)
    receipt = await receipt_of(flows)
    states = [(event["event_state"], event["entity_id"]) for event in receipt["events"]]
    assert states == [("given", "pii_principal"), ("withdrawn", "pii_principal")]
    bert = "bert@example.org"
    await flows.consents.report(reported(bert, method=Method.REP), NOW)
    assert await subjects.erase(bert, Request("cli"), NOW)
    receipt = await receipt_of(flows, address=bert)
    assert [event["event_state"] for event in receipt["events"]] == ["requested", "refused"]


async def test_it_names_its_subject_by_address_or_by_pseudonym_and_shows_neither(flows: Flows) -> None:
    await flows.grant(ANNA)
    proofs = Proofs(flows.store, lambda: TOKENS, counted_bytes(), TOLD)
    name = pseudonym(RING.pseudonym_keys, normalise(ANNA))
    key = ReceiptKey(RING)
    for envelope in (await proofs.receipt(ANNA, NOW), await proofs.receipt(name, NOW)):
        receipt = verify(envelope, proofs.public_key())
        assert key.is_about(receipt, normalise(ANNA))
        text = json.dumps(envelope).lower()
        assert "anna" not in text
        assert name.hex() not in text
    first, second = (
        verify(await proofs.receipt(ANNA, NOW), key.public),
        verify(await proofs.receipt(name, NOW), key.public),
    )
    assert is_about(first, normalise(ANNA))
    assert is_about(second, normalise(ANNA)) is None
    assert first["pii_principal_id"] != second["pii_principal_id"]


async def test_of_somebody_unknown_it_says_nothing_and_leaves_nothing(flows: Flows) -> None:
    receipt = await receipt_of(flows)
    assert (receipt["events"], receipt["record_id"], receipt["processing"]["privacy_notice"]) == ([], None, [])
    assert {purpose["state"] for purpose in receipt["processing"]["purpose"]} == {"none"}
    async with flows.store._database.read() as connection:
        assert not (await read_proof(connection, pseudonym(RING.pseudonym_keys, ANNA), day_of(NOW))).history


async def test_what_is_past_its_day_is_not_in_it(flows: Flows) -> None:
    await flows.grant(ANNA)
    await flows.consents.withdraw(ANNA, frozenset(), "cli", NOW)
    assert len((await receipt_of(flows, now=NOW + timedelta(days=1095)))["events"]) == 2
    assert not (await receipt_of(flows, now=NOW + timedelta(days=1096)))["events"]


async def test_a_controller_who_told_little_of_itself_still_owes_a_receipt(flows: Flows) -> None:
    await flows.grant(ANNA)
    bare = Disclosure("Shop", "privacy@shop.example", "https://t.example.com", Language.EN, TOLD.periods)
    receipt = await receipt_of(flows, told=bare)
    assert receipt["processing"]["storage_locations"] == []
    assert [party["id"] for party in receipt["parties"]] == ["controller"]
    none = replace(TOLD, data_protection_officer="None")
    assert [party["id"] for party in (await receipt_of(flows, told=none))["parties"]] == ["controller"]


async def test_what_is_no_address_is_refused(flows: Flows) -> None:
    with pytest.raises(InvalidAddress):
        await Proofs(flows.store, lambda: TOKENS, counted_bytes(), TOLD).receipt("anna", NOW)
