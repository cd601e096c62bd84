"""Tells how a person proves a mailbox: a link is mailed to the address they typed, and opens a session once.

The law (LAW.md R49): the same answer and the same work for every address; looking at the link spends nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from tracker.core.calendar import day_of
from tracker.core.inbox import inbox_of
from tracker.core.keys import KeyRing
from tracker.core.mailbox import NONCE_SIZE, VALID, ProofTokens, Proven, token_digest
from tracker.core.pseudonym import normalise, pseudonym
from tracker.core.tokens import Tokens
from tracker.flows.mailing import Mailings
from tracker.model import Language, Letter, MailKind, Pseudonym
from tracker.store.store import Store

LINK: Final = "/me/"
"""The path of a mailbox link, before its token."""


@dataclass(frozen=True, slots=True)
class Session:
    """A quarter of an hour for the person who proved their mailbox."""

    person: Pseudonym
    language: Language
    until: datetime
    cookie: str = field(repr=False)
    form_key: str = field(repr=False)
    """Each form of the session carries it."""


class Mailbox:
    """Mails links and opens sessions."""

    def __init__(
        self,
        store: Store,
        tokens: Callable[[], Tokens],
        mailings: Mailings,
        random_bytes: Callable[[int], bytes],
        public_url: str,
    ) -> None:
        self._store = store
        self._tokens = tokens
        self._mailings = mailings
        self._random_bytes = random_bytes
        self._public_url = public_url

    @property
    def possible(self) -> bool:
        """Whether links can be mailed at all."""
        return self._mailings.possible

    async def send_link(self, address: str, language: Language, now: datetime) -> None:
        """Mail a link to ADDRESS soon, unless it got enough today. Raises InvalidAddress, StoreUnavailable."""
        normalised = normalise(address)
        person = pseudonym(self._tokens().ring.pseudonym_keys, normalised)
        token = self._links().seal(person, language, self._random_bytes(NONCE_SIZE), now)
        letter = Letter(MailKind.MAILBOX, normalised, language, f"{self._public_url}{LINK}{token}", VALID)
        inbox = pseudonym(self._tokens().ring.pseudonym_keys, inbox_of(normalised))
        await self._mailings.send_soon(letter, inbox, now)

    def read_link(self, token: str, now: datetime) -> Proven | None:
        """Whose mailbox TOKEN proves; None when it is altered or over. Needs no database and spends nothing."""
        return self._links(token).open(token, now)

    async def open(self, token: str, now: datetime) -> Session | None:
        """Spend the link with TOKEN and begin a session; None when it is altered, over or was used before.

        Raises StoreUnavailable, and then nothing is spent.
        """
        proven = self.read_link(token, now)
        if proven is None or not await self._store.spend(token_digest(token), day_of(proven.until)):
            return None
        cookie = self._sessions().seal(proven.pseudonym, proven.language, self._random_bytes(NONCE_SIZE), now)
        return await self.session(cookie, now)

    async def session(self, cookie: str, now: datetime) -> Session | None:
        """The session of COOKIE; None when there is none, it is over or was ended. Raises StoreUnavailable."""
        sessions = self._sessions(cookie)
        proven = sessions.open(cookie, now)
        if proven is None or await self._store.is_spent(token_digest(cookie)):
            return None
        return Session(proven.pseudonym, proven.language, proven.until, cookie, sessions.form_key(cookie))

    def is_own_form(self, session: Session, given: str) -> bool:
        """Whether a form that carries GIVEN as its key is one of SESSION's own (LAW.md R60)."""
        return self._sessions(session.cookie).is_form_key(session.cookie, given)

    async def end(self, session: Session) -> None:
        """End SESSION everywhere: its cookie opens nothing more. Raises StoreUnavailable."""
        await self._store.spend(token_digest(session.cookie), day_of(session.until))

    def _links(self, token: str | None = None) -> ProofTokens:
        """To make links, or to open the one with TOKEN."""
        return ProofTokens(self._ring(token), lambda key: key.mailbox)

    def _sessions(self, cookie: str | None = None) -> ProofTokens:
        """To begin sessions, or to open that of COOKIE."""
        return ProofTokens(self._ring(cookie), lambda key: key.session)

    def _ring(self, text: str | None) -> KeyRing:
        tokens = self._tokens()
        return (tokens if text is None else tokens.knowing(text[:1])).ring
