"""Machines of the operator ask whether it lives, whether it is ready and what it counted, without a key."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.doors.api_fakes import CANARY, Api
from tracker.doors.operations import Readiness


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with Api() as api:
        yield api


async def test_it_lives_whatever_is_wrong(api: Api) -> None:
    api.readiness = RuntimeError(CANARY)
    reply = await api.ask("GET", "/health/live", key=None)
    assert (reply.status, reply.json) == (200, {"status": "live"})


async def test_it_is_ready_when_nothing_is_wrong(api: Api) -> None:
    reply = await api.ask("GET", "/health/ready", key=None)
    assert (reply.status, reply.json) == (200, {"status": "ready"})


async def test_what_is_wrong_is_named(api: Api) -> None:
    api.readiness = Readiness({"store": "The database cannot be reached just now."})
    async with api.client.get("/health/ready") as response:
        assert response.status == 503
        assert await response.json() == {
            "status": "not ready",
            "trouble": {"store": "The database cannot be reached just now."},
        }


async def test_a_check_that_fails_itself_is_not_ready_and_says_nothing_more(api: Api) -> None:
    api.readiness = RuntimeError(CANARY)
    async with api.client.get("/health/ready") as response:
        assert response.status == 503
        assert await response.json() == {"status": "not ready", "trouble": {"readiness": "cannot be told"}}


async def test_metrics_come_in_the_format_that_was_asked_for(api: Api) -> None:
    reply = await api.ask("GET", "/metrics", key=None, Accept="text/plain")
    assert (reply.status, reply.body) == (200, b"# text/plain\n")
    assert reply.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics"])
async def test_a_probe_may_use_head(api: Api, path: str) -> None:
    reply = await api.ask("HEAD", path, key=None)
    assert (reply.status, reply.body) == (200, b"")
