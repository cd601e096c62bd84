"""One known address is recognised however it is taken apart, and others are not mistaken for it."""

from __future__ import annotations

import base64
import hashlib
import time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.core.pseudonym import normalise
from tracker.core.traces import Traces, read

ANNA = "anna.lindqvist@example.org"


def shown(text: str, address: str = ANNA) -> bool:
    return Traces(normalise(address)).shown(read([text]))


def digests(address: str) -> list[bytes]:
    return [make(address.encode()).digest() for make in (hashlib.md5, hashlib.sha1, hashlib.sha256, hashlib.sha512)]


@pytest.mark.parametrize(
    "text",
    [
        ANNA,
        quote(ANNA, safe=""),
        "Anna.Lindqvist=Example.org",
        "bounce+anna.lindqvist=example.org@lists.example",
        "anna.lindqvist.at.example.org",
        "anna.lindqvist (at) example.org",
        "anna lindqvist at example dot org",
        "anna_lindqvist_example_org",
        "/anna.lindqvist/example.org",
        "?user=anna.lindqvist&domain=example.org",
        "https://anna.lindqvist.example.org/",
        "https://example.org/u/anna.lindqvist",
        ANNA[::-1],
        base64.b32encode(ANNA.encode()).decode(),
        base64.b32encode(ANNA.encode()).decode().lower().rstrip("="),
        base64.b64encode(b"anna.lindqvist=example.org").decode(),
        b"anna.lindqvist=example.org".hex(),
        base64.b64encode(ANNA[::-1].encode()).decode(),
        base64.b64encode(b"anna.lindqvist=example.org".hex().encode()).decode(),
    ],
)
def test_an_address_is_recognised_taken_apart_and_encoded(text: str) -> None:
    assert shown(text)
    assert shown(f"https://t.example/c/{text}/x")


@pytest.mark.parametrize("digest", [*digests(ANNA), *digests(ANNA.upper())])
def test_digests_are_recognised_in_every_usual_writing(digest: bytes) -> None:
    for written in (digest.hex(), digest.hex().upper(), digest.hex()[:20], base64.b32encode(digest).decode()):
        assert shown(f"/avatar/{written}?s=80")
    assert shown("?h=" + base64.b64encode(digest).decode())
    assert shown("?h=" + base64.urlsafe_b64encode(digest).decode().rstrip("="))
    assert shown("?h=" + quote(base64.b64encode(digest).decode(), safe=""))


def test_domains_are_known_in_both_their_forms() -> None:
    assert shown("anna=bücher.example", "anna@bücher.example")
    assert shown("anna=xn--bcher-kva.example", "anna@bücher.example")
    assert shown("अन्ना=उदाहरण.भारत", "अन्ना@उदाहरण.भारत")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("", ANNA),
        ("https://example.org/offers", ANNA),
        ("https://shop.example/anna.lindqvist", ANNA),
        ("https://shop.example/", "shop@shop.example"),
        ("bert=example.org", ANNA),
        ("anna.lindqvist" + "-" * 40 + "x" * 40 + "example.org", ANNA),
        ("https://a.example.org/news", "a@example.org"),
        (hashlib.sha256(b"bert@example.org").hexdigest(), ANNA),
    ],
)
def test_what_names_somebody_else_or_nobody_is_not_taken_for_it(text: str, address: str) -> None:
    assert not shown(text, address)


def test_a_short_local_part_counts_only_beside_its_domain() -> None:
    assert shown("al=example.org", "al@example.org")
    assert shown("?m=al%40example.org", "al@example.org")
    assert not shown("https://example.org/all/al-x", "al@example.org")
    assert not shown("signal=example.org", "al@example.org")


def test_what_is_read_together_shows_what_each_text_shows_and_no_more() -> None:
    assert not Traces(ANNA).shown(read(["anna.lindqvist", "example.org"]))
    assert Traces(ANNA).shown(read(["anna.lindqvist", "example.org", ANNA]))


@given(st.text(max_size=100))
def test_any_text_can_be_read(text: str) -> None:
    Traces(ANNA).shown(read([text]))
    assert Traces(ANNA).shown(read([f"{text} {ANNA} {text}"]))


@pytest.mark.parametrize("piece", ["a", "A", "example.org", "anna.lindqvist", "YW5u", "616e", "MFXG4YJO", "%25", "ü"])
def test_reading_takes_linear_time(piece: str) -> None:
    text = piece * (50_000 // len(piece))
    begin = time.process_time()
    Traces(ANNA).shown(read([text]))
    assert time.process_time() - begin < 4  # quadratic time would be minutes
