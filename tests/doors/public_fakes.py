"""Flows that remember what the public door asked of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import cast

from tests.doors.wire import Wire, serving
from tracker.core.disclosure import Disclosure, Periods
from tracker.core.tokens import StopToken
from tracker.doors.pages import Pages, Site
from tracker.doors.peers import Network
from tracker.doors.public import build
from tracker.flows.consent import Consents
from tracker.flows.hit import Destination, Hits
from tracker.model import BadToken, Hit, Language, NotRecorded, Pseudonym, Purpose

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
STOP = "A0de" + "s" * 80
DELIVERY = "A" + "d" * 65
TARGET = "https://shop.example.com/a%2Fb/%EF%bf?x=1&y=%20#/route"
PUBLIC_KEY = "-----BEGIN PUBLIC KEY-----\n"
TOLD = Disclosure(
    controller="Example Ltd",
    contact="privacy@example.com",
    public_url="https://t.example.com",
    language=Language.EN,
    periods=Periods(90, 730, 30, 1095, 35),
)
"""Too little for a notice."""
SITE = Site("Example Ltd", "privacy@example.com", "https://t.example.com", 90, 730, 1095)


@dataclass
class FakeHits:
    """Knows one delivery and one link."""

    opens: list[tuple[str, Hit]] = field(default_factory=list)
    clicks: list[tuple[str, str, str, Hit]] = field(default_factory=list)
    ask: bool = False
    broken: bool = False
    slow: bool = False
    target: str = TARGET

    def opened(self, token: str, hit: Hit, then: Callable[[], None]) -> None:
        self.opens.append((token, hit))
        self._soon(then)

    def clicked(self, token: str, part: str, host: str, hit: Hit, then: Callable[[Destination | None], None]) -> None:
        self.clicks.append((token, part, host, hit))
        known = (token, part, host) == (DELIVERY, "part.mac", "shop.example.com")
        self._soon(partial(then, Destination(self.target, ask=self.ask) if known else None))

    def _soon(self, then: Callable[[], None]) -> None:
        """At once, or a moment later, as the store has it."""
        if self.broken:
            raise RuntimeError("anna@example.org")
        if self.slow:
            asyncio.get_running_loop().call_later(0.01, then)
        else:
            then()


@dataclass
class FakeConsents:
    """Knows one stop token."""

    withdrawn: list[tuple[frozenset[Purpose], datetime]] = field(default_factory=list)
    away: bool = False

    def read_stop(self, token: str) -> StopToken | None:
        return StopToken(Pseudonym(bytes(32)), Language.DE) if token == STOP else None

    async def withdraw_by_link(self, token: str, purposes: frozenset[Purpose], now: datetime) -> bool:
        if token != STOP:
            raise BadToken
        if self.away:
            raise NotRecorded
        self.withdrawn.append((purposes, now))
        return len(self.withdrawn) == 1


@dataclass
class Public:
    """The public door on a real socket, before fakes."""

    wire: Wire
    hits: FakeHits
    consents: FakeConsents
    answered: list[tuple[str, str, int]]


@asynccontextmanager
async def public_door(*, trusted: Sequence[Network] = (), told: Disclosure = TOLD) -> AsyncIterator[Public]:
    hits, consents = FakeHits(), FakeConsents()
    answered: list[tuple[str, str, int]] = []
    app = build(
        cast(Hits, hits),
        cast(Consents, consents),
        Pages(replace(SITE, notice=not told.missing())),
        lambda: NOW,
        disclosure=told,
        receipt_key=lambda: PUBLIC_KEY,
        trusted_proxies=trusted,
        answered=lambda template, method, status: answered.append((template, method, status)),
    )
    async with serving(app) as wire:
        yield Public(wire, hits, consents, answered)
