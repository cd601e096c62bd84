"""Paths in figures tell which page it was, and no secret."""

from __future__ import annotations

import base64
from random import Random
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.core.address import contains_address
from tracker.core.masking import masked_path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/sale",
        "/products/the-10-best-ways-to-cook-2024.html",
        "/PlatformProductDetail.jsp",
        "/wiki/Special:FundraiserRedirector",
        "/Donaudampfschifffahrt/",
        "/p/4006381333931",
        "/2024/07/15/some-long-name-of-an-article",
        "/iPhone-15-Pro-Max-256GB-2nd-Gen",
        "/caf%C3%A9/men%C3%BC",
        "/forms9icstowebmigration.pdf",
        "/@name",
        "/a//b/./../c",
    ],
)
def test_paths_that_people_would_say_stay(path: str) -> None:
    assert masked_path(path) == path


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/reset/3f2b8c1d-9a7e-4c55-8f10-2b6f0a9d1e34", "/reset/..."),
        ("/reset/9f86d081884c7d65", "/reset/..."),
        ("/reset/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI3In0.Zm9vYmFyYmF6cXV4/done", "/reset/.../done"),
        ("/login/aB3dE5gH7jK9mN", "/login/..."),
        ("/u/12345678901234567890", "/u/..."),
        ("/trying-to-make-sense-53c15151063a", "/trying-to-make-sense-..."),
        ("/qwrtzpsdfghjklmnb/x", "/.../x"),
        ("/u/anna@example.org/x", "/u/.../x"),
        ("/u/anna%40example.org", "/u/..."),
        ("/u/YW5uYUBleGFtcGxlLm9yZw", "/u/..."),
        ("/u/anna%2540example.org/x", "/u/.../x"),
        ("/u/a%40b.de", "/u/..."),
    ],
)
def test_secrets_and_addresses_are_masked(path: str, expected: str) -> None:
    assert masked_path(path) == expected


@pytest.mark.parametrize("size", [16, 20, 32, 64])
def test_random_tokens_are_masked_in_every_usual_writing(size: int) -> None:
    random, seen = Random(size), 0
    for _ in range(1000):
        octets = random.randbytes(size)
        seen += _base64(octets) in masked_path(f"/reset/{_base64(octets)}/")
        for token in (octets.hex(), octets.hex().upper(), str(UUID(bytes=octets[:16]))):
            assert token not in masked_path(f"/reset/{token}/")
    assert seen <= 10  # now and then one reads like words


def _base64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


@given(st.text("abcXYZ019_-./@%4", max_size=60))
def test_no_address_gets_through(path: str) -> None:
    assert not contains_address(masked_path("/" + path))
