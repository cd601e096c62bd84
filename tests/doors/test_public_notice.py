"""What the public listener tells everybody: the privacy notice, whom to tell of a hole, the key of receipts."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from tests.doors.disclosed import TOLD
from tests.doors.public_fakes import NOW, PUBLIC_KEY, public_door

FILES = ("/robots.txt", "/.well-known/security.txt", "/.well-known/consent-receipt-key")


@pytest.mark.parametrize(
    ("accept", "heading"),
    [("de", "Datenschutzhinweis"), ("en", "Privacy notice"), ("fr", "Avis de confidentialité"), ("it", "Informativa")],
)
async def test_the_notice_is_shown_in_the_readers_language(accept: str, heading: str) -> None:
    async with public_door(told=TOLD) as door:
        answer = await door.wire.get("/notice", accept_language=accept)
        chosen = await door.wire.get(f"/notice/?lang={accept}")
    assert (answer.status, answer.header("Content-Language")) == (200, accept)
    assert f"<h1>{heading}" in answer.text
    assert chosen.text == answer.text


async def test_a_notice_with_gaps_is_not_shown_and_the_page_says_whom_to_ask() -> None:
    async with public_door() as door:
        answer = await door.wire.get("/notice", accept_language="en")
    assert answer.status == 503
    assert "The privacy notice is not complete yet" in answer.text
    assert "privacy@example.com" in answer.text
    assert "not set" not in answer.text
    assert ("/notice", "GET", 503) in door.answered


async def test_security_txt_names_a_contact_and_a_day_that_is_yet_to_come() -> None:
    """R67: RFC 9116, Contact and a future Expires, less than a year ahead."""
    async with public_door() as door:
        answer = await door.wire.get("/.well-known/security.txt")
    assert answer.status == 200
    assert answer.header("Content-Type") == "text/plain; charset=utf-8"
    fields = [line.partition(": ") for line in answer.text.splitlines()]
    assert all(re.fullmatch(r"[A-Z][A-Za-z-]*", name) and value for name, _, value in fields)
    values = {name: value for name, _, value in fields}
    assert len(values) == len(fields)
    assert values["Contact"] == "mailto:privacy@example.com"
    expires = datetime.strptime(values["Expires"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert timedelta(0) < expires - NOW < timedelta(days=365)
    assert values["Canonical"] == "https://t.example.com/.well-known/security.txt"
    assert set(values["Preferred-Languages"].split(", ")) == {"de", "en", "fr", "it"}


async def test_the_key_of_receipts_is_published() -> None:
    async with public_door() as door:
        answer = await door.wire.get("/.well-known/consent-receipt-key")
    assert (answer.status, answer.text) == (200, PUBLIC_KEY)


@pytest.mark.parametrize("path", FILES)
async def test_the_files_answer_head_refuse_post_and_set_no_cookie(path: str) -> None:
    async with public_door() as door:
        shown = await door.wire.get(path)
        head = await door.wire.get(path, method="HEAD")
        posted = await door.wire.post(path)
        changed = await door.wire.get(path.replace(".", "x", 1))
    assert (shown.status, head.status, posted.status, changed.status) == (200, 200, 405, 404)
    assert not head.body
    assert shown.header("Set-Cookie") is None
    assert shown.header("X-Content-Type-Options") == "nosniff"
