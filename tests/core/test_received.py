"""The line on top of a message: who took it, how and when; nobody who sent or gets it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tracker.core.received import protocol_of, received_line


def test_the_line_names_no_person_and_no_client() -> None:
    at = datetime(2026, 11, 28, 9, 5, 7, 123, tzinfo=UTC)
    expected = b"Received: by t.example with ESMTPS;\r\n\tSat, 28 Nov 2026 09:05:07 +0000\r\n"
    assert received_line("t.example", "ESMTPS", at) == expected


@pytest.mark.parametrize(
    ("extended", "tls", "login", "utf8", "name"),
    [
        (False, False, False, False, "SMTP"),
        (True, False, False, False, "ESMTP"),
        (True, True, True, False, "ESMTPSA"),
        (True, False, True, True, "UTF8SMTPA"),
    ],
)
def test_protocols_are_named_as_registered(extended: bool, tls: bool, login: bool, utf8: bool, name: str) -> None:
    assert protocol_of(extended=extended, tls=tls, login=login, utf8=utf8) == name
