"""A link leads exactly where its author pointed, or nowhere."""

from __future__ import annotations

import logging

import pytest

from tests.doors.public_fakes import DELIVERY, TARGET, public_door

LINK = f"/c/{DELIVERY}/part.mac/shop.example.com/"


@pytest.mark.parametrize(
    "path", [LINK, LINK[:-1], LINK + "?utm=1&url=https://evil.example", f"http://t.example.com{LINK}"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_link_leads_to_the_signed_target_byte_for_byte(path: str, method: str) -> None:
    """R30, R32: the token sits in the path, and nothing behind a question mark matters."""
    async with public_door() as door:
        answer = await door.wire.get(path, method=method)
    assert answer.status == 302
    assert answer.header("Location") == TARGET
    assert answer.body == b""
    assert door.hits.clicks[0][3].method == method


async def test_a_redirect_is_not_kept_and_tells_nobody_where_it_came_from() -> None:
    async with public_door() as door:
        answer = await door.wire.get(LINK)
    assert {name: value for name, value in answer.headers if name not in {"Date", "Connection"}} == {
        "Location": TARGET,
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Strict-Transport-Security": "max-age=31536000",
        "Server": "tracker",
        "Content-Length": "0",
    }


@pytest.mark.parametrize(
    "path",
    [
        f"/c/{DELIVERY}x/part.mac/shop.example.com/",
        f"/c/{DELIVERY}/part.mad/shop.example.com/",
        f"/c/{DELIVERY}/part.mac/evil.example/",
        f"/c/{DELIVERY}/part%2Emac/shop.example.com/",
        f"/c/{DELIVERY}/part.mac/SHOP.example.com/",
        f"/c/{DELIVERY}/part.mac/shop.example.com//",
        f"/c/{DELIVERY}/part.mac/shop.example.com/x",
        f"/c/{DELIVERY}/part.mac/shop.example.com%0d%0aX:y/",
        f"/c/{DELIVERY}/part.mac/sh%c3%b6p.example.com/",
        f"/c/{DELIVERY}/part.mac",
        f"/c/{DELIVERY}//shop.example.com/",
        f"//c/{DELIVERY}/part.mac/shop.example.com/",
        "/c/",
    ],
)
async def test_anything_altered_gets_a_page_and_no_redirect(path: str) -> None:
    async with public_door() as door:
        answer = await door.wire.get(path)
    assert answer.status == 404
    assert answer.header("Location") is None
    assert answer.header("Content-Type") == "text/html; charset=utf-8"
    assert "part" not in answer.text
    assert "evil" not in answer.text


async def test_an_altered_link_says_what_to_do_in_the_readers_language() -> None:
    async with public_door() as door:
        answer = await door.wire.get("/c/x/y/z/", accept_language="it, de;q=0.5")
    assert "Questo link non è nostro" in answer.text
    assert answer.header("Content-Language") == "it"


async def test_a_link_of_a_retired_key_shows_its_destination_and_asks() -> None:
    async with public_door() as door:
        door.hits.ask = True
        answer = await door.wire.get(LINK)
    assert answer.status == 200
    assert answer.header("Location") is None
    escaped = TARGET.replace("&", "&amp;")
    assert f'<a class="go" href="{escaped}" rel="noreferrer nofollow">' in answer.text
    assert f'<p class="where">{escaped}</p>' in answer.text


async def test_neither_token_nor_target_nor_peer_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """R62: canaries in every place of a request."""
    caplog.set_level(logging.DEBUG)
    async with public_door() as door:
        await door.wire.get(LINK)
        await door.wire.get("/c/anna@example.org/x/y/")
        await door.wire.get("/anna@example.org?anna@example.org", user_agent="anna@example.org")
    logged = "\n".join(str(record.__dict__) for record in caplog.records if record.name != "asyncio")
    for secret in (DELIVERY, "part.mac", "shop.example.com", "anna@example.org", "127.0.0.77"):
        assert secret not in logged


async def test_search_engines_are_asked_to_stay_away() -> None:
    async with public_door() as door:
        answer = await door.wire.get("/robots.txt")
    assert answer.text == "User-agent: *\nDisallow: /\n"


@pytest.mark.parametrize("path", ["/", "/privacy", "/favicon.ico", "/admin", "/%2e%2e/"])
async def test_what_is_not_here_is_a_page_too(path: str) -> None:
    async with public_door() as door:
        answer = await door.wire.get(path)
    assert answer.status == 404
    assert "<h1>There is nothing here</h1>" in answer.text
