"""What the ledger seals cannot be changed without the key, in any field."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from tracker.core.ledger import (
    GENESIS,
    Statement,
    content_digest,
    entry_digest,
    evidence_of,
    evidence_text,
    instant_text,
    notice_hash,
    purposes_text,
)
from tracker.model import Day, Evidence, Language, LedgerEvent, Method, Purpose

KEY, SALT = b"k" * 32, b"s" * 16
NOW = datetime(2026, 11, 23, 12, 0, 0, 5, tzinfo=UTC)
STATEMENT = Statement(
    recipient=7,
    event=LedgerEvent.GIVEN,
    purposes=frozenset({Purpose.OPEN, Purpose.CLICK}),
    last_day=Day(22_000),
    recorded_at=NOW,
    actor="crm",
    method=Method.WEB_FORM,
    given_at=NOW,
    notice_version="2026-1",
    notice_hash="h",
    language=Language.DE,
    evidence=Evidence(source="form"),
    ends=(3, 4),
)
OTHER = Statement(
    recipient=8,
    event=LedgerEvent.REQUESTED,
    purposes=frozenset({Purpose.OPEN}),
    last_day=Day(22_001),
    recorded_at=NOW + timedelta(seconds=1),
    actor="cli",
)

texts = st.none() | st.text()
instants = st.none() | st.datetimes(timezones=st.just(UTC))
evidences = st.builds(
    Evidence,
    source=texts,
    confirmed_at=instants,
    confirmed_by=texts,
    document=texts,
    call_started_at=instants,
    call_seconds=st.none() | st.integers(0, 10**6),
    call_again=st.none() | st.booleans(),
)


def test_every_field_is_sealed() -> None:
    sealed = content_digest(KEY, STATEMENT, SALT)
    for field in fields(Statement):
        changed = replace(STATEMENT, **{field.name: getattr(OTHER, field.name)})
        assert content_digest(KEY, changed, SALT) != sealed, field.name


def test_key_and_salt_are_part_of_the_seal() -> None:
    sealed = content_digest(KEY, STATEMENT, SALT)
    assert content_digest(b"K" * 32, STATEMENT, SALT) != sealed
    assert content_digest(KEY, STATEMENT, b"S" * 16) != sealed
    assert content_digest(KEY, STATEMENT, SALT) == sealed


def test_the_order_of_a_set_does_not_matter() -> None:
    again = replace(STATEMENT, purposes=frozenset({Purpose.CLICK, Purpose.OPEN}), ends=(4, 3))
    assert content_digest(KEY, again, SALT) == content_digest(KEY, STATEMENT, SALT)
    assert purposes_text(STATEMENT.purposes) == "click,open"


def test_every_link_of_the_chain_is_sealed() -> None:
    seals = {
        entry_digest(KEY, 1, GENESIS, Day(5), b"c" * 32),
        entry_digest(b"K" * 32, 1, GENESIS, Day(5), b"c" * 32),
        entry_digest(KEY, 2, GENESIS, Day(5), b"c" * 32),
        entry_digest(KEY, 1, b"p" * 32, Day(5), b"c" * 32),
        entry_digest(KEY, 1, GENESIS, Day(6), b"c" * 32),
        entry_digest(KEY, 1, GENESIS, Day(5), b"d" * 32),
    }
    assert len(seals) == 6
    assert {len(seal) for seal in seals} == {32}


@given(evidences)
def test_evidence_comes_back_as_it_was_written(evidence: Evidence) -> None:
    assert evidence_of(evidence_text(evidence)) == evidence
    assert evidence_text(evidence).isascii()


def test_instants_are_written_in_utc() -> None:
    local = datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))
    assert instant_text(local) == "2026-01-01T00:00:00+00:00"


def test_a_notice_is_known_by_the_digest_of_its_words() -> None:
    assert notice_hash("Dürfen wir?") == sha256("Dürfen wir?".encode()).hexdigest()
