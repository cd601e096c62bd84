"""Tells what a rep may know: events become counts, and people are found only by who knows their address."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from tracker.core.calendar import day_of
from tracker.core.identity import owner_of
from tracker.core.pseudonym import normalise, pseudonym
from tracker.core.tokens import Tokens
from tracker.model import InvalidField, MessageFigures, MessageKey, NotFound, Owner, PersonFigures
from tracker.store.store import Store


@dataclass(frozen=True, slots=True)
class MessagePage:
    """Some messages, newest first, and where the next page begins."""

    messages: tuple[MessageFigures, ...]
    next: str | None


class Figures:
    """Answers questions about engagement; `owner` is a rep's login, None for whoever may see all."""

    def __init__(self, store: Store, tokens: Callable[[], Tokens]) -> None:
        self._store = store
        self._tokens = tokens

    async def messages(
        self, owner: str | None, now: datetime, *, limit: int = 50, after: str | None = None
    ) -> MessagePage:
        """One page of messages. Raises InvalidField for a cursor that no page gave, StoreUnavailable."""
        messages, cursor = await self._store.messages(self._owner(owner), day_of(now), limit, after)
        return MessagePage(messages, cursor)

    async def message(self, message_id: str, owner: str | None, now: datetime) -> MessageFigures:
        """One message with its links. Raises NotFound (also for another owner's), StoreUnavailable."""
        figures = None
        if len(message_id) == 32 and message_id.isascii() and message_id.isalnum():
            try:
                key = MessageKey(bytes.fromhex(message_id))
            except ValueError:
                raise NotFound from None
            figures = await self._store.message(key, self._owner(owner), day_of(now))
        if figures is None:
            raise NotFound
        return figures

    async def recipients(self, addresses: Sequence[str], owner: str | None, now: datetime) -> tuple[PersonFigures, ...]:
        """What each of ADDRESSES did, in order. Raises InvalidField naming a position, StoreUnavailable."""
        keys = self._tokens().ring.pseudonym_keys
        people = []
        for position, address in enumerate(addresses):
            try:
                people.append(pseudonym(keys, normalise(address)))
            except Exception:
                raise InvalidField(f"addresses.{position}") from None
        today, mine = day_of(now), self._owner(owner)
        return tuple([await self._store.person(person, mine, today) for person in people])

    async def references(
        self, references: Sequence[str], source: str, owner: str | None, now: datetime
    ) -> tuple[PersonFigures | None, ...]:
        """What the people behind SOURCE's own REFERENCES did, in order; None for one it never gave."""
        today, mine = day_of(now), self._owner(owner)
        return tuple(
            [await self._store.person_by_reference(source, reference, mine, today) for reference in references]
        )

    def _owner(self, login: str | None) -> Owner | None:
        return None if login is None else owner_of(self._tokens().ring.digest_keys.owner, login)
