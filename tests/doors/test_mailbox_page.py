"""The mailbox is the proof: every address gets the same answer, looking spends nothing and shows nothing."""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path

import pytest

from tests.doors.session_fakes import ANNA, agree, form_key, people
from tests.flows.conftest import locked
from tracker.core.mailbox import VALID


async def test_the_form_asks_for_the_address_in_the_readers_language(tmp_path: Path) -> None:
    async with people(tmp_path) as door:
        page = await door.get("/privacy?lang=it", accept_language="de")
    assert page.status == 200
    assert '<html lang="it">' in page.text
    assert '<form class="act" method="post" action="/privacy?lang=it" novalidate>' in page.text
    assert '<label for="address">' in page.text
    assert 'type="email" autocomplete="email"' in page.text


async def test_r49_known_and_unknown_addresses_get_the_same_answer(tmp_path: Path) -> None:
    """R49: to the octet, also when the day's three mails are used up."""
    async with people(tmp_path) as door:
        await agree(door)
        answers = [
            await door.post("/privacy", ("address", address))
            for address in (ANNA, "nobody@example.org", *[ANNA] * 3, "  nobody@example.org ")
        ]
    assert len({answer.without_date for answer in answers}) == 1
    assert answers[0].status == 200
    assert [letter.address for letter in door.letters].count(ANNA) == 3
    assert ANNA not in answers[0].text


@pytest.mark.parametrize("address", ["", "bertha", "a@b, c@d", "bertha@example.org\nBcc: x@y.example"])
async def test_what_is_no_address_is_said_and_not_quoted(tmp_path: Path, address: str) -> None:
    async with people(tmp_path) as door:
        answer = await door.post("/privacy", ("address", address), accept_language="en")
    assert answer.status == 422
    assert "That is not an e-mail address." in answer.text
    assert 'aria-invalid="true" aria-describedby="problem"' in answer.text
    assert not address or address not in answer.text
    assert not door.letters


async def test_without_a_next_hop_the_page_names_the_contact(tmp_path: Path) -> None:
    async with people(tmp_path, mails=False) as door:
        page = await door.get("/privacy")
        answer = await door.post("/privacy", ("address", ANNA))
    assert page.without_date == answer.without_date
    assert "<form" not in page.text
    assert page.text.count("mailto:privacy@example.com") == 2


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_r49_looking_at_a_link_spends_and_shows_nothing(tmp_path: Path, method: str) -> None:
    """R49, R5: scanners follow it as often as they like; the button still works for the person."""
    async with people(tmp_path) as door:
        await agree(door)
        link = await door.link()
        for path in (link, f"{link}/", f"{link}?x=1"):
            page = await door.get(path, method=method)
            assert page.status == 200
            assert page.header("Set-Cookie") is None
            assert "until" not in page.text
        assert (await door.post(link)).status == 303


async def test_the_button_opens_a_session_once(tmp_path: Path) -> None:
    """R58: a cookie of this host alone, that no script and no other site can use."""
    async with people(tmp_path) as door:
        link = await door.link()
        answer = await door.post(f"{link}?lang=fr")
        again = await door.post(link, accept_language="en")
    assert (answer.status, answer.header("Location")) == (303, "/me?lang=fr")
    name, *attributes = (answer.header("Set-Cookie") or "").split("; ")
    assert name.startswith("__Host-session=")
    assert set(attributes) == {"HttpOnly", "Max-Age=900", "Path=/", "SameSite=Strict", "Secure"}
    assert (again.status, again.header("Set-Cookie")) == (410, None)
    assert "This link is not valid any more" in again.text


async def test_on_loopback_without_https_the_cookie_is_a_plain_one(tmp_path: Path) -> None:
    async with people(tmp_path, public_url="http://127.0.0.1:8080") as door:
        answer = await door.post(await door.link())
    cookie = answer.header("Set-Cookie") or ""
    assert cookie.startswith("session=")
    assert "Secure" not in cookie
    assert "HttpOnly" in cookie


async def test_a_link_is_over_after_a_quarter_of_an_hour(tmp_path: Path) -> None:
    async with people(tmp_path) as door:
        link = await door.link()
        door.now += VALID
        for answer in (await door.get(link), await door.post(link)):
            assert (answer.status, answer.header("Set-Cookie")) == (410, None)


@pytest.mark.parametrize("token", ["x", "A" * 92, "%41" * 30, "anna@example.org", "%C3%A4" * 16])
async def test_what_is_no_token_opens_nothing(tmp_path: Path, token: str) -> None:
    async with people(tmp_path) as door:
        for method in ("GET", "POST"):
            answer = await door.get(f"/me/{token}", method=method)
            assert answer.status == 410
            assert "anna@" not in answer.text


async def test_while_the_store_is_away_nothing_is_mailed_and_no_link_is_spent(tmp_path: Path) -> None:
    async with people(tmp_path) as door:
        link = await door.link()
        with locked(tmp_path):
            assert (await door.get(link)).status == 200
            assert (await door.post(link)).status == 503
            assert (await door.post("/privacy", ("address", "bert@example.org"))).status == 503
        assert (await door.post(link)).status == 303
    assert len(door.letters) == 1


async def test_no_log_line_names_address_token_or_cookie(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """R62: route templates only."""
    caplog.set_level(logging.DEBUG)
    async with people(tmp_path) as door:
        await agree(door)
        page = await door.sign_in()
        await door.post("/me/erase", form_key(page))
        door.now += timedelta(hours=1)
        await door.get("/me")
        secrets = [ANNA, door.letters[0].url.rpartition("/")[2], door.cookie.partition("=")[2]]
    logged = "\n".join(str(record.__dict__) for record in caplog.records if record.name != "asyncio")
    assert "POST /me/{token} 303" in logged
    for secret in secrets:
        assert secret not in logged
