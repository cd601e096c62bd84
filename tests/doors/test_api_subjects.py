"""After a letter or a call: what is held about a person is shown, exported, erased, with the scope `privacy` alone."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.doors.api_fakes import CANARY, Api
from tracker.core.held import Held, HeldReference
from tracker.flows.subject import Request
from tracker.model import AddressInValue, Day, InvalidAddress, Scope, StoreUnavailable

ROUTES = ("/v1/subjects/show", "/v1/subjects/export", "/v1/subjects/erase")


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with Api() as api:
        yield api


async def test_show_tells_what_is_held(api: Api) -> None:
    api.subjects.found = Held(references=(HeldReference("crm", "17", Day(20_800)),))
    reply = await api.ask("POST", ROUTES[0], json={"address": CANARY, "case": "2026/14"})
    assert reply.status == 200
    assert reply.json["references"] == [{"source": "crm", "reference": "17", "kept_until": "2026-12-13"}]
    assert reply.json["about"] == {}
    assert api.subjects.asked == [(CANARY, Request("crm", "2026/14"))]


async def test_export_tells_what_art_15_asks_for_as_well(api: Api) -> None:
    reply = await api.ask("POST", ROUTES[1], json={"address": CANARY}, key="privacy")
    assert reply.json["about"] == {"controller": "Nord"}
    assert api.subjects.asked == [(CANARY, Request("privacy", None))]


async def test_erase_says_whether_it_was_news(api: Api) -> None:
    first = await api.ask("POST", ROUTES[2], json={"address": CANARY})
    second = await api.ask("POST", ROUTES[2], json={"address": CANARY})
    assert first.json == {"state": "erased", "news": True}
    assert second.json == {"state": "erased", "news": False}


@pytest.mark.parametrize("path", ROUTES)
async def test_only_the_scope_privacy_opens(api: Api, path: str) -> None:
    for scope in Scope:
        reply = await api.ask("POST", path, json={"address": CANARY}, key=scope.value)
        assert reply.status == (200 if scope is Scope.PRIVACY else 403), scope
    assert (await api.ask("POST", path, json={"address": CANARY}, key=None)).status == 401
    assert len(api.subjects.asked) == 1


@pytest.mark.parametrize("path", ROUTES)
async def test_bad_input_is_named_and_nothing_is_asked(api: Api, path: str) -> None:
    for body in ({}, {"address": 1}, {"address": CANARY, CANARY: 1}, {"address": CANARY, "case": "x" * 1_001}):
        assert (await api.ask("POST", path, json=body)).slug == "invalid-field"
    assert (await api.ask("GET", path)).status == 405
    assert not api.subjects.asked


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    ("error", "status"), [(InvalidAddress(), 422), (AddressInValue("case"), 422), (StoreUnavailable(), 503)]
)
async def test_what_the_flow_refuses_is_a_problem(api: Api, path: str, error: Exception, status: int) -> None:
    api.subjects.error = error
    assert (await api.ask("POST", path, json={"address": CANARY, "case": CANARY})).status == status
