"""Shows which key signs when, and that no two uses share a key."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tracker.core.keys import KEY_IDS, KeyRing, SigningKey
from tracker.model import BadKeyFile

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def secret(number: int) -> bytes:
    return number.to_bytes(32, "big")


def ring(*signing: SigningKey, pseudonym_keys: int = 1) -> KeyRing:
    keys = tuple(secret(100 + number) for number in range(pseudonym_keys))
    return KeyRing(keys, secret(99), signing or (SigningKey("A", secret(1), NOW),))


def test_the_newest_key_that_may_sign_signs() -> None:
    old, new = SigningKey("A", secret(1), NOW - HOUR), SigningKey("B", secret(2), NOW + HOUR)
    both = ring(old, new)
    assert both.signing_key(NOW) is old
    assert both.signing_key(NOW + HOUR) is new


def test_a_retired_key_signs_nothing_more() -> None:
    old, new = SigningKey("A", secret(1), NOW), SigningKey("B", secret(2), NOW, retired=True)
    assert ring(old, new).signing_key(NOW) is old


@pytest.mark.parametrize(
    "key",
    [SigningKey("A", secret(1), NOW + HOUR), SigningKey("A", secret(1), NOW, retired=True)],
    ids=["early", "all retired"],
)
def test_where_no_key_may_sign_that_is_said(key: SigningKey) -> None:
    with pytest.raises(BadKeyFile):
        ring(key).signing_key(NOW)


def test_a_key_is_found_by_its_id_retired_or_not() -> None:
    key = SigningKey("z", secret(1), NOW, retired=True)
    assert ring(key).by_id("z") is key
    assert ring(key).by_id("A") is None


def test_every_use_has_a_key_of_its_own() -> None:
    a, b = SigningKey("A", secret(1), NOW), SigningKey("B", secret(2), NOW)
    both = ring(a, b)
    digests = both.digest_keys
    keys = [
        *(
            key
            for each in (a, b)
            for key in (each.delivery, each.link, each.stop, each.ask, each.mailbox, each.session, each.secret)
        ),
        *(digests.delivery, digests.owner, digests.message, digests.identity),
        *(both.ledger_key, both.receipt, both.receipt_subject, *both.pseudonym_keys),
    ]
    assert len(set(keys)) == len(keys)
    assert {len(key) for key in keys} == {32}


def test_digest_keys_stay_when_other_keys_rotate() -> None:
    before = ring()
    after = KeyRing((*before.pseudonym_keys, secret(7)), before.ledger_key, (SigningKey("B", secret(2), NOW),))
    assert after.digest_keys.delivery == before.digest_keys.delivery
    assert after.digest_keys.owner == before.digest_keys.owner
    assert after.digest_keys.message == before.digest_keys.message


def test_the_fingerprint_tells_pseudonym_keys_apart_and_nothing_else() -> None:
    one = ring()
    assert len(one.fingerprint) == 16
    assert replace(one, signing=(SigningKey("B", secret(2), NOW),)).fingerprint == one.fingerprint
    assert ring(pseudonym_keys=2).fingerprint != one.fingerprint
    assert replace(one, pseudonym_keys=(secret(5),)).fingerprint != one.fingerprint


def test_no_secret_shows_in_a_representation() -> None:
    key = SigningKey("A", b"\xab" * 32, NOW)
    text = repr(KeyRing((b"\xcd" * 32,), b"\xef" * 32, (key,))) + repr(key) + repr(ring().digest_keys)
    for octet in ("xab", "xcd", "xef", "abab", "cdcd", "efef"):
        assert octet not in text


def test_an_impossible_ring_cannot_be_made() -> None:
    key = SigningKey("A", secret(1), NOW)
    with pytest.raises(ValueError, match="at least one"):
        KeyRing((secret(2),), secret(3), ())
    with pytest.raises(ValueError, match="of its own"):
        KeyRing((secret(2),), secret(3), (key, SigningKey("A", secret(4), NOW)))
    with pytest.raises(ValueError, match="the same"):
        KeyRing((secret(1),), secret(3), (key,))
    with pytest.raises(ValueError, match="32 octets"):
        KeyRing((b"short",), secret(3), (key,))
    with pytest.raises(ValueError, match="1 to 64"):
        ring(pseudonym_keys=65)
    with pytest.raises(ValueError, match="base64url"):
        SigningKey("+", secret(1), NOW)
    with pytest.raises(ValueError, match="time zone"):
        SigningKey("A", secret(1), NOW.replace(tzinfo=None))
    assert len(KEY_IDS) == 64
