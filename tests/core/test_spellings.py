"""Whatever way an address was written to a disk, one of its spellings stands there."""

from __future__ import annotations

import base64
import hashlib
import urllib.parse
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.core.pseudonym import normalise
from tracker.core.spellings import of_address, of_pseudonyms
from tracker.model import Pseudonym

ADDRESS = "Canary.Person@recipients.example"


def shows(data: bytes, typed: str = ADDRESS) -> bool:
    return any(spelling.octets in data.lower() for spelling in of_address(typed, normalise(typed)))


WRITTEN: dict[str, Callable[[str], bytes]] = {
    "clear": lambda text: text.encode(),
    "percent": lambda text: urllib.parse.quote(text, safe="").encode(),
    "percent twice": lambda text: urllib.parse.quote(urllib.parse.quote(text, safe=""), safe="").encode(),
    "hexadecimal": lambda text: text.encode().hex().upper().encode(),
    "base64": lambda text: base64.b64encode(text.encode()),
    "base64 in a word": lambda text: base64.urlsafe_b64encode(f"id={text}&x".encode()).rstrip(b"="),
    "base32": lambda text: base64.b32encode(f"ab{text}".encode()).lower(),
    "quoted-printable": lambda text: text.replace("@", "=40").encode(),
    "reference": lambda text: text.replace("@", "&#64;").encode(),
    "JSON": lambda text: text.replace("@", "\\u0040").encode(),
    "UTF-16": lambda text: text.encode("utf-16-le"),
    "backwards": lambda text: text[::-1].encode(),
    "SHA-256": lambda text: hashlib.sha256(text.lower().encode()).hexdigest().encode(),
    "MD5 in base64": lambda text: base64.b64encode(hashlib.md5(text.lower().encode()).digest()),
}


@pytest.mark.parametrize("how", list(WRITTEN))
@pytest.mark.parametrize("change", [str, str.lower, str.upper])
def test_every_way_of_writing_is_found(how: str, change: Callable[[str], str]) -> None:
    assert shows(b"before " + WRITTEN[how](change(ADDRESS)) + b" after")


@given(st.binary(max_size=9), st.binary(max_size=9))
def test_base64_and_base32_are_found_wherever_they_begin(before: bytes, after: bytes) -> None:
    inner = before + ADDRESS.lower().encode() + after
    assert shows(base64.b64encode(inner))
    assert shows(base64.urlsafe_b64encode(inner))
    assert shows(base64.b32encode(inner))


def test_a_domain_is_found_in_letters_and_in_its_ascii_form() -> None:
    for typed in ("anna@müller.example", "anna@xn--mller-kva.example"):
        assert shows("x anna@müller.example y".encode(), typed)
        assert shows(b"x anna@xn--mller-kva.example y", typed)


@pytest.mark.parametrize("other", ["canary.persona@recipients.example", "canary.person@recipients.test", ""])
def test_another_address_is_none(other: str) -> None:
    assert not shows(f"x {other.replace('canary.persona', 'other')} y".encode())


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=6))
def test_a_code_is_found_as_it_is_stored_and_encoded(code: bytes, before: bytes) -> None:
    spellings = of_pseudonyms([Pseudonym(b"?" * 32), Pseudonym(code)])
    for data in (before + code, code.hex().encode(), base64.b64encode(before + code), base64.b32encode(code)):
        assert any(spelling.octets in data.lower() for spelling in spellings)
