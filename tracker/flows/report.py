"""Tells what a rep may know: events become counts, and people are found only by who knows their address.

The law: what people do shows to a rep when its hour has turned; as it happens, only of who agreed to that
(store/measured). A system of the controller, which asks for no rep, counts at once.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from tracker.core.address import mask_addresses
from tracker.core.calendar import day_of, hour_of, later
from tracker.core.campaigns import LabelFigures, by_label
from tracker.core.identity import campaign_key, owner_of
from tracker.core.pseudonym import normalise, pseudonym
from tracker.core.tokens import Tokens
from tracker.model import (
    AddressInValue,
    Coverage,
    Day,
    InvalidField,
    MessageFigures,
    MessageKey,
    MessageQuery,
    Moment,
    NotFound,
    Order,
    Owner,
    PersonFigures,
    Reasons,
    TeamTotals,
)
from tracker.store.measured import Running
from tracker.store.store import Store

Logins = frozenset[str] | None
"""Whose figures: a rep's login and aliases; None for whoever may see all."""
COMPARED: Final = 1_000
"""The most messages that are added up by label: the newest of a period."""
CHUNK: Final = 200
"""Messages that an export reads at a time."""
_KEY: Final = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Listing:
    """Which messages are asked for, in the words of whoever asks."""

    logins: Logins
    order: Order = Order.SENT
    limit: int = 50
    after: str | None = None
    label: str | None = None
    campaign: str | None = None
    first_day: Day | None = None
    last_day: Day | None = None
    engaged: bool | None = None
    source: str | None = None
    """Whose references are named; None: those of every system."""


@dataclass(frozen=True, slots=True)
class MessagePage:
    """Some messages, and where the next page begins."""

    messages: tuple[MessageFigures, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Campaigns of a period; `complete` is false when it holds more messages than are compared."""

    campaigns: tuple[LabelFigures, ...]
    complete: bool


class Figures:
    """Answers questions about engagement."""

    def __init__(self, store: Store, tokens: Callable[[], Tokens]) -> None:
        self._store = store
        self._tokens = tokens

    async def messages(self, listing: Listing, now: datetime) -> MessagePage:
        """One page of messages.

        Raises InvalidField for a cursor that no page gave, and AddressInValue for a filter that names a person.
        """
        messages, cursor = await self._store.messages(self._query(listing), day_of(now), _running(listing.logins, now))
        return MessagePage(messages, cursor)

    async def every_message(self, listing: Listing, now: datetime) -> AsyncIterator[MessageFigures]:
        """All messages from the first page on, read a few at a time. Raises as `messages`."""
        after: str | None = None
        while True:
            page = await self.messages(replace(listing, limit=CHUNK, after=after), now)
            for each in page.messages:
                yield each
            after = page.next
            if after is None:
                return

    async def message(
        self, message_id: str, logins: Logins, now: datetime, *, source: str | None = None
    ) -> MessageFigures:
        """One message with its links. Raises NotFound (also for another owner's), StoreUnavailable."""
        key = _key(message_id)
        figures = await self._store.message(key, self._owners(logins), day_of(now), source, _running(logins, now))
        if figures is None:
            raise NotFound
        return figures

    async def timeline(self, message_id: str, logins: Logins, now: datetime) -> tuple[Moment, ...]:
        """When one message was touched. Raises as `message`."""
        figures = await self.message(message_id, logins, now)
        return await self._store.timeline(figures.message, day_of(now), _running(logins, now))

    async def recipients(self, addresses: Sequence[str], logins: Logins, now: datetime) -> tuple[PersonFigures, ...]:
        """What each of ADDRESSES did, in order. Raises InvalidField naming a position, StoreUnavailable."""
        keys = self._tokens().ring.pseudonym_keys
        people = []
        for position, address in enumerate(addresses):
            try:
                people.append(pseudonym(keys, normalise(address)))
            except Exception:
                raise InvalidField(f"addresses.{position}") from None
        today, mine, running = day_of(now), self._owners(logins), _running(logins, now)
        return tuple([await self._store.person(person, mine, today, running) for person in people])

    async def references(
        self, references: Sequence[str], source: str | None, logins: Logins, now: datetime
    ) -> tuple[PersonFigures | None, ...]:
        """What the people behind SOURCE's own REFERENCES did, in order; None for one it never gave."""
        today, mine, running = day_of(now), self._owners(logins), _running(logins, now)
        return tuple([await self._store.person_by_reference(source, each, mine, today, running) for each in references])

    async def campaigns(self, logins: Logins, days: int, now: datetime) -> Comparison:
        """What was sent in the last DAYS, by label."""
        today = day_of(now)
        query = MessageQuery(self._owners(logins), limit=COMPARED, first_day=later(today, 1 - days))
        messages, more = await self._store.messages(query, today, _running(logins, now))
        return Comparison(by_label(messages), complete=more is None)

    async def reasons(self, logins: Logins, days: int, now: datetime, *, newest: int | None = None) -> Reasons:
        """Why copies of the last DAYS left untouched, and whether more than a fifth of all came signed.

        NEWEST: how many messages of each login are looked at, at most; None: all.
        """
        today = day_of(now)
        return await self._store.reasons(self._owners(logins), later(today, 1 - days), today, newest)

    async def coverage(self, logins: Logins, days: int, now: datetime) -> tuple[Coverage, ...]:
        """How much of what was sent on each of the last DAYS could be measured, oldest first."""
        today = day_of(now)
        return await self._store.coverage(self._owners(logins), later(today, 1 - days), today)

    async def team(self, days: int, now: datetime) -> tuple[TeamTotals, ...]:
        """What all reps' mail came to on each of the last full DAYS, as it was put on file, oldest first."""
        today = day_of(now)
        return await self._store.team_totals(later(today, -days), later(today, -1))

    def _query(self, listing: Listing) -> MessageQuery:
        for name in ("label", "campaign"):
            value = getattr(listing, name)
            if value is not None and "\0" in value:
                raise InvalidField(f"{name}: holds what no text does")  # PostgreSQL would not even look for it
            if value is not None and mask_addresses(value) != value:
                raise AddressInValue(name)
        owners = self._owners(listing.logins)
        named = None
        if listing.campaign is not None:
            if owners is None:
                raise InvalidField("campaign: of one rep alone, whom Tracker-Owner names")
            key = self._tokens().ring.digest_keys.message
            named = frozenset(campaign_key(key, owner, listing.campaign) for owner in owners)
        return MessageQuery(
            owners=owners,
            order=listing.order,
            limit=listing.limit,
            after=listing.after,
            label=listing.label,
            messages=named,
            first_day=listing.first_day,
            last_day=listing.last_day,
            engaged=listing.engaged,
            source=listing.source,
        )

    def _owners(self, logins: Logins) -> frozenset[Owner] | None:
        key = self._tokens().ring.digest_keys.owner
        return None if logins is None else frozenset(owner_of(key, login) for login in logins)


def _running(logins: Logins, now: datetime) -> Running:
    """The hour that the reps behind LOGINS may not look into yet."""
    return None if logins is None else hour_of(now)


def _key(message_id: str) -> MessageKey:
    """The message that MESSAGE_ID names. Raises NotFound."""
    if not _KEY.fullmatch(message_id):
        raise NotFound
    return MessageKey(bytes.fromhex(message_id))
