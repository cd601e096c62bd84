"""Tells what happens when a pixel or a link is requested: verify, classify, record, answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from tracker.core.calendar import day_of, hour_of
from tracker.core.classify import classify
from tracker.core.target import report
from tracker.core.tokens import DeliveryToken, Tokens
from tracker.model import NO_LINK, Agent, Event, Hit, LinkNumber, Purpose
from tracker.store.store import Store

LONGEST_WAIT: Final = 0.05
"""Seconds a reader may wait for the store; then the answer goes and the event stays in the store's queue."""


class HitCounter(Protocol):
    """Counts hits by kind, agent and result, for the operator."""

    def hit(self, purpose: Purpose, agent: Agent | None, result: str) -> None:
        """One hit; RESULT is `recorded`, `early` (answered before the commit), `refused`, `uncounted` or `forged`."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a link leads; `ask` when a page must show it first, because its key was retired or its host is blocked."""

    url: str
    ask: bool
    blocked: bool = False


class Hits:
    """Records hits on pixels and links; no failure of the store ever reaches a reader."""

    def __init__(
        self,
        store: Store,
        tokens: Callable[[], Tokens],
        counter: HitCounter,
        blocked: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """BLOCKED: whether links to a host lead nowhere unasked, since it is being abused."""
        self._store = store
        self._tokens = tokens
        self._counter = counter
        self._blocked = blocked

    async def opened(self, token: str, hit: Hit) -> None:
        """A pixel with TOKEN was requested. Whatever happens, the pixel is served."""
        delivery = self._tokens().read_delivery(token)
        if delivery is None:
            self._counter.hit(Purpose.OPEN, None, "forged")
        else:
            await self._record(delivery, Purpose.OPEN, NO_LINK, hit)

    async def clicked(self, token: str, part: str, host: str, hit: Hit) -> Destination | None:
        """A link was followed; where it leads, or None for anything altered. Needs no database."""
        tokens = self._tokens()
        delivery = tokens.read_delivery(token)
        target = None if delivery is None else tokens.read_link(delivery, part, host)
        if delivery is None or target is None:
            self._counter.hit(Purpose.CLICK, None, "forged")
            return None
        if self._blocked(host):
            self._counter.hit(Purpose.CLICK, None, "uncounted")
            return Destination(target, ask=True, blocked=True)
        await self._record(delivery, Purpose.CLICK, report(target).number, hit)
        return Destination(target, ask=delivery.retired)

    async def _record(self, delivery: DeliveryToken, purpose: Purpose, link: LinkNumber, hit: Hit) -> None:
        agent = classify(hit)
        today = day_of(hit.at)
        if agent is None or delivery.retired or delivery.last_day < today:
            self._counter.hit(purpose, agent, "uncounted")
            return
        event = Event(
            last_day=delivery.last_day,
            delivery=delivery.delivery,
            purpose=purpose,
            link=link,
            hour=hour_of(hit.at),
            agent=agent,
        )
        written = asyncio.ensure_future(self._store.record(event, today))
        written.add_done_callback(_heard)
        await asyncio.wait((written,), timeout=LONGEST_WAIT)
        self._counter.hit(purpose, agent, _result(written))


def _result(written: asyncio.Future[bool]) -> str:
    if not written.done() or written.cancelled() or written.exception() is not None:
        return "early"
    return "recorded" if written.result() else "refused"


def _heard(written: asyncio.Future[bool]) -> None:
    # The store counts what it drops; here the failure only has to be seen, or asyncio would report it.
    if not written.cancelled():
        written.exception()
