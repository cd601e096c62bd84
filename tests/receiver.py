"""A system that takes webhooks, in a thread of this process, and verifies them as receivers do."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import web
from standardwebhooks import Webhook

from tests.harness import PATIENCE, free_port

SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Receiver:
    """Listens on loopback. `taken` is what it took; while it is `silent` it answers nobody, though it has heard."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/told"
        self.status = 200
        self.silent = False
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.taken: list[tuple[str, dict[str, Any]]] = []
        self.agents: set[str | None] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._runner: web.AppRunner | None = None

    def until(self, condition: Callable[[Receiver], object]) -> None:
        """Wait for CONDITION."""
        end = time.monotonic() + PATIENCE
        while not condition(self):
            assert time.monotonic() < end, (self.heard, self.taken)
            time.sleep(0.02)

    async def _told(self, request: web.Request) -> web.Response:
        body = await request.read()
        told = Webhook(SECRET).verify(body, dict(request.headers))
        identifier = request.headers["webhook-id"]
        self.agents.add(request.headers.get("User-Agent"))
        self.heard.append((identifier, told))
        while self.silent:
            await asyncio.sleep(0.02)
        if self.status == 200:
            self.taken.append((identifier, told))
        return web.Response(status=self.status, headers={"Location": self.url})

    async def _start(self) -> None:
        application = web.Application()
        application.router.add_post("/told", self._told)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def _stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(PATIENCE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.silent = False
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()
