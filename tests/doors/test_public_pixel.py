"""The pixel: the same answer for everybody and every path."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.doors.public_fakes import DELIVERY, NOW, public_door
from tests.doors.wire import head
from tracker.doors.hits import PIXEL
from tracker.doors.raw_routes import path_of

PATHS = (
    f"/o/{DELIVERY}.gif",
    f"/o/{DELIVERY}.gif?x=1",
    "/o/altered.gif",
    "/o/",
    "/o/a/b/c.gif",
    "/o/../privacy",
    "/o/%0a%00%ff.gif",
    "/o/%2e%2e%2f",
    "/o/.gif",
    f"/o/{DELIVERY}",
    "/o/%c3%a4.gif",
    "http://t.example.com/o/x.gif",
)


async def test_every_path_gets_the_same_image_and_the_same_headers() -> None:
    """R33, R37: byte for byte; no cookie, no store."""
    async with public_door() as door:
        answers = {(await door.wire.get(path)).without_date for path in PATHS}
    ((status, headers, body),) = answers
    assert status == 200
    assert body == PIXEL
    assert dict(headers) == {
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Strict-Transport-Security": "max-age=31536000",
        "Content-Type": "image/gif",
        "Server": "tracker",
        "Content-Length": str(len(PIXEL)),
        "Connection": "close",
    }


def test_the_image_is_one_transparent_pixel() -> None:
    assert PIXEL.startswith(b"GIF89a\x01\x00\x01\x00")
    assert b"!\xf9\x04\x01" in PIXEL  # graphic control extension with the transparency flag
    assert PIXEL.endswith(b";")


async def test_a_hit_reaches_the_flow_with_what_tells_agents_apart() -> None:
    async with public_door() as door:
        await door.wire.get(f"/o/{DELIVERY}.gif", user_agent="Mail/1", Sec_GPC="1")
    ((token, hit),) = door.hits.opens
    assert token == DELIVERY
    assert (hit.method, hit.peer, hit.at) == ("GET", "127.0.0.77", NOW)
    assert hit.headers["user-agent"] == "Mail/1"
    assert hit.headers["sec-gpc"] == "1"


async def test_a_field_sent_twice_is_not_the_same_as_once() -> None:
    """R38: a duplicate of the signal is not exactly 1."""
    request = head("GET", f"/o/{DELIVERY}.gif", sec_gpc="1").replace(b"sec-gpc: 1", b"sec-gpc: 1\r\nSec-GPC: 1")
    async with public_door() as door:
        await door.wire.send(request)
    assert door.hits.opens[0][1].headers["sec-gpc"] == "1, 1"


async def test_head_is_answered_without_a_body_and_the_flow_is_told_the_method() -> None:
    async with public_door() as door:
        answer = await door.wire.get(f"/o/{DELIVERY}.gif", method="HEAD")
    assert (answer.status, answer.body, answer.header("Content-Length")) == (200, b"", str(len(PIXEL)))
    assert door.hits.opens[0][1].method == "HEAD"


async def test_the_token_goes_to_the_flow_as_it_came() -> None:
    async with public_door() as door:
        await door.wire.get("/o/%41bc%2Egif.gif")
        await door.wire.get(f"/o/{DELIVERY}.png")
    assert [token for token, _ in door.hits.opens] == ["%41bc%2Egif"]


async def test_a_fault_of_ours_does_not_show_in_the_image(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with public_door() as door:
        whole = await door.wire.get(f"/o/{DELIVERY}.gif")
        door.hits.broken = True
        broken = await door.wire.get(f"/o/{DELIVERY}.gif")
    assert broken.without_date == whole.without_date
    assert "hit failed: RuntimeError at " in caplog.text
    assert "anna@" not in caplog.text


async def test_a_hit_leaves_no_line_in_the_access_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with public_door() as door:
        await door.wire.get(f"/o/{DELIVERY}.gif")
        await door.wire.get(f"/c/{DELIVERY}/part.mac/shop.example.com/")
        await door.wire.get("/o/x.gif", method="HEAD")
        await door.wire.get("/robots.txt")
    assert [record.getMessage().split()[1] for record in caplog.records if record.name == "tracker.access"] == [
        "/robots.txt"
    ]
    assert door.answered == [
        ("/o/{delivery}.gif", "GET", 200),
        ("/c/{delivery}/{link}/{host}/", "GET", 302),
        ("/o/{delivery}.gif", "HEAD", 200),
        ("/robots.txt", "GET", 200),
    ]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_other_methods_are_refused_and_not_counted(method: str) -> None:
    async with public_door() as door:
        answer = await door.wire.get(f"/o/{DELIVERY}.gif", method=method)
    assert (answer.status, answer.header("Allow")) == (405, "GET, HEAD")
    assert not door.hits.opens


@given(st.text(st.characters(codec="ascii", exclude_characters="?#")))
def test_a_path_is_taken_as_it_came(path: str) -> None:
    assert path_of(f"/{path}") == path_of(f"/{path}?x=/o/") == path_of(f"https://t.example.com:8/{path}") == f"/{path}"
