"""Shows that an ask token says what was sealed, to nobody without the key, and only unaltered."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.core.ask import AskToken, AskTokens, token_digest
from tracker.core.keys import KEY_IDS, KeyRing, SigningKey
from tracker.core.pseudonym import pseudonym
from tracker.model import MAIL_PURPOSES, Language, Pseudonym, Purpose

NOW = datetime(2026, 11, 23, tzinfo=UTC)
KEY = SigningKey("Q", b"q" * 32, NOW)
RING = KeyRing((b"1" * 32,), b"l" * 32, (KEY,))
ANNA = pseudonym(RING.pseudonym_keys, "anna@example.org")
NONCE = b"n" * 12
TOKEN = AskToken(ANNA, MAIL_PURPOSES, Language.FR, NOW + timedelta(days=30), "2026-1", mailed=True)


def token() -> str:
    return AskTokens(RING).seal(TOKEN, NONCE, "Q")


@given(
    st.binary(min_size=32, max_size=32),
    st.sets(st.sampled_from(sorted(MAIL_PURPOSES)), min_size=1),
    st.sampled_from(Language),
    st.integers(0, 2**32 - 1),
    st.text(min_size=1, max_size=64),
    st.booleans(),
    st.binary(min_size=12, max_size=12),
)
def test_what_is_sealed_opens(
    name: bytes, purposes: set[Purpose], language: Language, expires: int, version: str, mailed: bool, nonce: bytes
) -> None:
    sealed = AskToken(
        Pseudonym(name), frozenset(purposes), language, datetime.fromtimestamp(expires, UTC), version, mailed
    )
    tokens = AskTokens(RING)
    assert tokens.open(tokens.seal(sealed, nonce, "Q")) == sealed


def test_a_token_is_short_and_fits_a_url() -> None:
    assert len(token()) < 110
    assert set(token()) <= set(KEY_IDS)


def test_r28_neither_person_nor_question_can_be_read_without_the_key() -> None:
    """R28: under authenticated encryption with a random nonce of 96 bits and a pseudonym of 256."""
    assert AskTokens(RING).seal(TOKEN, b"m" * 12, "Q")[18:] != token()[18:]
    other = replace(RING, signing=(SigningKey("Q", b"r" * 32, NOW),))
    assert AskTokens(other).open(token()) is None


def test_any_other_character_anywhere_closes_it() -> None:
    tokens, sealed = AskTokens(RING), token()
    for place in range(len(sealed)):
        for other in KEY_IDS + ".=+/ ü":
            if other != sealed[place]:
                assert tokens.open(sealed[:place] + other + sealed[place + 1 :]) is None


@pytest.mark.parametrize(
    "altered",
    ["", token()[:-1], token() + "A", token() + "=", token() + "\n", "A" * 100, "Q" * 400, "A" * 1_000_000, "ü" * 99],
    ids=lambda text: ascii(text[-5:]),
)
def test_other_text_does_not_open(altered: str) -> None:
    assert AskTokens(RING).open(altered) is None


def test_a_retired_keys_token_says_so_and_after_rotation_it_goes_on() -> None:
    retired = replace(RING, signing=(replace(KEY, retired=True), SigningKey("B", b"b" * 32, NOW)))
    rotated = replace(RING, signing=(KEY, SigningKey("B", b"b" * 32, NOW)))
    assert AskTokens(retired).open(token()) == replace(TOKEN, retired=True)
    assert AskTokens(rotated).open(token()) == TOKEN


def test_after_a_rekey_it_names_the_person_by_the_new_pseudonym() -> None:
    later = replace(RING, pseudonym_keys=(b"1" * 32, b"2" * 32))
    opened = AskTokens(later).open(token())
    assert opened == replace(TOKEN, pseudonym=pseudonym(later.pseudonym_keys, "anna@example.org"))
    newest = AskTokens(later).seal(opened, NONCE, "Q")
    assert AskTokens(later).open(newest) == opened
    assert AskTokens(RING).open(newest) is None  # of a generation that this ring does not know


@pytest.mark.parametrize(
    "wrong",
    [
        replace(TOKEN, pseudonym=Pseudonym(b"short")),
        replace(TOKEN, purposes=frozenset()),
        replace(TOKEN, purposes=frozenset({Purpose.PHONE})),
        replace(TOKEN, notice_version=""),
        replace(TOKEN, notice_version="x" * 257),
        replace(TOKEN, expires=datetime(1969, 1, 1, tzinfo=UTC)),
    ],
)
def test_what_does_not_fit_is_not_sealed(wrong: AskToken) -> None:
    with pytest.raises(ValueError, match="fit"):
        AskTokens(RING).seal(wrong, NONCE, "Q")


def test_neither_is_a_nonce_of_another_size_nor_with_an_unknown_key() -> None:
    with pytest.raises(ValueError, match="fit"):
        AskTokens(RING).seal(TOKEN, b"short", "Q")
    with pytest.raises(KeyError):
        AskTokens(RING).seal(TOKEN, NONCE, "Z")


def test_each_token_is_remembered_apart_by_a_digest_that_tells_nothing() -> None:
    other = AskTokens(RING).seal(TOKEN, b"m" * 12, "Q")
    assert token_digest(token()) != token_digest(other)
    assert len(token_digest(token())) == 32
