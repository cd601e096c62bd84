"""Tells what happens when a pixel or a link is requested: verify, classify, record, answer."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from time import monotonic
from types import MappingProxyType
from typing import Any, Final, Protocol

from tracker.core.calendar import day_of_hour, hour_of
from tracker.core.classify import classify
from tracker.core.target import report
from tracker.core.tokens import DeliveryToken, Tokens
from tracker.model import NO_LINK, Agent, Event, Hit, LinkNumber, Purpose
from tracker.store.store import Store

LONGEST_WAIT: Final = 0.05
"""Seconds a reader may wait for the store; then the answer goes and the event stays in the store's queue."""


KNOWN_TARGETS: Final = 1_000
"""How many targets' numbers are remembered: the links of a campaign are followed by many."""
_RESULTS: Final = MappingProxyType({True: "recorded", False: "refused", None: "early"})


class HitCounter(Protocol):
    """Counts hits by kind, agent and result, for the operator."""

    def hit(self, purpose: Purpose, agent: Agent | None, result: str) -> None:
        """One hit; RESULT is `recorded`, `early` (answered before the commit), `refused`, `uncounted` or `forged`."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a link leads; `ask` when its key was retired and a page must show the destination first."""

    url: str
    ask: bool


class Hits:
    """Records hits on pixels and links; no failure of the store ever reaches a reader."""

    def __init__(self, store: Store, tokens: Callable[[], Tokens], counter: HitCounter) -> None:
        self._store = store
        self._tokens = tokens
        self._counter = counter
        self._patience = Patience(LONGEST_WAIT)
        self._reported = lru_cache(KNOWN_TARGETS)(report)

    def opened(self, token: str, hit: Hit) -> Future[None]:
        """A pixel with TOKEN was requested; done when it may be served, which it is whatever happens."""
        answer = asyncio.get_running_loop().create_future()
        delivery = self._tokens().read_delivery(token)
        if delivery is None:
            self._counter.hit(Purpose.OPEN, None, "forged")
            answer.set_result(None)
        else:
            self._record(delivery, Purpose.OPEN, NO_LINK, hit, answer, None)
        return answer

    def clicked(self, token: str, part: str, host: str, hit: Hit) -> Future[Destination | None]:
        """A link was followed; where it leads, when it may lead there, or None for anything altered.

        Needs no database.
        """
        answer = asyncio.get_running_loop().create_future()
        tokens = self._tokens()
        delivery = tokens.read_delivery(token)
        target = None if delivery is None else tokens.read_link(delivery, part, host)
        if delivery is None or target is None:
            self._counter.hit(Purpose.CLICK, None, "forged")
            answer.set_result(None)
        else:
            destination = Destination(target, ask=delivery.retired)
            self._record(delivery, Purpose.CLICK, self._reported(target).number, hit, answer, destination)
        return answer

    def _record(
        self, delivery: DeliveryToken, purpose: Purpose, link: LinkNumber, hit: Hit, answer: Future[Any], value: object
    ) -> None:
        """Settle ANSWER with VALUE when the hit is recorded, is not to be, or has waited long enough."""
        agent = classify(hit)
        hour = hour_of(hit.at)
        today = day_of_hour(hour)
        if agent is None or delivery.retired or delivery.last_day < today:
            self._counter.hit(purpose, agent, "uncounted")
            answer.set_result(value)
            return

        def settle(result: str) -> None:
            if not answer.done():
                self._counter.hit(purpose, agent, result)
                answer.set_result(value)

        event = Event(
            last_day=delivery.last_day,
            delivery=delivery.delivery,
            purpose=purpose,
            link=link,
            hour=hour,
            agent=agent,
        )
        self._patience.watch(answer, lambda: settle("early"))
        self._store.record_soon(event, today, lambda outcome: settle(_RESULTS[outcome]))


class Patience:
    """Ends the waiting of many after the same time, with one timer: who began first gives up first."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waiting: deque[tuple[float, Future[Any], Callable[[], None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, future: Future[Any], give_up: Callable[[], None]) -> None:
        """Call GIVE_UP when FUTURE is not done by then."""
        self._waiting.append((monotonic() + self._seconds, future, give_up))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._look)

    def _look(self) -> None:
        now = monotonic()
        while self._waiting:
            end, future, give_up = self._waiting[0]
            if not future.done():
                if end > now:
                    self._timer = asyncio.get_running_loop().call_later(end - now, self._look)
                    return
                give_up()
            self._waiting.popleft()
        self._timer = None
