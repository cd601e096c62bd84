"""A text is checked before anybody can agree to it."""

from __future__ import annotations

import pytest

from tracker.core.notice_text import LONGEST, checked_text, checked_version, kept_longer
from tracker.model import BadNotice

CONTROLLER = "Müller & Söhne GmbH"


@pytest.mark.parametrize(
    "octets",
    [
        "Müller & Söhne GmbH fragt:\n\t[ ] Öffnungen\r\n".encode(),
        b"\xef\xbb\xbf" + "Es fragt die MÜLLER &\nSöhne GmbH.".encode(),
    ],
)
def test_a_text_that_names_the_controller_can_be_used(octets: bytes) -> None:
    assert checked_text(octets, CONTROLLER) == octets.decode("utf-8-sig")


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (b"", "empty"),
        (b" \n\t ", "empty"),
        ("Müller & Söhne GmbH".encode("latin-1"), "UTF-8"),
        ("Müller & Söhne GmbH\0".encode(), "printed"),
        ("Müller & Söhne GmbH \u202e".encode(), "printed"),
        (b"Somebody asks", "controller"),
        (f"{CONTROLLER}{'x' * LONGEST}".encode(), "longer"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(octets: bytes, why: str) -> None:
    with pytest.raises(BadNotice) as caught:
        checked_text(octets, CONTROLLER)
    assert why in caught.value.detail


@pytest.mark.parametrize("version", ["2026-1", "2027-1.b", "v", "x" * 32])
def test_a_version_is_a_short_name(version: str) -> None:
    assert checked_version(version) == version


@pytest.mark.parametrize("version", ["", "-1", "a b", "ü", "x" * 33, "a\n", "anna@example.org"])
def test_what_is_no_version_is_refused(version: str) -> None:
    with pytest.raises(BadNotice):
        checked_version(version)


@pytest.mark.parametrize(
    ("text", "ours", "longer"),
    [
        ("kept 90 days, proof 1095", "kept 90 days, proof 1095", None),
        ("kept 90 days, proof 1095", "kept 91 days, proof 1095", (90, 91)),
        ("kept 90 days, proof 1095", "kept 31 days, proof 1096", (1095, 1096)),
        ("kept 90 days, proof 1095", "kept 31 days, proof 1000", None),
        ("kept three months", "kept 91 days", None),
        ("other words\nkept 90 days\n1 more", "words\nkept 91 days\n2 others", (90, 91)),
        ("other words\nkept 91 days\n1 more", "words\nkept 90 days\n2 others", None),
        ("see https://t.example:8080/ 90 days", "see https://t.example:9999/x 90 days", None),
    ],
)
def test_a_period_that_grew_is_found_in_a_text_of_ours(text: str, ours: str, longer: tuple[int, int] | None) -> None:
    assert kept_longer(text, ours) == longer
