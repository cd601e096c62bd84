"""Tells another system, by webhooks, what people did who allowed it, and whose consent ended.

The law: an event goes out when its hour has turned, and those of an hour in random order, unless the notice lets
somebody watch live. At least once: what was not taken is tried again, less and less often, as long as its event
stands. That a consent ended is told after every event of before is either told or given up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from tracker.core import webhook
from tracker.core.calendar import day_of
from tracker.core.webhook import Webhook
from tracker.model import WebhookNotSent
from tracker.store.store import Store

TOGETHER: Final = 20
"""Webhooks that are on their way at a time."""
LEASE: Final = timedelta(seconds=30)
"""Within it what was taken is told or put off; twice what a receiver is waited for, and more."""
PAGE: Final = 200
"""Changes of consents that are read together."""
EVENT: Final = "event"
END: Final = "end"
"""What webhooks tell of: an event, and that a consent ended."""


class Chance(Protocol):
    """Where randomness comes from."""

    def random(self) -> float:
        """A number from 0 to 1."""

    def shuffle(self, items: list[webhook.WaitingWebhook], /) -> None:
        """Put ITEMS into a random order."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """Whom webhooks go to."""

    source: str
    """The API key by whose references people are named."""
    key: bytes = field(repr=False)
    """Of the secret that they are signed with."""


class Webhooks:
    """Sends what is due."""

    def __init__(
        self,
        store: Store,
        receiver: Receiver,
        post: Callable[[bytes, Mapping[str, str]], Awaitable[None]],
        chance: Chance,
        count: Callable[[str, bool], None] = lambda kind, taken: None,
    ) -> None:
        """POST hands octets with headers to the receiver, and raises WebhookNotSent.

        COUNT hears of each that was tried whether it told of an EVENT or of an END, and whether it was taken.
        """
        self._store = store
        self._receiver = receiver
        self._post = post
        self._chance = chance
        self._count = count
        self._failures = 0
        self._rest_until: datetime | None = None

    async def send(self, now: datetime) -> None:
        """Send what is due NOW, a few at a time; raises WebhookNotSent when none of it was taken, StoreUnavailable.

        After that it is quiet for longer and longer.
        """
        if self._store.on_hold or (self._rest_until is not None and now < self._rest_until):
            return
        taken = [*await self._send_events(now), *await self._send_ends(now)]
        if not taken or any(taken):
            self._failures, self._rest_until = 0, None
            return
        self._failures += 1
        self._rest_until = now + webhook.pause(self._failures, self._chance.random())
        raise WebhookNotSent

    async def _send_events(self, now: datetime) -> list[bool]:
        """Send events; whether each was taken."""
        waiting = list(await self._store.take_webhooks(self._receiver.source, now, now + LEASE, TOGETHER))
        self._chance.shuffle(waiting)
        made = [webhook.of_event(one, self._receiver.key) for one in waiting]
        taken = await asyncio.gather(*(self._taken(EVENT, one, now) for one in made))
        put_off = {
            one.event: now + webhook.pause(one.tries + 1, self._chance.random())
            for one, was_taken in zip(waiting, taken, strict=True)
            if not was_taken
        }
        if waiting:
            await self._store.settle_webhooks([one.event for one in waiting if one.event not in put_off], put_off)
        return taken

    async def _send_ends(self, now: datetime) -> list[bool]:
        """Send that consents ended, in the ledger's order; whether each was taken. What follows one that was not taken
        is sent again with it."""
        told_until = await self._store.consents_told_until()
        if told_until is None:  # the first time: what happened before, the receiver can read
            await self._store.note_consents_told((await self._store.ledger_head())[0])
            return []
        page = await self._store.changes(self._receiver.source, told_until, day_of(now), PAGE)
        ends = webhook.of_changes(page.changes, self._receiver.key)
        taken = [await self._taken(END, one, now) for _, one in ends]
        failed = [entry for (entry, _), was_taken in zip(ends, taken, strict=True) if not was_taken]
        reached = min(failed) - 1 if failed else page.reached
        if reached != told_until:
            await self._store.note_consents_told(reached)
        return taken

    async def _taken(self, kind: str, one: Webhook, now: datetime) -> bool:
        try:
            await self._post(one.body, webhook.headers(one, self._receiver.key, now))
        except WebhookNotSent:
            self._count(kind, False)
            return False
        self._count(kind, True)
        return True
