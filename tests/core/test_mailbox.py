"""A mailbox token and a session open for a quarter of an hour, for the right person, and never for one another."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.core.keys import KeyRing, SigningKey
from tracker.core.mailbox import VALID, ProofTokens, Proven, token_digest
from tracker.core.pseudonym import pseudonym
from tracker.core.stop import StopTokens
from tracker.model import BadKeyFile, Language, Pseudonym

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
KEY = SigningKey("Q", b"q" * 32, NOW - timedelta(days=1))
RING = KeyRing((b"1" * 32,), b"l" * 32, (KEY,))
ANNA = pseudonym(RING.pseudonym_keys, "anna@example.org")
NONCE = b"n" * 12
MAILBOX = ProofTokens(RING, lambda key: key.mailbox)
SESSION = ProofTokens(RING, lambda key: key.session)


def token(tokens: ProofTokens = MAILBOX) -> str:
    return tokens.seal(ANNA, Language.FR, NONCE, NOW)


@given(st.binary(min_size=32, max_size=32), st.sampled_from(Language), st.binary(min_size=12, max_size=12))
def test_what_is_sealed_opens_and_always_has_92_characters(name: bytes, language: Language, nonce: bytes) -> None:
    sealed = MAILBOX.seal(Pseudonym(name), language, nonce, NOW)
    assert len(sealed) == 4 + 88, "key id, generation and language in the open, then base64url"
    assert MAILBOX.open(sealed, NOW) == Proven(Pseudonym(name), language, NOW + VALID)


def test_it_is_over_after_a_quarter_of_an_hour() -> None:
    assert MAILBOX.open(token(), NOW + VALID - timedelta(seconds=1))
    assert MAILBOX.open(token(), NOW + VALID) is None


def test_r29_every_altered_character_closes_it() -> None:
    """R29: also one changed in a bit that decoding would ignore."""
    good = token()
    for position in range(len(good)):
        for other in "AQgz09-_./=\u00e4":
            if other != good[position]:
                assert MAILBOX.open(good[:position] + other + good[position + 1 :], NOW) is None, position
    for text in ("", good[:-1], f"{good}A", f"{good}\n"):
        assert MAILBOX.open(text, NOW) is None


def test_no_kind_opens_the_door_of_another() -> None:
    stop = StopTokens(RING).seal(ANNA, Language.FR, NONCE, "Q").decode()
    assert SESSION.open(token(MAILBOX), NOW) is None
    assert MAILBOX.open(token(SESSION), NOW) is None
    assert MAILBOX.open(stop, NOW) is SESSION.open(stop, NOW) is None
    assert StopTokens(RING).open(token()) is None


def test_what_a_retired_key_made_opens_nothing_more() -> None:
    newer = SigningKey("R", b"r" * 32, NOW - timedelta(hours=2))
    ring = replace(RING, signing=(replace(KEY, retired=True), newer))
    assert ProofTokens(ring, lambda key: key.mailbox).open(token(), NOW) is None
    alone = replace(RING, signing=(replace(KEY, retired=True),))
    with pytest.raises(BadKeyFile):
        ProofTokens(alone, lambda key: key.mailbox).seal(ANNA, Language.FR, NONCE, NOW)


def test_after_a_rekey_it_still_means_the_same_person() -> None:
    ring = replace(RING, pseudonym_keys=(b"1" * 32, b"2" * 32))
    opened = ProofTokens(ring, lambda key: key.mailbox).open(token(), NOW)
    assert opened is not None
    assert opened.pseudonym == pseudonym(ring.pseudonym_keys, "anna@example.org")


def test_a_server_that_has_not_read_the_new_key_yet_does_not_take_somebody_else_for_the_person() -> None:
    ring = replace(RING, pseudonym_keys=(b"1" * 32, b"2" * 32))
    newer = ProofTokens(ring, lambda key: key.mailbox).seal(ANNA, Language.FR, NONCE, NOW)
    assert MAILBOX.open(newer, NOW) is None


def test_r28_it_says_nothing_about_the_person() -> None:
    """R28: no address in it, and no two alike."""
    other = MAILBOX.seal(ANNA, Language.FR, b"m" * 12, NOW)
    assert other != token()
    assert other[:4] == token()[:4] == "QAfr"


def test_r60_a_form_key_belongs_to_one_session() -> None:
    """R60: neither another session's nor anything else is taken."""
    mine, other = token(SESSION), SESSION.seal(ANNA, Language.FR, b"m" * 12, NOW)
    assert SESSION.is_form_key(mine, SESSION.form_key(mine))
    for given_key in ("", "x", "\u00e4", SESSION.form_key(other), MAILBOX.form_key(mine)):
        assert not SESSION.is_form_key(mine, given_key)
    assert len(token_digest(mine)) == 32
    assert token_digest(mine) != token_digest(other)


@pytest.mark.parametrize(("name", "nonce"), [(b"x" * 31, NONCE), (ANNA, b"n" * 11)])
def test_wrong_sizes_are_refused(name: bytes, nonce: bytes) -> None:
    with pytest.raises(ValueError, match="a token holds"):
        MAILBOX.seal(Pseudonym(name), Language.FR, nonce, NOW)
