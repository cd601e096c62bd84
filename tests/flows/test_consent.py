"""How consent is reported and withdrawn: what is written, and above all what is not."""

from __future__ import annotations

from base64 import b64encode
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.flows.conftest import NOW, TOKENS, Flows, locked, reported
from tracker.core.pseudonym import normalise, pseudonym
from tracker.model import (
    AddressInValue,
    BadToken,
    ConsentState,
    Evidence,
    InvalidField,
    Language,
    LedgerEvent,
    Method,
    NotRecorded,
    Pseudonym,
    Purpose,
    Suppressed,
    UnknownNotice,
)

ANNA = "anna@example.org"
ALL: frozenset[Purpose] = frozenset()


def person(address: str = ANNA) -> Pseudonym:
    return pseudonym(TOKENS.ring.pseudonym_keys, normalise(address))


def stop_token(address: str = ANNA) -> str:
    return TOKENS.seal_stop(person(address), Language.DE, b"n" * 12, "A").decode()


async def events(flows: Flows, address: str = ANNA) -> list[LedgerEvent]:
    return [entry.event for entry in (await flows.consents.lookup(address, NOW)).history]


async def test_the_same_consent_again_writes_nothing(flows: Flows) -> None:
    assert (await flows.consents.report(reported(ANNA), NOW))[0] is ConsentState.LIVE
    assert (await flows.consents.report(reported(ANNA), NOW))[0] is ConsentState.UNCHANGED
    assert await events(flows) == [LedgerEvent.GIVEN]


async def test_an_address_is_one_person_in_every_spelling(flows: Flows) -> None:
    await flows.consents.report(reported("Anna@EXAMPLE.org"), NOW)
    assert (await flows.consents.report(reported("anna@example.org"), NOW))[0] is ConsentState.UNCHANGED


async def test_withdrawing_twice_writes_once(flows: Flows) -> None:
    await flows.grant(ANNA)
    assert await flows.consents.withdraw(ANNA, ALL, "cli", NOW)
    assert not await flows.consents.withdraw(ANNA, ALL, "cli", NOW)
    assert not await flows.consents.withdraw_by_link(stop_token(), ALL, NOW)
    assert await events(flows) == [LedgerEvent.GIVEN, LedgerEvent.WITHDRAWN]


@pytest.mark.parametrize("days", [-700, -1, 0])
async def test_after_a_withdrawal_no_report_makes_a_grant(flows: Flows, days: int) -> None:
    await flows.grant(ANNA)
    await flows.consents.withdraw_by_link(stop_token(), ALL, NOW)
    with pytest.raises(Suppressed):
        await flows.consents.report(reported(ANNA, given_at=NOW + timedelta(days=days)), NOW)
    assert not (await flows.consents.lookup(ANNA, NOW)).standing.grants


async def test_a_nightly_sync_never_outlives_a_no(flows: Flows) -> None:
    """Each try prolongs the suppression, so that not even day 1,096 brings the person back."""
    await flows.consents.withdraw(ANNA, ALL, "cli", NOW)
    for days in (1_000, 1_095, 1_096, 2_190):
        later = NOW + timedelta(days=days)
        with pytest.raises(Suppressed):
            await flows.consents.report(reported(ANNA, given_at=later), later)


async def test_a_no_of_somebody_never_seen_counts(flows: Flows) -> None:
    assert await flows.consents.withdraw(ANNA, ALL, "cli", NOW)
    assert await events(flows) == [LedgerEvent.REFUSED]
    with pytest.raises(Suppressed):
        await flows.consents.report(reported(ANNA), NOW)


async def test_one_purpose_can_be_withdrawn_alone(flows: Flows) -> None:
    await flows.grant(ANNA)
    await flows.consents.withdraw_by_link(stop_token(), frozenset({Purpose.CLICK}), NOW)
    standing = (await flows.consents.lookup(ANNA, NOW)).standing
    assert set(standing.grants) == {Purpose.OPEN}
    assert set(standing.suppressed) == {Purpose.CLICK}
    with pytest.raises(Suppressed):
        await flows.consents.report(reported(ANNA), NOW)


async def test_a_withdrawal_ends_what_was_pending(flows: Flows) -> None:
    state, until = await flows.consents.report(reported(ANNA, method=Method.REP), NOW)
    assert state is ConsentState.PENDING
    assert until is not None
    await flows.consents.withdraw(ANNA, ALL, "cli", NOW)
    assert not (await flows.consents.lookup(ANNA, NOW)).standing.pending


async def test_when_store_and_journal_are_away_a_withdrawal_is_never_a_false_yes(flows: Flows, tmp_path: Path) -> None:
    token = stop_token()
    (tmp_path / "journal").rename(tmp_path / "elsewhere")
    with locked(tmp_path), pytest.raises(NotRecorded):
        await flows.consents.withdraw_by_link(token, ALL, NOW)


async def test_an_altered_stop_token_withdraws_nobody(flows: Flows) -> None:
    await flows.grant(ANNA)
    token = stop_token()
    for bad in (token[:-1], token + "A", token[:40] + ("A" if token[40] != "A" else "B") + token[41:], ""):
        with pytest.raises(BadToken):
            await flows.consents.withdraw_by_link(bad, ALL, NOW)
    assert set((await flows.consents.lookup(ANNA, NOW)).standing.grants) == {Purpose.OPEN, Purpose.CLICK}


@pytest.mark.parametrize(
    "hidden",
    [
        ANNA,
        quote(ANNA, safe=""),
        b64encode(ANNA.encode()).decode(),
        ANNA.replace("@", "="),
        ANNA[::-1],
        sha256(ANNA.encode()).hexdigest(),
    ],
)
@pytest.mark.parametrize("field", ["source", "confirmed_by", "document"])
async def test_an_address_in_the_evidence_is_refused(flows: Flows, field: str, hidden: str) -> None:
    evidence = Evidence(**{field: f"form/{hidden}"})  # type: ignore[arg-type]
    with pytest.raises(AddressInValue, match=field):
        await flows.consents.report(reported(ANNA, evidence=evidence), NOW)
    assert await events(flows) == []


async def test_a_reference_that_names_the_person_is_refused(flows: Flows) -> None:
    for reference in (ANNA.replace("@", "_at_"), sha256(ANNA.encode()).hexdigest()):
        with pytest.raises(AddressInValue, match="reference"):
            await flows.consents.report(reported(ANNA, reference=reference), NOW)
    assert await events(flows) == []


async def test_an_unknown_notice_is_refused(flows: Flows) -> None:
    with pytest.raises(UnknownNotice):
        await flows.consents.report(reported(ANNA, notice_version="1999-9"), NOW)
    assert await events(flows) == []


async def test_the_page_is_the_trackers_own(flows: Flows) -> None:
    with pytest.raises(InvalidField):
        await flows.consents.report(reported(ANNA, method=Method.PAGE), NOW)
