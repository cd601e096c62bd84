"""Speaks HTTP to a listener by the byte, so that nothing repairs what a test sends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from tracker.doors.server import bind, listen


@dataclass(frozen=True)
class Answer:
    """An answer as it came off the wire."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    raw: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def without_date(self) -> tuple[int, tuple[tuple[str, str], ...], bytes]:
        return self.status, tuple(pair for pair in self.headers if pair[0] != "Date"), self.body


@dataclass(frozen=True)
class Wire:
    """A listener in this process."""

    port: int

    async def send(self, request: bytes) -> Answer:
        """Send REQUEST on a connection of its own; read until the server closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, local_addr=("127.0.0.77", 0))
        writer.write(request)
        raw = await reader.read()
        writer.close()
        await writer.wait_closed()
        head, _, body = raw.partition(b"\r\n\r\n")
        first, *rest = head.decode("latin-1").split("\r\n")
        pairs = tuple((name, value.strip()) for name, _, value in (line.partition(":") for line in rest))
        return Answer(int(first.split()[1]), pairs, body, raw)

    async def get(self, target: str, *, method: str = "GET", **headers: str) -> Answer:
        return await self.send(head(method, target, **headers))

    async def post(self, target: str, body: bytes = b"", **headers: str) -> Answer:
        return await self.send(head("POST", target, content_length=str(len(body)), **headers) + body)


def head(method: str, target: str, **headers: str) -> bytes:
    """The head of a request; underscores in names of HEADERS stand for hyphens."""
    fields = {"host": "t.example.com", "connection": "close", **headers}
    lines = [f"{method} {target} HTTP/1.1", *(f"{name.replace('_', '-')}: {value}" for name, value in fields.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[Wire]:
    """APP on a free port of loopback."""
    runner = await listen(app, bind("127.0.0.1", 0))
    try:
        yield Wire(runner.addresses[0][1])
    finally:
        await runner.cleanup()
