"""The SMTP door on real flows and a real next hop, in one event loop, and clients for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import aiosmtplib
import pytest

from tests.flows.conftest import NOW, Flows, flows  # noqa: F401
from tests.sink import Sink, sink
from tracker.doors.budget import Budget
from tracker.doors.next_hop import NextHop
from tracker.doors.smtp.door import SmtpDoor
from tracker.doors.smtp.hops import Hops
from tracker.doors.smtp.office import Office, SmtpPolicy
from tracker.flows.access import Access
from tracker.flows.relay import Relay
from tracker.model import Left, Reason, Scope

ANNA, BERT, CARA = "anna@example.org", "bert@example.org", "cara@example.org"
FROM = "jonas@werkstatt-nord.example"


def mail(html: str = '<p><a href="https://shop.example/a?b=1&amp;c=2">x</a></p>', head: str = "") -> bytes:
    fields = f"{head}From: {FROM}\r\nTo: team@example.org\r\nSubject: Offer\r\nMessage-ID: <1@x>\r\n"
    return f"{fields}Content-Type: text/html\r\n\r\n{html}\r\n".encode()


@dataclass
class Counts:
    """What the door and its flow told."""

    copies: list[Reason | None] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    signatures: int = 0

    def rewrote(self, reason: Reason | None, left: Mapping[Left, int], seconds: float) -> None:
        self.copies.append(reason)

    def foreign(self, found: Mapping[str, int], removed: int) -> None:
        pass

    def unsigned(self, removed: int) -> None:
        self.signatures += removed

    def relayed(self, result: str) -> None:
        self.results.append(result)


@dataclass
class Clock:
    """What the flow takes for the time."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Proxy:
    """A running door."""

    door: SmtpDoor
    office: Office
    hops: Hops
    port: int
    sink: Sink
    flows: Flows
    counts: Counts
    clock: Clock

    @asynccontextmanager
    async def client(self, **more: Any) -> AsyncIterator[aiosmtplib.SMTP]:
        async with aiosmtplib.SMTP(
            hostname="127.0.0.1", port=self.port, timeout=20, local_hostname="client", **{"start_tls": False, **more}
        ) as client:
            await client.ehlo()
            yield client

    async def send(self, message: bytes, *recipients: str, sender: str = FROM) -> tuple[int, str]:
        """The answer to the end of data, or the one that ended it before."""
        async with self.client() as client:
            try:
                refused, text = await client.sendmail(sender, list(recipients), message)
            except aiosmtplib.SMTPResponseException as error:
                return error.code, error.message
            assert not refused
            return 250, text

    async def dialog(self, *pieces: bytes, source: str = "127.0.0.1") -> bytes:
        """What the door says to PIECES, each sent when the answer to the one before has come."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(source, 0))
        said = await reader.readline()
        for piece in pieces:
            writer.write(piece)
            said += await asyncio.wait_for(answer_of(reader), 10)
        writer.close()
        return said


async def answer_of(reader: asyncio.StreamReader) -> bytes:
    """One whole answer, or what came of it before the end."""
    said = b""
    while line := await reader.readline():
        said += line
        if line[3:4] != b"-":
            break
    return said


Proxies = Callable[..., Awaitable[Proxy]]


@pytest.fixture
async def proxies(flows: Flows) -> AsyncIterator[Proxies]:  # noqa: F811
    """Starts doors; keywords change the policy."""
    doors: list[SmtpDoor] = []
    async with sink() as next_hop:

        async def start(*, tls: bool = False, room: int = 2**28, **policy: Any) -> Proxy:
            counts, clock = Counts(), Clock()
            hops = Hops(NextHop("127.0.0.1", next_hop.port, tls=False), "proxy.example")
            await Access(flows.store).create("app", frozenset({Scope.REWRITE}), None, 1, lambda: "k" * 43)  # type: ignore[arg-type]
            office = Office(
                replace(SmtpPolicy(name="proxy.example", largest=2**20), **policy),
                Relay(flows.sender, flows.store, counts, clock),
                hops,
                Access(flows.store),
                Budget(room),
                lambda: NOW,
            )
            door = SmtpDoor(office)
            doors.append(door)
            port = await door.listen(host="127.0.0.1", port=0, tls=tls)
            return Proxy(door, office, hops, port, next_hop, flows, counts, clock)

        yield start
        for door in doors:
            await door.close()


@pytest.fixture
async def proxy(proxies: Proxies) -> Proxy:
    return await proxies()
