"""The door for the operator's machines: is it alive, is it ready, what has it counted; no key, nothing personal."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from aiohttp import web

from tracker.doors.openapi import document
from tracker.doors.server import place

_log = logging.getLogger("tracker.http")


@dataclass(frozen=True, slots=True)
class Readiness:
    """What is wrong just now, by part, such as `store` or `keys`; nothing when mail would be tracked."""

    trouble: Mapping[str, str] = field(default_factory=dict)
    """Part → what is wrong with it, in words of ours."""


class Exposition(Protocol):
    """Has counted something."""

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """All metrics in the format that ACCEPT asks for, and the name of that format."""


class OperationsDoor:
    """Answers `/health/live`, `/health/ready` and `/metrics`."""

    def __init__(self, ready: Callable[[], Awaitable[Readiness]], exposition: Exposition) -> None:
        self._ready = ready
        self._exposition = exposition
        self._description = document()

    async def live(self, _: web.Request) -> web.Response:
        """200 while the process answers at all: whoever asks restarts it otherwise, which mends no database."""
        return web.json_response({"status": "live"})

    async def ready(self, _: web.Request) -> web.Response:
        """200, or 503 with what is wrong."""
        try:
            trouble = (await self._ready()).trouble
        except Exception as error:
            _log.error("readiness cannot be told: %s", place(error))
            trouble = {"readiness": "cannot be told"}
        if trouble:
            return web.json_response({"status": "not ready", "trouble": dict(trouble)}, status=503)
        return web.json_response({"status": "ready"})

    async def describe(self, _: web.Request) -> web.Response:
        """The description of this listener, for machines (OpenAPI)."""
        return web.json_response(self._description)

    async def metrics(self, request: web.Request) -> web.Response:
        """The counts, for Prometheus."""
        body, content_type = self._exposition.exposition(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})
