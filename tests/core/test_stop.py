"""Shows that a stop token opens for ever, for the right person, and only as it was sealed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.core.keys import KEY_IDS, KeyRing, SigningKey
from tracker.core.pseudonym import pseudonym
from tracker.core.stop import STOP_TOKEN_SIZE, StopToken, StopTokens
from tracker.model import Language, Pseudonym

NOW = datetime(2026, 11, 23, tzinfo=UTC)
KEY = SigningKey("Q", b"q" * 32, NOW)
RING = KeyRing((b"1" * 32,), b"l" * 32, (KEY,))
ANNA = pseudonym(RING.pseudonym_keys, "anna@example.org")
NONCE = b"n" * 12


def token() -> str:
    return StopTokens(RING).seal(ANNA, Language.FR, NONCE, "Q").decode()


@given(
    st.binary(min_size=32, max_size=32), st.sampled_from(Language), st.binary(min_size=12, max_size=12),
    st.sampled_from(KEY_IDS),
)  # fmt: skip
def test_what_is_sealed_opens_and_always_has_84_characters(
    name: bytes, language: Language, nonce: bytes, key_id: str
) -> None:
    tokens = StopTokens(replace(RING, signing=(SigningKey(key_id, b"q" * 32, NOW),)))
    sealed = tokens.seal(Pseudonym(name), language, nonce, key_id)
    assert len(sealed) == STOP_TOKEN_SIZE == 84
    assert tokens.open(sealed.decode()) == StopToken(Pseudonym(name), language)


def test_the_pseudonym_cannot_be_read_without_the_key() -> None:
    """R28: the stop token tells nobody whose it is."""
    assert ANNA.hex() not in token()
    assert StopTokens(RING).seal(ANNA, Language.FR, b"m" * 12, "Q").decode()[20:] != token()[20:]
    other = replace(RING, signing=(SigningKey("Q", b"r" * 32, NOW),))
    assert StopTokens(other).open(token()) is None


def test_it_opens_after_rotation_and_after_its_key_was_retired() -> None:
    later = replace(RING, signing=(replace(KEY, retired=True), SigningKey("B", b"b" * 32, NOW)))
    assert StopTokens(later).open(token()) == StopToken(ANNA, Language.FR)


def test_after_a_rekey_it_names_the_person_by_the_new_pseudonym() -> None:
    later = replace(RING, pseudonym_keys=(b"1" * 32, b"2" * 32, b"3" * 32))
    opened = StopTokens(later).open(token())
    assert opened == StopToken(pseudonym(later.pseudonym_keys, "anna@example.org"), Language.FR)
    newest = StopTokens(later).seal(opened.pseudonym, Language.IT, NONCE, "Q").decode()
    assert StopTokens(later).open(newest) == StopToken(opened.pseudonym, Language.IT)
    assert StopTokens(RING).open(newest) is None  # of a generation that this ring does not know


def test_any_other_character_anywhere_closes_it() -> None:
    tokens, sealed = StopTokens(RING), token()
    for place in range(len(sealed)):
        for other in KEY_IDS + ".=+/ \u00fc":
            if other != sealed[place]:
                assert tokens.open(sealed[:place] + other + sealed[place + 1 :]) is None


@pytest.mark.parametrize(
    "altered",
    ["", token()[:-1], token() + "A", token() + "=", token() + "\n", "A" * 84, "A" * 1_000_000, "\u00fc" * 84],
    ids=lambda text: ascii(text[-5:]),
)
def test_other_text_does_not_open(altered: str) -> None:
    assert StopTokens(RING).open(altered) is None


def test_what_does_not_fit_is_not_sealed() -> None:
    tokens = StopTokens(RING)
    with pytest.raises(ValueError, match="nonce"):
        tokens.seal(ANNA, Language.DE, b"short", "Q")
    with pytest.raises(ValueError, match="pseudonym"):
        tokens.seal(Pseudonym(b"short"), Language.DE, NONCE, "Q")
    with pytest.raises(KeyError):
        tokens.seal(ANNA, Language.DE, NONCE, "Z")
