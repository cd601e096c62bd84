"""One-time codes are those of RFC 6238, good once; recovery codes are found whatever way they are typed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyotp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.core.one_time import (
    NONCE_SIZE,
    RECOVERY_SIZE,
    STEP,
    offered_secret,
    recovery_code,
    recovery_digest,
    seal,
    step_of,
    typed,
    unseal,
    uri,
)

KEY = b"k" * 32
NOW = datetime(2026, 11, 23, 12, 0, 10, tzinfo=UTC)
SECRET = b"12345678901234567890"
CURRENT = int(NOW.timestamp()) // STEP


def code(at: datetime) -> str:
    return pyotp.TOTP(typed(SECRET).replace("-", "")).at(at)


def test_the_codes_are_those_of_the_standard() -> None:
    """RFC 6238, appendix B, SHA-1; the last six of its eight digits."""
    for seconds, digits in ((59, "287082"), (1111111109, "081804"), (2000000000, "279037")):
        assert step_of(SECRET, digits, datetime.fromtimestamp(seconds, UTC), 0) == seconds // STEP


@pytest.mark.parametrize(("off", "found"), [(-60, None), (-30, -1), (0, 0), (30, 1), (60, None)])
def test_a_clock_may_be_off_by_a_step(off: int, found: int | None) -> None:
    step = step_of(SECRET, code(NOW + timedelta(seconds=off)), NOW, 0)
    assert step == (None if found is None else CURRENT + found)


def test_no_code_is_good_again_nor_one_from_before() -> None:
    assert step_of(SECRET, code(NOW), NOW, after=CURRENT - 1) == CURRENT
    assert step_of(SECRET, code(NOW), NOW, after=CURRENT) is None
    assert step_of(SECRET, code(NOW - timedelta(seconds=30)), NOW, after=CURRENT) is None


@pytest.mark.parametrize("text", ["", "12345", "1234567", "abcdef", "１２３４５６", "-12345", "12 34 5"])
def test_what_is_no_code_is_none(text: str) -> None:
    assert step_of(SECRET, text, NOW, 0) is None


def test_blanks_do_not_count() -> None:
    digits = code(NOW)
    assert step_of(SECRET, f" {digits[:3]} {digits[3:]} ", NOW, 0) == CURRENT


@given(st.binary(min_size=20, max_size=20), st.binary(min_size=NONCE_SIZE, max_size=NONCE_SIZE), st.integers(0, 2**32))
def test_a_sealed_secret_opens_for_its_account_and_key_alone(secret: bytes, nonce: bytes, account: int) -> None:
    sealed = seal(KEY, account, secret, nonce)
    assert unseal(KEY, account, sealed) == secret
    assert unseal(KEY, account + 1, sealed) is None
    assert unseal(b"x" * 32, account, sealed) is None
    assert unseal(KEY, account, sealed[:-1]) is None
    assert secret not in sealed


def test_each_session_is_offered_a_secret_of_its_own() -> None:
    assert offered_secret(KEY, "a") == offered_secret(KEY, "a")
    assert len({offered_secret(KEY, "a"), offered_secret(KEY, "b"), offered_secret(b"x" * 32, "a")}) == 3


def test_the_app_is_told_who_it_is_for() -> None:
    text = uri(SECRET, "rita@werkstatt-nord.example", "Werkstatt: Nord GmbH")
    assert isinstance(pyotp.parse_uri(text), pyotp.TOTP)
    assert text.startswith("otpauth://totp/Werkstatt%20%20Nord%20GmbH:rita%40werkstatt-nord.example?secret=GEZDGNBV")


@given(st.binary(min_size=RECOVERY_SIZE, max_size=RECOVERY_SIZE), st.integers(0, 2**32))
def test_a_recovery_code_is_found_however_it_is_typed(chance: bytes, account: int) -> None:
    made = recovery_code(chance)
    digest = recovery_digest(KEY, account, made)
    for spelling in (made.upper(), made.replace("-", ""), made.replace("-", " "), f" {made}\n"):
        assert recovery_digest(KEY, account, spelling) == digest
    assert recovery_digest(KEY, account + 1, made) != digest
    assert recovery_digest(KEY, account, made[:-1]) != digest
