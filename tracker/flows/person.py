"""Tells a rep about people whom the rep can name: what they agreed to, what they did, whether they may be called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from tracker.core.calendar import day_of, hour_of
from tracker.core.identity import owner_of
from tracker.core.pseudonym import normalise, pseudonym
from tracker.core.tokens import Tokens
from tracker.flows.asking import Asking
from tracker.flows.consent import Consents, ReportedConsent
from tracker.flows.recording import Outcome
from tracker.model import (
    MAIL_PURPOSES,
    ConsentState,
    Evidence,
    InvalidAddress,
    Language,
    Method,
    PersonFigures,
    Pseudonym,
    Purpose,
    Standing,
)
from tracker.store.store import Store


@dataclass(frozen=True, slots=True)
class PersonView:
    """What a rep may know of one person."""

    standing: Standing
    figures: PersonFigures
    """Of the rep's own messages."""


@dataclass(frozen=True, slots=True)
class ToldCall:
    """What a rep says of a telephone call."""

    address: str
    started_at: datetime
    seconds: int | None
    call_again: bool | None
    """Whether the person agreed to further calls; None: it was not asked."""
    purposes: frozenset[Purpose]
    """What they said may be measured."""
    requested: bool
    """Whether they asked for a confirmation by mail."""


class People:
    """Looks people up, and records calls with them."""

    def __init__(self, store: Store, tokens: Callable[[], Tokens], consents: Consents, asking: Asking) -> None:
        self._store = store
        self._tokens = tokens
        self._consents = consents
        self._asking = asking

    async def by_addresses(
        self, addresses: Sequence[str], logins: frozenset[str], now: datetime
    ) -> tuple[PersonView | None, ...]:
        """The people behind ADDRESSES, in order; None for what is no address. Raises StoreUnavailable."""
        return tuple([await self._by_address(address, logins, now) for address in addresses])

    async def by_reference(
        self, reference: str, source: str | None, logins: frozenset[str], now: datetime
    ) -> PersonView | None:
        """The person whom SOURCE (None: whichever system) calls REFERENCE; None when nobody is known by it."""
        person = await self._store.person_called(source, reference, day_of(now))
        return None if person is None else await self._view(person, logins, now)

    async def report_call(self, call: ToldCall, actor: str, language: Language, now: datetime) -> Outcome:
        """Record CALL, which ACTOR made; what the person said about mail waits until they confirm it on our page.

        Raises what `Consents.report_all` raises; Suppressed also when a no to calls was kept.
        """
        notice = await self._asking.notice(language, language)
        reported = ReportedConsent(
            address=call.address,
            purposes=call.purposes,
            method=Method.PHONE,
            given_at=call.started_at,
            notice_version=notice.version,
            language=notice.language,
            evidence=Evidence(
                source="dashboard",
                call_started_at=call.started_at,
                call_seconds=call.seconds,
                call_again=call.call_again,
            ),
            actor=actor,
            requested=call.requested,
        )
        outcome = await self._consents.report_all(reported, now)
        waits = outcome.mail is not None and outcome.mail[0] is ConsentState.PENDING
        if call.requested and waits and call.purposes & MAIL_PURPOSES:
            await self._asking.confirm(reported, now)
        return outcome

    async def _by_address(self, address: str, logins: frozenset[str], now: datetime) -> PersonView | None:
        try:
            person = pseudonym(self._tokens().ring.pseudonym_keys, normalise(address))
        except InvalidAddress:
            return None
        return await self._view(person, logins, now)

    async def _view(self, person: Pseudonym, logins: frozenset[str], now: datetime) -> PersonView:
        today = day_of(now)
        key = self._tokens().ring.digest_keys.owner
        owners = frozenset(owner_of(key, login) for login in logins)
        standing = await self._store.standing(person, today)
        return PersonView(standing, await self._store.person(person, owners, today, hour_of(now)))
