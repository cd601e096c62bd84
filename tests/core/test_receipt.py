"""A receipt is signed so that anybody can check it, and names its subject to those alone who know the address."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.core.keys import KeyRing, SigningKey
from tracker.core.pseudonym import normalise, pseudonym
from tracker.core.receipt import ReceiptKey, canonical, is_about, key_id, verify
from tracker.model import BadReceipt

SIGNING = (SigningKey("A", b"s" * 32, datetime(2026, 1, 1, tzinfo=UTC)),)
RING = KeyRing((b"p" * 32,), b"l" * 32, SIGNING)
REKEYED = KeyRing((b"p" * 32, b"q" * 32), b"l" * 32, SIGNING)
KEY = ReceiptKey(RING)
ANNA = normalise("anna@example.org")
SALT = b"0123456789abcdef"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NAMES = st.text(st.characters(max_codepoint=127), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=10,
)


def about(address: str | None = ANNA, ring: KeyRing = RING) -> dict[str, Any]:
    """A receipt about ADDRESS, or about Anna's pseudonym alone."""
    subject = ReceiptKey(ring).subject(pseudonym(ring.pseudonym_keys, address or ANNA), address, SALT)
    salt = "MDEyMzQ1Njc4OWFiY2RlZg=="
    check = None if subject.check is None else dict(subject.check)
    return {"salt": salt, "pii_principal_id": subject.principal, "pii_principal_check": check, "events": ["gegeben ü"]}


def test_what_was_signed_is_believed_by_the_public_key_alone() -> None:
    receipt = about()
    arrived = json.loads(json.dumps(KEY.sign(receipt)))
    assert verify(arrived, KEY.public) == receipt
    assert arrived["signature"]["key_id"] == key_id(KEY.public)


def test_another_installations_key_believes_nothing() -> None:
    other = ReceiptKey(KeyRing((b"p" * 32,), b"m" * 32, SIGNING))
    with pytest.raises(BadReceipt):
        verify(KEY.sign(about()), other.public)


def test_the_key_stays_when_other_keys_rotate() -> None:
    newer = SigningKey("B", b"t" * 32, datetime(2026, 2, 1, tzinfo=UTC))
    assert ReceiptKey(KeyRing(REKEYED.pseudonym_keys, b"l" * 32, (*SIGNING, newer))).public == KEY.public


@given(st.dictionaries(NAMES, VALUES, max_size=4), st.data())
def test_any_change_is_found(receipt: dict[str, Any], data: st.DataObject) -> None:
    envelope = KEY.sign(receipt)
    assert verify(envelope, KEY.public) == receipt
    changed = deepcopy(envelope)
    changed["receipt"] = data.draw(st.dictionaries(NAMES, VALUES, max_size=4))
    if canonical(changed["receipt"]) == canonical(receipt):
        return
    with pytest.raises(BadReceipt):
        verify(changed, KEY.public)


@pytest.mark.parametrize(
    "envelope",
    [
        None, [], "x", {}, {"receipt": {}}, {"receipt": [], "signature": {"algorithm": "Ed25519", "value": ""}},
        {"receipt": {}, "signature": {"algorithm": "none", "value": ""}},
        {"receipt": {}, "signature": {"algorithm": "Ed25519", "value": "\u00fc"}},
        {"receipt": {}, "signature": {"algorithm": "Ed25519", "value": "AAAA"}},
        {"receipt": {"x": 1.0}, "signature": {"algorithm": "Ed25519", "value": "AAAA"}},
    ],
)  # fmt: skip
def test_what_is_no_receipt_is_refused(envelope: object) -> None:
    with pytest.raises(BadReceipt):
        verify(envelope, KEY.public)


@pytest.mark.parametrize("public", ["", "x", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_what_is_no_public_key_is_refused(public: str) -> None:
    with pytest.raises(BadReceipt):
        verify(KEY.sign({}), public)


@pytest.mark.parametrize("value", [1.0, 2**53, float("nan"), {"\u00fc": 1}, {1: 1}, b"x", "\ud800"])
def test_what_other_libraries_write_otherwise_is_not_signed(value: object) -> None:
    with pytest.raises(BadReceipt):
        canonical({"x": value})


def test_what_is_nested_without_end_is_not_read() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(BadReceipt, match="nested"):
        verify({"receipt": {"x": deep}, "signature": {"algorithm": "Ed25519", "value": "AAAA"}}, KEY.public)


def test_the_canonical_form_is_that_of_rfc_8785() -> None:
    # Section 3.2.2 and 3.2.3, as far as it holds what a receipt can: escapes, sorted names, no blanks.
    value = {"string": '\u20ac$\u000f\nA\'B"\\\\"/', "literals": [None, True, False], "b": 1, "a": -5, "B": {}}
    expected = '{"B":{},"a":-5,"b":1,"literals":[null,true,false],"string":"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    assert canonical(value) == expected.encode()


def test_whoever_knows_the_address_can_tell_whom_it_is_about() -> None:
    assert is_about(about(), ANNA)
    assert is_about(about(), normalise("bert@example.org")) is False
    assert is_about(about(None), ANNA) is None


def test_the_issuer_can_tell_also_without_the_check_and_after_a_rekey() -> None:
    before = about(None)
    for ring in (RING, REKEYED):
        assert ReceiptKey(ring).is_about(before, ANNA)
        assert not ReceiptKey(ring).is_about(before, normalise("bert@example.org"))
    assert ReceiptKey(REKEYED).is_about(about(None, REKEYED), ANNA)


def test_neither_address_nor_pseudonym_can_be_read_in_it() -> None:
    text = json.dumps(about())
    name = pseudonym(RING.pseudonym_keys, ANNA)
    for secret in ("anna", "example.org", name.hex()):
        assert secret not in text


@pytest.mark.parametrize("salt", ["\u00fc", "a", 5, None])
def test_a_receipt_with_a_broken_salt_is_about_nobody(salt: object) -> None:
    receipt = about() | {"salt": salt}
    try:
        assert not KEY.is_about(receipt, ANNA)
        assert is_about(receipt, ANNA) is None
    except BadReceipt:
        assert isinstance(salt, str)
