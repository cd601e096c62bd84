"""Shows that each kind of token opens its own door and no other, unaltered or not at all."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import Signer

from tracker.core.keys import KEY_IDS, KeyRing, SigningKey
from tracker.core.pseudonym import pseudonym
from tracker.core.tokens import (
    DELIVERY_TOKEN_SIZE,
    MESSAGE_DIGEST_SIZE,
    PLAN_SIZE,
    AskToken,
    DeliveryToken,
    StopToken,
    Tokens,
)
from tracker.model import MAIL_PURPOSES, Day, DeliveryId, Language

NOW = datetime(2026, 11, 23, 12, 30, 15, tzinfo=UTC)
KEY = SigningKey("A", b"a" * 32, NOW)
RING = KeyRing((b"1" * 32,), b"l" * 32, (KEY,))
TOKENS = Tokens(RING)
TOKEN = DeliveryToken(Day(20_870), DeliveryId(b"d" * 16), b"plan1", b"digest", int(NOW.timestamp()), "A")
TARGET = "https://shop.example.com/a?b=c"
ANNA = pseudonym(RING.pseudonym_keys, "anna@example.org")

deliveries = st.builds(
    DeliveryToken,
    last_day=st.integers(0, 2**16 - 1).map(Day),
    delivery=st.binary(min_size=16, max_size=16).map(DeliveryId),
    plan=st.binary(min_size=PLAN_SIZE, max_size=PLAN_SIZE),
    message_digest=st.binary(min_size=MESSAGE_DIGEST_SIZE, max_size=MESSAGE_DIGEST_SIZE),
    issued=st.integers(0, 2**32 - 1),
    key_id=st.sampled_from(KEY_IDS),
    retired=st.just(False),
)
everything = Tokens(
    KeyRing((b"1" * 32,), b"l" * 32, tuple(SigningKey(each, each.encode().rjust(32), NOW) for each in KEY_IDS))
)


def signed() -> str:
    return TOKENS.sign_delivery(TOKEN).decode()


@given(deliveries)
def test_a_delivery_token_says_what_was_signed_in_66_characters(token: DeliveryToken) -> None:
    octets = everything.sign_delivery(token)
    assert len(octets) == DELIVERY_TOKEN_SIZE == 66
    assert everything.read_delivery(octets) == token
    assert everything.read_delivery(octets.decode()) == token


def test_any_other_character_anywhere_is_refused() -> None:
    text = signed()
    for place in range(len(text)):
        for other in KEY_IDS + ".=+/ ~\u00fc\u0131":
            if other != text[place]:
                assert TOKENS.read_delivery(text[:place] + other + text[place + 1 :]) is None


def test_any_flipped_bit_is_refused() -> None:
    """R29: the MAC is checked."""
    octets = TOKENS.sign_delivery(TOKEN)
    for bit in range(8 * len(octets)):
        flipped = bytearray(octets)
        flipped[bit // 8] ^= 1 << bit % 8
        assert TOKENS.read_delivery(bytes(flipped)) is None


@pytest.mark.parametrize(
    "text",
    [
        "", ".", signed()[:-1], signed()[1:], signed() + "A", signed() + "=", signed() + "\n", signed() + "\0",
        " " + signed(), "A" + signed(), signed().replace(".", "A"), signed() + "." + "A" * 20, "A" * 66,
        "A" * 1_000_000, "\u00fc" * 66, "\ud800",
    ],
    ids=lambda text: ascii(text[:2] + text[-3:]),
)  # fmt: skip
def test_cut_or_longer_or_foreign_text_is_refused(text: str) -> None:
    assert TOKENS.read_delivery(text) is None


@given(st.one_of(st.text(max_size=70), st.binary(max_size=70), st.from_regex(r"A[A-Za-z0-9_-]{44}\.[A-Za-z0-9_-]{20}")))
def test_text_that_nobody_signed_is_refused(text: str | bytes) -> None:
    assert TOKENS.read_delivery(text) is None


def test_what_does_not_fit_is_not_signed() -> None:
    for wrong in (
        TOKEN._replace(last_day=Day(2**16)), TOKEN._replace(last_day=Day(-1)), TOKEN._replace(plan=b"long plan"),
        TOKEN._replace(delivery=DeliveryId(b"")), TOKEN._replace(message_digest=b"x"),
        TOKEN._replace(issued=-1), TOKEN._replace(issued=2**32),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="fit"):
            TOKENS.sign_delivery(wrong)
    with pytest.raises(KeyError):
        TOKENS.sign_delivery(TOKEN._replace(key_id="Z"))


# --- doors -------------------------------------------------------------------------------------


def test_every_kind_opens_its_own_door_and_no_other() -> None:
    """R29: a token of one kind opens no other door."""
    delivery, link = signed(), TOKENS.sign_link("A", TOKEN.plan, TARGET)
    stop = TOKENS.seal_stop(ANNA, Language.DE, b"n" * 12, "A").decode()
    part, host = link.part.decode(), link.host.decode()
    question = AskToken(ANNA, MAIL_PURPOSES, Language.DE, NOW + timedelta(days=30), "2026-1", mailed=True)
    ask = TOKENS.seal_ask(question, b"n" * 12, "A")

    assert TOKENS.open_ask(ask) == question
    assert TOKENS.read_delivery(delivery) == TOKEN
    assert TOKENS.read_link(TOKEN, part, host) == TARGET
    assert TOKENS.open_stop(stop) == StopToken(ANNA, Language.DE)
    for text in (part, stop, stop[:66], part[:66], "A" + part, ask, ask[:66]):
        assert TOKENS.read_delivery(text) is None
    for text in (delivery, delivery[1:], stop, stop + "." + delivery[-20:], ask, ask + "." + delivery[-20:]):
        assert TOKENS.read_link(TOKEN, text, host) is None
    for text in (delivery, part, (delivery + part)[:84].replace(".", "A"), ask, ask[:84]):
        assert TOKENS.open_stop(text) is None
    for text in (
        delivery,
        part,
        stop,
        (stop + part)[:100].replace(".", "A"),
        (delivery + part)[:100].replace(".", "A"),
    ):
        assert TOKENS.open_ask(text) is None


@pytest.mark.parametrize("kind", ["link", "stop", "ask", "mailbox", "session", "secret"])
def test_a_delivery_token_made_with_another_kinds_key_is_refused(kind: str) -> None:
    # itsdangerous ignores the salt with key_derivation="none": only the keys keep the kinds apart.
    imposter = replace(KEY)
    object.__setattr__(imposter, "delivery", getattr(KEY, kind))
    forged = Tokens(replace(RING, signing=(imposter,))).sign_delivery(TOKEN)
    assert len(forged) == 66
    assert TOKENS.read_delivery(forged) is None


@pytest.mark.parametrize("kind", ["delivery", "stop", "ask", "mailbox", "session", "secret"])
def test_a_link_part_made_with_another_kinds_key_is_refused(kind: str) -> None:
    imposter = replace(KEY)
    object.__setattr__(imposter, "link", getattr(KEY, kind))
    forged = Tokens(replace(RING, signing=(imposter,))).sign_link("A", TOKEN.plan, TARGET)
    assert TOKENS.read_link(TOKEN, forged.part.decode(), forged.host.decode()) is None


@pytest.mark.parametrize("kind", ["delivery", "link", "ask", "mailbox", "session", "secret"])
def test_a_stop_token_made_with_another_kinds_key_is_refused(kind: str) -> None:
    imposter = replace(KEY)
    object.__setattr__(imposter, "stop", getattr(KEY, kind))
    forged = Tokens(replace(RING, signing=(imposter,))).seal_stop(ANNA, Language.DE, b"n" * 12, "A")
    assert TOKENS.open_stop(forged.decode()) is None


def test_a_token_of_the_library_with_its_own_settings_is_refused() -> None:
    assert TOKENS.read_delivery(Signer(KEY.delivery).sign(signed()[:45])) is None


# --- rotation ----------------------------------------------------------------------------------


def test_tokens_of_an_old_key_verify_after_rotation() -> None:
    """R63: keys can be rotated."""
    new = SigningKey("B", b"b" * 32, NOW + timedelta(hours=1))
    rotated = Tokens(replace(RING, signing=(KEY, new)))
    link = TOKENS.sign_link("A", TOKEN.plan, TARGET)
    delivery = rotated.read_delivery(signed())
    assert delivery == TOKEN
    assert rotated.read_link(delivery, link.part.decode(), link.host.decode()) == TARGET
    renewed = TOKEN._replace(key_id="B")
    assert TOKENS.read_delivery(rotated.sign_delivery(renewed)) is None
    assert rotated.read_link(renewed, link.part.decode(), link.host.decode()) is None


def test_a_retired_keys_tokens_are_read_and_say_so() -> None:
    retired = Tokens(replace(RING, signing=(replace(KEY, retired=True), SigningKey("B", b"b" * 32, NOW))))
    delivery = retired.read_delivery(signed())
    link = TOKENS.sign_link("A", TOKEN.plan, TARGET)
    assert delivery is not None
    assert delivery.retired
    assert delivery._replace(retired=False) == TOKEN
    assert retired.read_link(delivery, link.part.decode(), link.host.decode()) == TARGET


def test_a_key_that_is_gone_opens_nothing() -> None:
    other = Tokens(replace(RING, signing=(SigningKey("B", b"b" * 32, NOW),)))
    link = TOKENS.sign_link("A", TOKEN.plan, TARGET)
    assert other.read_delivery(signed()) is None
    assert other.read_link(TOKEN, link.part.decode(), link.host.decode()) is None


# --- links -------------------------------------------------------------------------------------


def test_links_of_another_plan_do_not_combine() -> None:
    link = TOKENS.sign_link("A", b"plan2", TARGET)
    assert TOKENS.read_link(TOKEN, link.part.decode(), link.host.decode()) is None


def test_an_altered_host_leads_nowhere() -> None:
    link = TOKENS.sign_link("A", TOKEN.plan, TARGET)
    for host in ("evil.example", "SHOP.example.com", "shop.example.com.", "", "\u017fhop.example.com"):
        assert TOKENS.read_link(TOKEN, link.part.decode(), host) is None


def test_a_tracked_url_adds_no_more_than_150_characters_to_one_of_80() -> None:
    target = "https://shop.example.com/".ljust(80, "x")
    link = TOKENS.sign_link("A", TOKEN.plan, target)
    url = f"https://t.example.com/c/{signed()}/{link.part.decode()}/{link.host.decode()}/"
    assert len(url) - len(target) <= 150


# --- message digest ----------------------------------------------------------------------------


def test_a_message_knows_its_own_token_under_every_later_ring() -> None:
    later = Tokens(KeyRing((b"1" * 32, b"2" * 32), b"m" * 32, (SigningKey("B", b"b" * 32, NOW),)))
    digest = TOKENS.message_digest(b"<1@example.org>")
    assert len(digest) == MESSAGE_DIGEST_SIZE
    assert later.message_digest(b"<1@example.org>") == digest
    assert TOKENS.message_digest(b"<2@example.org>") != digest
    assert Tokens(replace(RING, pseudonym_keys=(b"9" * 32,))).message_digest(b"<1@example.org>") != digest


@pytest.mark.parametrize("kind", ["delivery", "link", "stop", "mailbox", "secret"])
def test_an_ask_token_made_with_another_kinds_key_is_refused(kind: str) -> None:
    imposter = replace(KEY)
    object.__setattr__(imposter, "ask", getattr(KEY, kind))
    question = AskToken(ANNA, MAIL_PURPOSES, Language.DE, NOW, "2026-1", mailed=True)
    forged = Tokens(replace(RING, signing=(imposter,))).seal_ask(question, b"n" * 12, "A")
    assert TOKENS.open_ask(forged) is None
