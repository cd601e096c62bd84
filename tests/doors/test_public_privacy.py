"""The recipient's page: GET shows, POST withdraws."""

from __future__ import annotations

import logging
import re

import pytest

from tests.doors.public_fakes import NOW, STOP, public_door
from tracker.doors.forms import LARGEST_FORM
from tracker.model import MAIL_PURPOSES, Purpose

PAGE = f"/privacy/{STOP}"
WITHDRAW = f"{PAGE}/withdraw"
URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=----x"
ONE_CLICK = b'------x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n------x--\r\n'
OPENS_ONLY = b'------x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nopen\r\n------x--\r\n'


async def test_r9_the_page_has_a_button_for_everything_and_one_for_each_purpose() -> None:
    """R9: one press, no login, no question."""
    async with public_door() as door:
        answer = await door.wire.get(PAGE, accept_language="en")
    assert answer.status == 200
    forms = answer.text.split("<form")[1:]
    assert [form.count("<button") for form in forms] == [1, 1, 1]
    assert all(f'method="post" action="{WITHDRAW}">' in form for form in forms)
    assert [re.findall(r'<input type="hidden" name="(.*?)" value="(.*?)">', form) for form in forms] == [
        [], [("purpose", "open")], [("purpose", "click")],
    ]  # fmt: skip
    assert answer.text.count("<input") == 2


async def test_r47_the_page_leads_to_seeing_asking_and_the_notice() -> None:
    """R47: and says in general what is stored, who sees it, when it goes, and that a forwarded mail reaches others."""
    async with public_door() as door:
        answer = await door.wire.get(f"{PAGE}?lang=en")
    for path in ("/privacy?lang=en", "/ask?lang=en", "/notice?lang=en"):
        assert f'href="{path}"' in answer.text
    for heading in ("What is stored", "who sees it", "How long it is kept", "If the message was forwarded to you"):
        assert heading in answer.text


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "path", [PAGE, f"{PAGE}/", f"{PAGE}?purpose=open", WITHDRAW, f"{WITHDRAW}?List-Unsubscribe=One-Click"]
)
async def test_looking_changes_nothing_and_needs_no_store(path: str, method: str) -> None:
    """R5: GET and HEAD never withdraw."""
    async with public_door() as door:
        door.consents.away = True
        answer = await door.wire.get(path, method=method)
    assert answer.status == 200
    assert not door.consents.withdrawn


@pytest.mark.parametrize(
    ("accept", "language"), [("de", "de"), ("en-GB", "en"), ("fr", "fr"), ("it", "it"), ("nl", "de"), ("", "de")]
)
async def test_the_page_speaks_the_readers_language_or_that_of_the_message(accept: str, language: str) -> None:
    async with public_door() as door:
        answer = await door.wire.get(PAGE, accept_language=accept)
    assert answer.header("Content-Language") == language
    assert f'<html lang="{language}">' in answer.text


async def test_a_language_chosen_on_the_page_is_kept_for_the_answer() -> None:
    async with public_door() as door:
        page = await door.wire.get(f"{PAGE}?lang=fr", accept_language="de")
        answer = await door.wire.post(f"{WITHDRAW}?lang=fr", accept_language="de")
    assert f'action="{WITHDRAW}?lang=fr"' in page.text
    assert "Votre consentement est retiré" in answer.text


@pytest.mark.parametrize(
    ("body", "content_type", "purposes"),
    [
        (b"", "", MAIL_PURPOSES),
        (b"", URLENCODED, MAIL_PURPOSES),
        (b"List-Unsubscribe=One-Click", URLENCODED, MAIL_PURPOSES),
        (b"List-Unsubscribe=One-Click\r\n", f"{URLENCODED}; charset=utf-8", MAIL_PURPOSES),
        (ONE_CLICK, MULTIPART, MAIL_PURPOSES),
        (ONE_CLICK, 'Multipart/Form-Data; Boundary="----x"', MAIL_PURPOSES),
        (OPENS_ONLY, MULTIPART, {Purpose.OPEN}),
        (b"purpose=open", URLENCODED, {Purpose.OPEN}),
        (b"purpose=click", URLENCODED, {Purpose.CLICK}),
        (b"purpose=click&purpose=open", URLENCODED, MAIL_PURPOSES),
        (b"List-Unsubscribe=One-Click", "text/plain", MAIL_PURPOSES),
        (b"broken", "multipart/form-data", MAIL_PURPOSES),
        (b"------x\r\nbroken", MULTIPART, MAIL_PURPOSES),
        (b"\xff\xfe=%zz", URLENCODED, MAIL_PURPOSES),
    ],
)
async def test_the_post_is_the_no_and_its_body_can_only_narrow_it(
    body: bytes, content_type: str, purposes: frozenset[Purpose]
) -> None:
    """R65: urlencoded or multipart, without cookies, 200 and no redirect."""
    async with public_door() as door:
        answer = await door.wire.post(WITHDRAW, body, content_type=content_type)
    assert door.consents.withdrawn == [(purposes, NOW)]
    assert answer.status == 200
    assert answer.header("Location") is None
    assert answer.header("Set-Cookie") is None


async def test_withdrawing_again_shows_the_same_page() -> None:
    async with public_door() as door:
        first = await door.wire.post(WITHDRAW)
        second = await door.wire.post(WITHDRAW)
    assert first.without_date == second.without_date


async def test_chunked_forms_are_read_too() -> None:
    body = b"POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n" % WITHDRAW.encode()
    body += b"Content-Type: %s\r\n\r\n7\r\npurpose\r\n5\r\n=open\r\n0\r\n\r\n" % URLENCODED.encode()
    async with public_door() as door:
        answer = await door.wire.send(body)
    assert answer.status == 200
    assert door.consents.withdrawn == [(frozenset({Purpose.OPEN}), NOW)]


@pytest.mark.parametrize(("body", "again"), [(b"", b""), (b"purpose=click", b'name="purpose" value="click"')])
async def test_what_could_not_be_recorded_is_said_and_can_be_tried_again(body: bytes, again: bytes) -> None:
    async with public_door() as door:
        door.consents.away = True
        answer = await door.wire.post(WITHDRAW, body, content_type=URLENCODED, accept_language="en")
    assert answer.status == 503
    assert "could not be recorded" in answer.text
    assert "withdrawn" not in answer.text
    assert answer.header("Retry-After") == "120"
    assert f'action="{WITHDRAW}"' in answer.text
    assert again in answer.body
    assert (b"<input" in answer.body) == bool(again)


@pytest.mark.parametrize("purpose", ["phone", "all", "", "anna@example.org"])
async def test_a_purpose_that_is_none_narrows_nothing_and_is_not_quoted(
    purpose: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with public_door() as door:
        answer = await door.wire.post(WITHDRAW, f"purpose={purpose}".encode(), content_type=URLENCODED)
    assert answer.status == 200
    assert [purposes for purposes, _ in door.consents.withdrawn] == [MAIL_PURPOSES]
    assert "anna@" not in answer.text + caplog.text


@pytest.mark.parametrize(
    "token", [STOP[:-1], STOP + "x", STOP.upper(), "%41" + STOP[1:], "%c3%a4" * 28, "x", "anna@example.org"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_token_that_is_not_one_gets_the_404_page(token: str, method: str) -> None:
    async with public_door() as door:
        path = f"/privacy/{token}" + ("/withdraw" if method == "POST" else "")
        answer = await door.wire.get(path, method=method)
    assert answer.status == 404
    assert not door.consents.withdrawn
    assert "This link is not one of ours" in answer.text
    assert "anna@" not in answer.text


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_other_methods_are_refused_by_name(method: str) -> None:
    async with public_door() as door:
        page = await door.wire.get(PAGE, method=method)
        withdraw = await door.wire.get(WITHDRAW, method=method)
    assert (page.status, page.header("Allow")) == (405, "GET, HEAD")
    assert (withdraw.status, withdraw.header("Allow")) == (405, "GET, HEAD, POST")
    assert not door.consents.withdrawn


async def test_a_body_over_the_limit_is_refused_declared_or_not() -> None:
    async with public_door() as door:
        declared = await door.wire.post(WITHDRAW, bytes(LARGEST_FORM + 1))
        chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (LARGEST_FORM + 1, bytes(LARGEST_FORM + 1))
        start = f"POST {WITHDRAW} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        chunked = await door.wire.send(start.encode() + chunk)
    assert (declared.status, chunked.status) == (413, 413)
    assert "That is more than this page takes" in declared.text
    assert not door.consents.withdrawn


async def test_a_form_that_cannot_be_read_is_still_a_no() -> None:
    async with public_door() as door:
        answer = await door.wire.post(WITHDRAW, b"&".join([b"a=b"] * 50), content_type=URLENCODED)
    assert answer.status == 200
    assert [purposes for purposes, _ in door.consents.withdrawn] == [MAIL_PURPOSES]


async def test_every_page_keeps_to_itself() -> None:
    """R37, R59: no cookie, no store, no referrer, no script, no frame."""
    async with public_door() as door:
        answers = [
            await door.wire.get(PAGE),
            await door.wire.post(WITHDRAW),
            await door.wire.get("/nowhere"),
            await door.wire.get("/c/x/y/z"),
            await door.wire.get(PAGE, method="PUT"),
        ]
    for answer in answers:
        assert answer.header("Set-Cookie") is None
        assert answer.header("Cache-Control") == "no-store"
        assert answer.header("Referrer-Policy") == "no-referrer"
        assert answer.header("X-Robots-Tag") == "noindex, nofollow"
        assert answer.header("Strict-Transport-Security") == "max-age=31536000"
        policy = answer.header("Content-Security-Policy") or ""
        assert policy.startswith("default-src 'none'; ")
        assert "unsafe" not in policy


async def test_the_log_of_a_withdrawal_names_nobody(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with public_door() as door:
        await door.wire.post(f"{WITHDRAW}?x=anna@example.org", b"anna@example.org", content_type="text/plain")
    (line,) = (record.getMessage() for record in caplog.records if record.name == "tracker.access")
    assert line.startswith("POST /privacy/{token}/withdraw 200 ")
    logged = "\n".join(str(record.__dict__) for record in caplog.records if record.name != "asyncio")
    for secret in (STOP, "anna@example.org", "127.0.0.77"):
        assert secret not in logged
