"""Addresses are found in clear and in encodings, and nothing else is taken for one.

Invariants: an address is found whatever encoding it stands in and whatever stands around it; a masked text contains
none; and looking takes time linear in the text.
"""

from __future__ import annotations

import base64
import quopri
import re
import time
from collections.abc import Callable
from random import Random
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tracker.core.address import contains_address, contains_address_in_url, mask_addresses
from tracker.core.pseudonym import normalise
from tracker.core.traces import Traces, read
from tracker.model import InvalidAddress

ADDRESS = "anna@example.org"


def percent(text: str) -> str:
    return "".join(f"%{octet:02x}" for octet in text.encode())


def decimal_references(text: str) -> str:
    return "".join(f"&#{ord(letter)};" for letter in text)


ENCODINGS: dict[str, Callable[[str], str]] = {
    "clear": str,
    "percent-encoded": quote,
    "percent-encoded, every letter": percent,
    "percent-encoded twice": lambda text: quote(quote(text)),
    "percent-encoded four times": lambda text: quote(quote(quote(quote(text)))),
    "character references": decimal_references,
    "hexadecimal references": lambda text: text.replace("@", "&#X40;"),
    "named reference": lambda text: text.replace("@", "&commat;"),
    "references, encoded again": lambda text: text.replace("@", "&amp;#64;"),
    "references, percent-encoded": lambda text: quote(text.replace("@", "&#64;")),
    "quoted-printable": lambda text: "m=" + text.replace("@", "=40"),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 without padding": lambda text: base64.b64encode(text.encode()).decode().rstrip("="),
    "base64url": lambda text: base64.urlsafe_b64encode(f"\xff\xfe{text}\xff".encode("latin-1")).decode(),
    "base64 of JSON": lambda text: base64.b64encode(f'{{"id":7,"mail":"{text}"}}'.encode()).decode(),
    "base64 of percent encoding": lambda text: base64.b64encode(quote(text).encode()).decode(),
    "base64 twice": lambda text: base64.b64encode(base64.b64encode(text.encode())).decode(),
    "base64 of UTF-16": lambda text: base64.b64encode(text.encode("utf-16-le")).decode(),
    "base64, percent-encoded": lambda text: quote(base64.b64encode(text.encode()).decode(), safe=""),
    "hexadecimal": lambda text: text.encode().hex(),
    "hexadecimal, upper case": lambda text: text.encode().hex().upper(),
    "full-width": lambda text: text.replace("@", "\uff20"),
    "invisible characters": lambda text: text.replace("@", "\u200b@\u00ad"),
    "JSON escape": lambda text: text.replace("@", "\\u0040"),
    "JavaScript escape": lambda text: text.replace("@", "%u0040"),
    "UTF-7": lambda text: text.replace("@", "+AEA-"),
}
ADDRESSES = st.from_regex(r"[a-z][a-z0-9._+]{0,12}[a-z0-9]@[a-z][a-z0-9-]{1,12}\.(org|com|de|museum)", fullmatch=True)
AROUND = st.text("/?&= ;,:<>()\"'|\t\n", min_size=1, max_size=5)


@pytest.mark.parametrize("name", ENCODINGS)
@given(address=ADDRESSES, before=AROUND, after=AROUND)
def test_an_address_is_found_in_any_encoding(name: str, address: str, before: str, after: str) -> None:
    text = f"x{before}{ENCODINGS[name](address)}{after}y"
    assert contains_address(text)
    assert not contains_address(mask_addresses(text))


@given(ADDRESSES, st.text("abcXYZ019_-", max_size=12), st.text("abcXYZ019_-", max_size=12))
def test_an_address_is_found_wherever_it_stands_in_a_longer_token(address: str, before: str, after: str) -> None:
    assert contains_address(before + base64.urlsafe_b64encode(address.encode()).decode().rstrip("=") + after)
    assert contains_address(base64.b64encode(f"{before} {address} {after}".encode()).decode())


@pytest.mark.parametrize(
    "text",
    [
        "Anna <anna@example.org>",
        '"Anna B."@example.org',
        "mailto:anna@example.org?subject=Hi",
        "anna@bücher.example",
        "anna@xn--bcher-kva.example",
        "jürgen@例え.テスト",
        "anna+tag@mail.example.co.uk",
        "o'neil@example.org",
        "anna@[192.0.2.1]",
        "bounce+anna=example.org@lists.example",
        "ANNA@EXAMPLE.ORG",
        "अन्ना@उदाहरण.भारत",
        "สมชาย@ตัวอย่าง.ไทย",
        "\U0001f600@example.org",
        "anna@localhost",
        "anna@intranet",
        "user@xn--e1afmkfd",
        "anna@example.123",
        "anna@example.x",
        "anna=@example.org",
        "anna/@example.org",
        "form/anna/@example.org",
        "/u/anna/@example.org/x",
        "anna?@example.org",
        "anna&@example.org",
        '"anna\\""@example.org',
        "anna@2x.png.example.org",
        "anna%2540example",
        "pkg@1.2.3",
        "anna\u180e@example.org",
        "anna@\ufe0fexample.org",
        "YW5u\u034fYUBleGFtcGxlLm9yZw",
        "anna%\u06004\ufe0f0example.org",
        "\u034f@example.org",
        "anna\u207e@example.org",
    ],
)
def test_addresses_are_found_in_all_their_forms(text: str) -> None:
    assert contains_address(text)
    assert not contains_address(mask_addresses(text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@2x",
        "logo@2x.png",
        "logo@1.5x.webp",
        "twitter.com/@name",
        "https://social.example/@name.surname",
        "user@",
        "@media screen{}",
        "@import url(x.css)",
        "meet me @ noon.",
        "see logo@2x.png.",
        "/img/logo@3x.jpg?v=1",
        "/maps/@48.8583,2.2922,15z",
        "/maps/place/Paris/@48.8583,2.2922,15z",
        "https://t.example/?u=https%3A%2F%2Fmedium.com%2F@name",
        "?text=by%20@name",
        "?id=4012345.html",
        "?a=1&w=40example.org",
        "PlatformProductDetail.jsp?productId=40234",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo=",
        "%40",
        "&commat;",
        "=40",
        "&#" + "9" * 5000 + ";",
    ],
)
def test_what_is_no_address_is_not_taken_for_one(text: str) -> None:
    assert not contains_address(text)
    assert mask_addresses(text) == text


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://anna@example.org/x", False),
        ("https://anna:secret@example.org/x", False),
        ("https://shop.example@other.example/y", False),
        ("https://anna%40example.org@shop.example/", True),
        ("https://anna%40example.org:secret@shop.example/", True),
        ("https://x:anna%40example.org@shop.example/", True),
        ("https://616e6e61406578616d706c652e6f7267.shop.example/", True),
        ("https://616e6e6140.6578616d706c652e6f7267/", True),
        ("https://YW5uYUBleGFtcGxlLm9yZw.shop.example/", True),
        ("https://shop.example/?m=anna%40example.org", True),
        ("https://shop.example/?m=anna=40example.org", True),
        ("https://shop.example/u/anna@example.org/", True),
        ("https://shop.example/#anna@example.org", True),
        ("https://shop.example/@anna", False),
        ("https://shop.example/u/YW5uYUBleGFtcGxlLm9yZw/x", True),
        ("https://shop.example/u/616e6e61406578616d706c652e6f7267", True),
        ("https://t.example/?u=https%3A%2F%2Fshop.example%2F%3Fm%3Danna%2540example.org", True),
    ],
)
def test_before_the_host_the_at_sign_itself_makes_no_address(url: str, expected: bool) -> None:
    assert contains_address_in_url(url) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Offer for anna@example.org, 2nd", "Offer for [address], 2nd"),
        ("Offer", "Offer"),
        ("to:<anna@example.org>;<bert@example.org>", "to:<[address]>;<[address]>"),
        ("id YW5uYUBleGFtcGxlLm9yZw== sent", "id [address] sent"),
        ("x anna%40example.org", "x [address]"),
    ],
)
def test_masking_leaves_the_rest_as_it_was(text: str, expected: str) -> None:
    assert mask_addresses(text) == expected


LOCAL_PARTS = st.one_of(
    st.text(min_size=1, max_size=12),
    st.from_regex(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,12}", fullmatch=True),
    st.sampled_from(["अन्ना", "\U0001f600", '"anna b"', '"anna\\""', "\u034f", "a\u0600", "anna\u207e"]),
)
DOMAINS = st.one_of(
    st.from_regex(r"[a-z0-9_][a-z0-9_.-]{0,12}", fullmatch=True),
    st.text(min_size=1, max_size=8).map(lambda label: f"{label}.example"),
    st.sampled_from(
        ["localhost", "example.123", "उदाहरण.भारत", "ตัวอย่าง.ไทย", "[192.0.2.1]", "[IPv6:::1]", "xn--e1afmkfd"]
    ),
)
SAID_OTHERWISE = re.compile(r"/@|@\d(\.\d)?x\.(png|jpe?g|gif|webp|svg|avif)$|%[0-9A-Fa-f]{2}@", re.IGNORECASE)
"""Accounts behind a slash, pictures, and a local part that ends like a percent-encoded blank."""


@given(LOCAL_PARTS, DOMAINS, st.sampled_from(["", "x ", "?m=", "<"]))
def test_whatever_is_accepted_as_an_address_is_found(local: str, domain: str, before: str) -> None:
    address = f"{local}@{domain}"
    try:
        normalised = normalise(address)
    except InvalidAddress:
        assume(False)
    for one in (address, normalised):
        if SAID_OTHERWISE.search(one):
            continue
        assert contains_address(before + one)
        assert contains_address(before + quote(one, safe=""))
        assert not contains_address(mask_addresses(before + one))
        octets = one.encode()
        if len(octets) >= 8:
            assert contains_address(before + base64.b64encode(octets).decode())
            assert contains_address(before + base64.urlsafe_b64encode(octets).decode().rstrip("="))
            assert contains_address(before + octets.hex())


def test_random_tokens_are_taken_for_no_address() -> None:
    random = Random(7)
    tokens = [random.randbytes(75) for _ in range(1000)]
    assert not any(contains_address(base64.urlsafe_b64encode(token).decode()) for token in tokens)
    assert not any(contains_address(token.hex()) for token in tokens)


def test_a_known_address_is_revealed_by_its_parts() -> None:
    traces = Traces("anna.lindqvist@example.org")
    assert traces.shown(read(["bounce-anna.lindqvist=example.org"]))
    assert not traces.shown(read(["bounce-bert=example.org"]))


SYLLABLES = (
    "@ %40 =40 &#64; &amp; %25 anna example.org .de \uff20 \n / = \\u0040 [address] YW5uYUBleGFtcGxlLm9yZw "
    '616e6e61406578616d706c652e6f7267 " [ ] 127.1 - \u00ad x +AEA- 40 \t'
)
PIECES = st.sampled_from(SYLLABLES.split(" "))


@given(st.one_of(st.lists(PIECES, max_size=20).map("".join), st.text()))
def test_a_masked_text_contains_no_address(text: str) -> None:
    assert not contains_address(mask_addresses(text))


def test_quoted_printable_text_is_read() -> None:
    assert contains_address(quopri.encodestring("für anna@example.org =".encode(), quotetabs=True).decode())


HOSTILE = 'a @ a@ /@ x/@a x/@a.b, %20@a %2F@ a@b. %40 %2540 &#64; &amp; " =40 QA 40 ?a= [ \u0130@ a@1. aA'


@pytest.mark.parametrize("piece", HOSTILE.split(" "))
def test_looking_takes_linear_time(piece: str) -> None:
    text = "x" + piece * (100_000 // len(piece))
    begin = time.process_time()
    contains_address(text)
    assert time.process_time() - begin < 2  # quadratic time would be minutes
