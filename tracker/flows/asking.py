"""Tells how somebody is asked for consent: on their own wish, because a report needs their word, or by a sender's mail.

The law: only what the tracker itself mails is marked so (DESIGN.md, Consent); an invitation is refused after a no,
and for six months after silence (LAW.md R12).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tracker.core.ask import ASK_NONCE_SIZE, AskToken
from tracker.core.calendar import date_of, day_of, later
from tracker.core.inbox import inbox_of
from tracker.core.periods import OPEN_DAYS, SIX_MONTHS
from tracker.core.pseudonym import normalise, pseudonym
from tracker.core.tokens import Tokens
from tracker.core.versions import in_language, newest_version
from tracker.flows.consent import ReportedConsent, check_reference
from tracker.flows.mailing import Mailings
from tracker.model import (
    MAIL_PURPOSES,
    AskedAlready,
    InvalidField,
    Language,
    Letter,
    MailKind,
    Method,
    Notice,
    Pseudonym,
    Purpose,
    Suppressed,
    UnknownNotice,
)
from tracker.store.store import Store


@dataclass(frozen=True, slots=True)
class Invitation:
    """What a sender puts into its own mail."""

    url: str
    expires_at: datetime


class Asking:
    """Makes the links behind which somebody says yes or no."""

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
        """Whether we can mail a link ourselves."""
        return self._mailings.possible

    async def notice(self, language: Language, otherwise: Language) -> Notice:
        """The text that people are asked to agree to just now. Raises UnknownNotice, StoreUnavailable."""
        notices = await self._store.notices()
        version = newest_version(notices)
        found = None if version is None else in_language(notices, version, language, otherwise)
        if found is None:
            raise UnknownNotice
        return found

    async def ask(self, address: str, purposes: frozenset[Purpose], language: Language, now: datetime) -> None:
        """Mail the question about PURPOSES to ADDRESS, which somebody typed; nobody is told whether we do.

        Raises InvalidAddress, InvalidField, UnknownNotice, StoreUnavailable.
        """
        notice = await self.notice(language, language)
        normalised, person = self._person(address)
        await self._mail(MailKind.ASK, normalised, person, _about_mail(purposes), language, notice.version, now)

    async def confirm(self, reported: ReportedConsent, now: datetime) -> None:
        """Mail the question about what was REPORTED and waits, since the person asked for that.

        For a single report only: what comes in masses never mails anybody, nor does an import (DESIGN.md, Consent).
        Raises InvalidAddress, InvalidField, StoreUnavailable.
        """
        if reported.method is Method.IMPORTED:
            return
        normalised, person = self._person(reported.address)
        await self._mail(
            MailKind.CONFIRMATION,
            normalised,
            person,
            _about_mail(reported.purposes),
            reported.language,
            reported.notice_version,
            now,
            reported.actor,
        )

    async def invite(
        self,
        address: str,
        purposes: frozenset[Purpose],
        language: Language,
        actor: str,
        now: datetime,
        *,
        reference: str | None = None,
    ) -> Invitation:
        """A link by which the person behind ADDRESS is asked in lawful mail of ACTOR's own.

        Raises:
            InvalidAddress, InvalidField, AddressInValue, UnknownNotice: nothing was written.
            Suppressed: the person said no.
            AskedAlready: they were asked and did not answer.
            StoreUnavailable: nothing was written.
        """
        notice = await self.notice(language, language)
        normalised, person = self._person(address)
        purposes = _about_mail(purposes)
        if reference is not None:
            check_reference(reference, "reference", normalised)
        today = day_of(now)
        async with self._store.consents() as book:
            standing = await book.standing(person, today)
            suppressed = standing.suppressed.keys() & MAIL_PURPOSES  # a no is to being asked, not to one box of it
            ends = None
            if not suppressed:
                ends = await book.invite(person, today, lasts=OPEN_DAYS, quiet=SIX_MONTHS, source=actor)
                if ends is not None and reference is not None:
                    await book.remember_reference(actor, reference, person, ends)
        if suppressed:
            raise Suppressed("purposes")
        if ends is None:
            raise AskedAlready
        # The first invitation of a person is open for 30 days to the second; others end on its last day.
        first = ends == later(today, OPEN_DAYS)
        expires = (
            now + timedelta(days=OPEN_DAYS) if first else datetime.combine(date_of(ends), datetime.min.time(), UTC)
        )
        expires = expires.replace(microsecond=0)
        token = AskToken(person, purposes, language, expires, notice.version, mailed=False)
        return Invitation(self._url(token, now), expires)

    async def _mail(
        self,
        kind: MailKind,
        address: str,
        person: Pseudonym,
        purposes: frozenset[Purpose],
        language: Language,
        version: str,
        now: datetime,
        source: str | None = None,
    ) -> None:
        lasts = timedelta(days=OPEN_DAYS)
        token = AskToken(person, purposes, language, now + lasts, version, mailed=True)
        letter = Letter(kind, address, language, self._url(token, now), lasts)
        if kind is MailKind.ASK:
            _, person = self._person(inbox_of(address))
        await self._mailings.send_soon(letter, person, now, source=source)

    def _url(self, token: AskToken, now: datetime) -> str:
        tokens = self._tokens()
        key = tokens.ring.signing_key(now)
        return f"{self._public_url}/ask/{tokens.seal_ask(token, self._random_bytes(ASK_NONCE_SIZE), key.id)}"

    def _person(self, address: str) -> tuple[str, Pseudonym]:
        normalised = normalise(address)
        return normalised, pseudonym(self._tokens().ring.pseudonym_keys, normalised)


def _about_mail(purposes: frozenset[Purpose]) -> frozenset[Purpose]:
    if not purposes or not purposes <= MAIL_PURPOSES:
        raise InvalidField("purposes")
    return purposes
