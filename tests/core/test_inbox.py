"""Spellings that arrive in one mailbox count as one address where we mail ourselves."""

from __future__ import annotations

import pytest

from tracker.core.inbox import inbox_of


@pytest.mark.parametrize(
    ("address", "inbox"),
    [
        ("anna@example.org", "anna@example.org"),
        ("anna+news@example.org", "anna@example.org"),
        ("a.n.n.a@example.org", "anna@example.org"),
        ("a.nna+x+y.z@mail.example.org", "anna@mail.example.org"),
        ("anna-lena@example.org", "anna-lena@example.org"),
        ("+anna@example.org", "+anna@example.org"),
        ('"a.b+c d"@example.org', '"a.b+c d"@example.org'),
    ],
)
def test_an_inbox_has_no_tags_and_no_dots(address: str, inbox: str) -> None:
    assert inbox_of(address) == inbox
