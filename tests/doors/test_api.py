"""Who may call what, and what every caller gets who asks for something that is not there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.doors.api_fakes import CANARY, Api
from tracker.model import StoreUnavailable

ROUTES = [
    ("POST", "/v1/rewrite", "rewrite"),
    ("POST", "/v1/consents", "consent"),
    ("POST", "/v1/consents/batch", "consent"),
    ("GET", "/v1/consents/changes", "consent"),
    ("POST", "/v1/consents/lookup", "consent"),
    ("POST", "/v1/consents/withdraw", "consent"),
    ("GET", "/v1/stats/messages", "stats"),
    ("GET", "/v1/stats/messages/00112233445566778899aabbccddeeff", "stats"),
    ("POST", "/v1/stats/recipients", "stats"),
]


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with Api() as api:
        yield api


async def raw(api: Api, *lines: str, body: bytes = b"", alone: bool = False) -> bytes:
    """What comes back for a request written by hand, until the server has no more to say.

    ALONE: only what comes first, when the server still waits for a body that never comes.
    """
    assert api.client.port is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", api.client.port)
    head = "".join(f"{line}\r\n" for line in (*lines, "Host: localhost", "Connection: close", ""))
    writer.write(head.encode() + body)
    try:
        return await (reader.readuntil(b"\r\n\r\n") if alone else reader.read())
    finally:
        writer.close()
        await writer.wait_closed()


# --- keys ---


@pytest.mark.parametrize(("method", "path", "_scope"), ROUTES)
async def test_without_a_key_nothing_is_answered(api: Api, method: str, path: str, _scope: str) -> None:
    reply = await api.ask(method, path, key=None)
    assert (reply.status, reply.slug) == (401, "unauthorized")
    assert reply.headers["WWW-Authenticate"] == 'Bearer realm="tracker"'


@pytest.mark.parametrize(("method", "path", "_scope"), ROUTES)
async def test_an_unknown_key_opens_nothing(api: Api, method: str, path: str, _scope: str) -> None:
    reply = await api.ask(method, path, key="trk_canary")
    assert (reply.status, reply.slug) == (401, "unauthorized")
    assert 'error="invalid_token"' in reply.headers["WWW-Authenticate"]


@pytest.mark.parametrize(("method", "path", "scope"), ROUTES)
@pytest.mark.parametrize("key", ["rewrite", "consent", "stats", "invite", "privacy", "none"])
async def test_a_key_opens_only_what_its_scopes_allow(api: Api, method: str, path: str, scope: str, key: str) -> None:
    """R53: denied by default."""
    reply = await api.ask(method, path, key=key)
    if key == scope:
        assert reply.status not in (401, 403)
    else:
        assert (reply.status, reply.slug) == (403, "forbidden")
        assert scope in reply.json["detail"]
    assert not [flow.asked for flow in (api.sender, api.consents) if flow.asked]


@pytest.mark.parametrize(
    "field", ["", "Bearer", "Bearer ", "Basic all", f"Bearer {CANARY}", "Bearer a b", "Bearer " + "x" * 300, "all"]
)
async def test_an_authorization_of_another_shape_is_no_key(api: Api, field: str) -> None:
    reply = await api.ask("GET", "/v1/stats/messages", Authorization=field)
    assert reply.slug == "unauthorized"


async def test_two_authorizations_are_none(api: Api) -> None:
    two = ("Authorization: Bearer all", "Authorization: Bearer all")
    answer = await raw(api, "GET /v1/stats/messages HTTP/1.1", *two)
    assert answer.startswith(b"HTTP/1.1 401 ")


async def test_the_scheme_is_read_in_any_letter_case(api: Api) -> None:
    assert (await api.ask("GET", "/v1/stats/messages", Authorization="bearer all")).status == 200


# --- what is not there ---


@pytest.mark.parametrize("path", ["/", "/v1", "/v2/rewrite", f"/v1/{CANARY}", f"/{CANARY}?a={CANARY}", "/v1/rewrite/"])
async def test_an_unknown_path_is_a_problem_too(api: Api, path: str) -> None:
    reply = await api.ask("GET", path)
    assert (reply.status, reply.slug) == (404, "not-found")


@pytest.mark.parametrize(("method", "path", "_scope"), ROUTES)
async def test_another_method_is_refused_with_those_there_are(api: Api, method: str, path: str, _scope: str) -> None:
    reply = await api.ask("DELETE", path)
    assert (reply.status, reply.slug) == (405, "method-not-allowed")
    assert reply.headers["Allow"] == {"POST": "POST", "GET": "GET, HEAD"}[method]


async def test_options_for_the_whole_server_are_none(api: Api) -> None:
    assert (await raw(api, "OPTIONS * HTTP/1.1")).startswith(b"HTTP/1.1 404 ")


# --- what must not be said ---


@pytest.mark.parametrize("error", [ValueError(CANARY), KeyError(CANARY), OSError(CANARY)])
async def test_an_unexpected_failure_names_its_place_and_nothing_else(api: Api, error: Exception) -> None:
    api.figures.error = error
    reply = await api.ask("GET", "/v1/stats/messages")
    assert (reply.status, reply.slug) == (500, "internal")
    assert any(f"{type(error).__name__} at tracker/doors/api_stats.py:" in line for line in api.log.lines)


async def test_a_store_that_is_away_is_said_and_when_to_come_back(api: Api) -> None:
    api.figures.error = StoreUnavailable()
    reply = await api.ask("GET", "/v1/stats/messages")
    assert (reply.status, reply.slug) == (503, "store-unavailable")
    assert reply.headers["Retry-After"] == "60"


async def test_every_answer_leaves_a_line_with_the_template_alone(api: Api) -> None:
    await api.ask("GET", f"/v1/stats/messages/{CANARY}?token={CANARY}", User_Agent=CANARY, Referer=CANARY)
    assert [line for line in api.log.lines if line.startswith("tracker.access INFO GET /v1/stats/messages/{id} ")]
    assert api.meter.answers[-1][:2] == ("/v1/stats/messages/{id}", "GET")


async def test_probes_leave_no_line(api: Api) -> None:
    for path in ("/health/live", "/health/ready", "/metrics"):
        await api.ask("GET", path)
    assert not [line for line in api.log.lines if line.startswith("tracker.access")]


# --- Expect ---


async def test_a_body_is_asked_for_only_after_its_headers_were_found_in_order(api: Api) -> None:
    body = b'{"address": "bert@example.org"}'
    expecting = (f"Content-Length: {len(body)}", "Expect: 100-continue")
    refused = await raw(api, "POST /v1/consents/lookup HTTP/1.1", *expecting, alone=True)
    assert refused.startswith(b"HTTP/1.1 401 ")
    named = ("Authorization: Bearer all", "Content-Type: application/json")
    answer = await raw(api, "POST /v1/consents/lookup HTTP/1.1", *named, *expecting, body=body)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ")


async def test_a_streamed_answer_begins_only_after_the_body_was_asked_for(api: Api) -> None:
    named = ("Authorization: Bearer all", "Content-Type: application/x-ndjson")
    expecting = ("Content-Length: 2", "Expect: 100-continue")
    answer = await raw(api, "POST /v1/consents/batch HTTP/1.1", *named, *expecting, body=b"{}")
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ")


@pytest.mark.parametrize("path", ["/health/live", "/nowhere", "/v1/rewrite"])
async def test_an_expectation_is_never_quoted(api: Api, path: str) -> None:
    assert CANARY.encode() not in await raw(api, f"GET {path} HTTP/1.1", f"Expect: {CANARY}")
