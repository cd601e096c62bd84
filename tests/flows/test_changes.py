"""A mail system stays in step: all that changed, once, in its own references, and in no other system's."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from datetime import datetime, timedelta

import pytest

from tests.flows.conftest import NOW, RING, TOKENS, Flows, reported
from tracker.core.calendar import day_of, later
from tracker.core.consent import ConsentPolicy
from tracker.core.pseudonym import normalise, pseudonym
from tracker.flows import changes as flow
from tracker.flows.changes import Changes
from tracker.flows.subject import Subjects
from tracker.model import Change, Evidence, InvalidField, Language, LedgerEvent, Method, Purpose
from tracker.store import changes as store

ANNA, BERT = "anna@example.org", "bert@example.org"
ALL: frozenset[Purpose] = frozenset()
OPEN = frozenset({Purpose.OPEN})
BOTH = frozenset({Purpose.OPEN, Purpose.CLICK})


async def told(flows: Flows, cursor: str | None = None, source: str = "shop", now: datetime = NOW) -> list[Change]:
    """All pages from CURSOR on."""
    found: list[Change] = []
    while True:
        page = await Changes(flows.store).since(source, cursor, now)
        found += page.changes
        cursor = page.next
        if not page.more:
            return found


async def now_at(flows: Flows, source: str = "shop") -> str:
    """The cursor of a system that has read everything."""
    cursor, more = None, True
    while more:
        page = await Changes(flows.store).since(source, cursor, NOW)
        cursor, more = page.next, page.more
    assert cursor is not None
    return cursor


async def test_grants_and_withdrawals_are_told_in_order_and_once(flows: Flows) -> None:
    await flows.consents.report(reported(ANNA, reference="A"), NOW)
    await flows.consents.report(reported(BERT, reference="B", method=Method.REP), NOW)
    await flows.consents.withdraw(ANNA, frozenset({Purpose.OPEN}), "recipient", NOW)
    first, second = await told(flows)
    assert (first.reference, first.event, first.purposes, first.at) == ("A", LedgerEvent.GIVEN, BOTH, NOW)
    assert first.until == later(day_of(NOW - timedelta(days=2)), 730), "what is left of it is live until then"
    assert (second.reference, second.event, second.purposes) == ("A", LedgerEvent.WITHDRAWN, OPEN)
    cursor = await now_at(flows)
    assert await told(flows, cursor) == []
    await flows.consents.withdraw(BERT, ALL, "recipient", NOW)
    assert [(change.reference, change.event) for change in await told(flows, cursor)] == [("B", LedgerEvent.REFUSED)]


async def test_each_system_is_told_in_its_own_references_only(flows: Flows) -> None:
    await flows.consents.report(reported(ANNA, reference="A1"), NOW)
    await flows.consents.report(reported(ANNA, reference="A2", actor="crm"), NOW)
    await flows.consents.report(reported(BERT), NOW)
    assert {change.reference for change in await told(flows)} == {"A1"}
    assert {change.reference for change in await told(flows, source="crm")} == {"A2"}
    assert await told(flows, source="newsletter") == []


async def test_the_references_of_a_list_are_those_of_the_key_that_it_names(flows: Flows) -> None:
    await flows.consents.report(reported(ANNA, reference="A", actor="cli", source="crm"), NOW)
    assert [change.reference for change in await told(flows, source="crm")] == ["A"]
    assert await told(flows, source="cli") == []


async def test_somebody_erased_is_told_under_every_reference_for_thirty_days(flows: Flows) -> None:
    """R51: each mail system that gave a reference for the person reads it."""
    for reference in ("A1", "A2"):
        await flows.consents.report(reported(ANNA, reference=reference), NOW)
    await flows.consents.report(reported(BERT, reference="B"), NOW)
    cursor = await now_at(flows)
    person = pseudonym(RING.pseudonym_keys, normalise(ANNA))
    await Subjects(flows.store, lambda: TOKENS, ConsentPolicy(), flows.in_step).forget(person, Language.DE, NOW)
    (entry,) = [one.entry for one in (await flows.consents.lookup(ANNA, NOW)).history if one.event == "erased"]
    erased = [Change(entry, reference, LedgerEvent.ERASED, at=NOW) for reference in ("A1", "A2")]
    assert await told(flows, cursor) == erased
    assert await told(flows, cursor, now=NOW + timedelta(days=30)) == erased
    assert await told(flows, cursor, now=NOW + timedelta(days=31)) == []
    assert [change.reference for change in await told(flows)] == ["B", "A1", "A2"]


async def test_a_reference_that_was_given_after_an_erasure_is_not_told_as_erased(flows: Flows) -> None:
    """The system that gave it anew would delete what it has just been allowed to keep."""
    await flows.consents.report(reported(ANNA), NOW)
    person = pseudonym(RING.pseudonym_keys, normalise(ANNA))
    await Subjects(flows.store, lambda: TOKENS, ConsentPolicy(), flows.in_step).forget(person, Language.DE, NOW)
    async with flows.store.consents() as book:
        await book.remember_reference("shop", "new", pseudonym(TOKENS.ring.pseudonym_keys, ANNA), later(day_of(NOW), 9))
    assert [(change.reference, change.event, change.purposes) for change in await told(flows)] == [
        ("new", LedgerEvent.GIVEN, BOTH),
        ("new", LedgerEvent.WITHDRAWN, BOTH),
    ]


async def test_a_reference_past_its_day_tells_nothing(flows: Flows) -> None:
    await flows.consents.report(reported(ANNA, reference="A"), NOW)
    end = NOW + timedelta(days=728)
    assert len(await told(flows, now=end)) == 1
    assert await told(flows, now=end + timedelta(days=1)) == []


async def test_pages_end_between_entries(flows: Flows, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        await flows.consents.report(reported(f"p{number}@example.org", reference=f"R{number}"), NOW)
        await flows.consents.report(reported(f"p{number}@example.org", reference=f"S{number}"), NOW)
        await flows.consents.report(reported(f"q{number}@example.org", actor="other"), NOW)
    everything = [change.reference for change in await told(flows)]
    assert everything == ["R0", "S0", "R1", "S1", "R2", "S2", "R3", "S3"]
    for page, step, most in ((1, 1_000, 20), (3, 2, 1), (3, 1, 2), (5, 3, 20), (1_000, 1, 1)):
        monkeypatch.setattr(flow, "PAGE", page)
        monkeypatch.setattr(store, "STEP", step)
        monkeypatch.setattr(store, "MOST_STEPS", most)
        assert [change.reference for change in await told(flows)] == everything
        first = await Changes(flows.store).since("shop", None, NOW)
        assert len(first.changes) <= max(page, 2)


@pytest.mark.parametrize("cursor", ["", "A", "AAAA", "A" * 22, "canary@example.org", "é" * 22, "_" * 22])
async def test_a_cursor_that_no_page_gave_is_refused(flows: Flows, cursor: str) -> None:
    await flows.consents.report(reported(ANNA, reference="A"), NOW)
    if cursor == "A" * 22:  # this one says: from the beginning
        assert len(await told(flows, cursor)) == 1
        return
    with pytest.raises(InvalidField, match="since"):
        await told(flows, cursor)


async def test_a_cursor_from_a_past_that_was_undone_is_refused(flows: Flows) -> None:
    """After a backup was restored the same number stands for another entry: better all again than one left out."""
    await flows.consents.report(reported(ANNA, reference="A"), NOW)
    other = urlsafe_b64encode((1).to_bytes(8, "big") + b"digested").decode().rstrip("=")
    with pytest.raises(InvalidField, match="from the beginning"):
        await told(flows, other)


async def test_nothing_that_is_told_holds_an_address(flows: Flows) -> None:
    said = Evidence(source="form", confirmed_at=NOW, confirmed_by="link")
    await flows.consents.report(reported(ANNA, reference="A", evidence=said), NOW)
    assert "anna" not in repr(await told(flows))
