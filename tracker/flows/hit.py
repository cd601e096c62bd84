"""Tells what happens when a pixel or a link is requested: verify, classify, record, answer."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from functools import lru_cache, partial
from time import monotonic
from typing import Final, NamedTuple, Protocol

from tracker.core.bursts import Bursts
from tracker.core.calendar import day_of_hour, hour_at
from tracker.core.classify import MACHINE_SECONDS, Classifier
from tracker.core.target import report
from tracker.core.tokens import DeliveryToken, Tokens
from tracker.model import NO_LINK, Agent, Event, Hit, LinkNumber, Purpose, StoreUnavailable
from tracker.store.store import Store

LONGEST_WAIT: Final = 0.05
"""Seconds a reader may wait for the store; then the answer goes and the event stays in the store's queue."""
_OPEN, _CLICK, _HUMAN, _MACHINE = Purpose.OPEN, Purpose.CLICK, Agent.HUMAN, Agent.MACHINE
"""Python 3.11 takes a tenth of a microsecond to look one up, each time."""
KNOWN_TARGETS: Final = 1_000
"""How many targets are remembered, with what is made of them: the links of a campaign are followed by many."""
log = logging.getLogger(__name__)


class HitCounter(Protocol):
    """Counts hits by kind, agent and result, for the operator."""

    def hit(self, purpose: Purpose, agent: Agent | None, result: str) -> None:
        """One hit; RESULT is `recorded`, `early` (answered before the commit), `refused`, `uncounted` or `forged`."""


class Destination(NamedTuple):
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
        bursts: Bursts,
        blocked: Callable[[str], bool] = lambda _: False,
        machine_seconds: float = MACHINE_SECONDS,
    ) -> None:
        """BLOCKED: whether links to a host lead nowhere unasked, since it is being abused."""
        self._store = store
        self._tokens = tokens
        self._counter = counter
        self._bursts = bursts
        self._blocked = blocked
        self._classify = Classifier(machine_seconds)
        self._patience = _Patience()
        self._known = lru_cache(KNOWN_TARGETS)(_known)

    def opened(self, token: str, hit: Hit, then: Callable[[], None]) -> None:
        """A pixel with TOKEN was requested; THEN is called once, when it may be served, whatever happens."""
        delivery = self._tokens().read_delivery(token)
        if delivery is None:
            self._counter.hit(_OPEN, None, "forged")
            then()
        else:
            self._record(delivery, _OPEN, NO_LINK, hit, then)

    def clicked(self, token: str, part: str, host: str, hit: Hit, then: Callable[[Destination | None], None]) -> None:
        """A link was followed; THEN is called once, with where it leads, or None for anything altered.

        Needs no database.
        """
        tokens = self._tokens()
        delivery = tokens.read_delivery(token)
        target = None if delivery is None else tokens.read_link(delivery, part, host)
        if delivery is None or target is None:
            self._counter.hit(_CLICK, None, "forged")
            then(None)
        elif self._blocked(host):
            self._counter.hit(_CLICK, None, "uncounted")
            then(Destination(target, ask=True, blocked=True))
        else:
            number, destination = self._known(target, delivery.retired)
            self._record(delivery, _CLICK, number, hit, partial(then, destination))

    def _record(
        self, delivery: DeliveryToken, purpose: Purpose, link: LinkNumber, hit: Hit, then: Callable[[], None]
    ) -> None:
        """Call THEN when the hit is recorded, is not to be, or has waited long enough."""
        at = hit.at.timestamp()
        agent, recorded, like_a_person = self._classify(hit, purpose, at - delivery.issued)
        hour = hour_at(at)
        today = day_of_hour(hour)
        if agent is None or not recorded or delivery.retired or delivery.last_day < today:
            self._counter.hit(purpose, agent, "uncounted")
            then()
            return
        if like_a_person and purpose is _CLICK:
            self._bursts.followed(delivery.delivery, link, at, soon=agent is _MACHINE)
        if agent is _HUMAN and self._bursts.struck(delivery.delivery, hour):
            agent = _MACHINE  # and the store moves what was written before that was known
        event = Event(delivery.last_day, delivery.delivery, purpose, link, hour, agent)
        waiting = _Waiting(self._counter, purpose, agent, then)
        self._patience.watch(waiting)
        self._store.record_soon(event, today, waiting.told)


def _known(target: str, ask: bool) -> tuple[LinkNumber, Destination]:
    """What is worked out about TARGET once for all who follow a link to it."""
    return report(target).number, Destination(target, ask)


class _Waiting:
    """A hit that waits for the store, or for the end of our patience: whichever is first."""

    __slots__ = ("_agent", "_counter", "_purpose", "_then", "until")

    def __init__(self, counter: HitCounter, purpose: Purpose, agent: Agent, then: Callable[[], None]) -> None:
        self._counter = counter
        self._purpose = purpose
        self._agent = agent
        self._then: Callable[[], None] | None = then
        self.until = monotonic() + LONGEST_WAIT

    @property
    def is_over(self) -> bool:
        """Whether the answer has gone."""
        return self._then is None

    def told(self, outcome: bool | StoreUnavailable) -> None:
        """The store wrote the event, found nothing to hang it on, or had to drop it, which it counts itself."""
        self._end("early" if isinstance(outcome, StoreUnavailable) else "recorded" if outcome else "refused")

    def give_up(self) -> None:
        """Let the answer go; the event stays in the store's queue."""
        self._end("early")

    def _end(self, result: str) -> None:
        then, self._then = self._then, None
        if then is not None:
            self._counter.hit(self._purpose, self._agent, result)
            then()


class _Patience:
    """Has all hits wait equally long with one timer: who began first gives up first."""

    def __init__(self) -> None:
        self._waiting: deque[_Waiting] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, waiting: _Waiting) -> None:
        """Have WAITING give up when its time is over."""
        self._waiting.append(waiting)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LONGEST_WAIT, self._look)

    def _look(self) -> None:
        now = monotonic()
        while self._waiting:
            first = self._waiting[0]
            if not first.is_over and first.until > now:
                self._timer = asyncio.get_running_loop().call_later(first.until - now, self._look)
                return
            self._waiting.popleft()
            try:
                first.give_up()
            except Exception as error:  # the others are to be answered, too
                log.error("who waited for the store could not be told: %s", type(error).__name__)
        self._timer = None
