"""Shows which ways of writing an address are one person, which are two, and what is no address."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.core.pseudonym import normalise, pseudonym, rewrap
from tracker.model import InvalidAddress

FIRST, SECOND, THIRD = b"1" * 32, b"2" * 32, b"3" * 32


@pytest.mark.parametrize(
    ("written", "looked_up"),
    [
        ("anna@example.org", "anna@example.org"),
        ("Anna@EXAMPLE.Org", "anna@example.org"),
        ("anna+offers@example.org", "anna+offers@example.org"),
        ("a.n.n.a@gmail.example", "a.n.n.a@gmail.example"),
        ("anna@b\u00fccher.example", "anna@xn--bcher-kva.example"),
        ("anna@B\u00dcCHER.example", "anna@xn--bcher-kva.example"),
        ("anna@XN--BCHER-KVA.example", "anna@xn--bcher-kva.example"),
        ("anna@fa\u00df.example", "anna@xn--fa-hia.example"),
        ("anna@example\u3002org", "anna@example.org"),
        ("JOS\u00c9@example.org", "jos\u00e9@example.org"),
        ("jose\u0301@example.org", "jos\u00e9@example.org"),
        ("Stra\u00dfe@example.org", "strasse@example.org"),
        ('"anna"@example.org', "anna@example.org"),
        ('"an\\na"@example.org', "anna@example.org"),
        ('"anna b"@example.org', '"anna b"@example.org'),
        ('"Anna@work"@example.org', '"anna@work"@example.org'),
        ('"an\\"na"@example.org', '"an\\"na"@example.org'),
        ("anna@localhost", "anna@localhost"),
        ("anna@foo_bar.example", "anna@foo_bar.example"),
        ("anna@r3---sn.example", "anna@r3---sn.example"),
        ("anna@[192.0.2.1]", "anna@[192.0.2.1]"),
        ("anna@[IPv6:2001:DB8:0::1]", "anna@[ipv6:2001:db8::1]"),
        ("!#$%&'*+-/=?^_`{|}~@example.org", "!#$%&'*+-/=?^_`{|}~@example.org"),
    ],
)
def test_an_address_has_one_form(written: str, looked_up: str) -> None:
    assert normalise(written) == looked_up


@pytest.mark.parametrize(
    "text",
    [
        "", "@", "anna", "anna@", "@example.org", "Anna <anna@example.org>", "<anna@example.org>", " anna@example.org",
        "anna@example.org ", "anna@example.org\n", "anna@example.org,b@example.org", "anna@example.org;b@example.org",
        "anna@@example.org", "anna@bert@example.org", "anna..b@example.org", ".anna@example.org", "anna.@example.org",
        "anna b@example.org", "anna@exam ple.org", "anna@example..org", "anna@.example.org", "anna@example.org.",
        "anna@-example.org", "anna@example-.org", "anna(comment)@example.org", "anna@example.org(comment)",
        'anna"@example.org', '""@example.org', '"anna"b@example.org', '"an"na"@example.org', "an\\na@example.org",
        "anna\x00@example.org", '"an\x00na"@example.org', "anna\u00a0b@example.org", "anna\u2028@example.org",
        "anna\ud800@example.org", "anna\u0378@example.org", "anna\uff20example.org", "anna@\u2615.example",
        "anna@[192.0.2.256]", "anna@[example.org]", "anna@[", "anna@xn--" + "a" * 70 + ".example",
        "a" * 65 + "@example.org", "\u00e9" * 33 + "@example.org", "a@" + "b." * 130 + "example", "a" * 100_000,
        "anna@" + "\u00fc" * 300, "anna%40example.org", "mailto:anna", "anna@exam%70le.org",
    ],
    ids=lambda text: ascii(text)[:40],
)  # fmt: skip
def test_what_is_not_exactly_one_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidAddress) as caught:
        normalise(text)
    assert caught.value.detail == ""


@given(st.text(min_size=1, max_size=40), st.sampled_from(["example.org", "B\u00fccher.Example", "[192.0.2.1]"]))
def test_the_form_is_final_and_case_makes_no_difference(local: str, domain: str) -> None:
    for written in (f"{local}@{domain}", f'"{local}"@{domain}'):
        with contextlib.suppress(InvalidAddress):
            form = normalise(written)
            assert normalise(form) == form
            assert form.rpartition("@")[2].isascii()


@given(st.from_regex(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,30}(\.[a-z]{1,5}){0,3}", fullmatch=True))
def test_upper_and_lower_case_are_one_person(local: str) -> None:
    assert normalise(f"{local.upper()}@EXAMPLE.org") == normalise(f"{local.lower()}@example.org")


def test_a_pseudonym_hangs_on_the_key() -> None:
    name = pseudonym((FIRST,), "anna@example.org")
    assert len(name) == 32
    assert name == pseudonym((FIRST,), "anna@example.org")
    assert name != pseudonym((SECOND,), "anna@example.org")
    assert name != pseudonym((FIRST,), "bert@example.org")


def test_a_later_generation_wraps_the_one_before() -> None:
    old = pseudonym((FIRST,), "anna@example.org")
    assert pseudonym((FIRST, SECOND, THIRD), "anna@example.org") == rewrap((SECOND, THIRD), old)
    assert rewrap((), old) == old
