"""Tells what the answer to a question does: one yes or one no, recorded for good by a POST of whoever holds the link.

The law (DESIGN.md, Tokens and Consent): only a link that the tracker itself mailed takes back a no or confirms what
somebody reported; a no counts with any link; one link, one answer, in one transaction with what it does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from tracker.core.ask import AskToken, token_digest
from tracker.core.calendar import day_of, later
from tracker.core.consent import (
    BY_OUR_MAIL,
    ConsentPolicy,
    grant_last_day,
    invited_by,
    needs_own_mail,
    suppression_last_day,
)
from tracker.core.ledger import notice_hash
from tracker.core.periods import OPEN_DAYS
from tracker.core.tokens import Tokens
from tracker.core.versions import in_language
from tracker.flows.in_step import InStep
from tracker.model import (
    AskExpired,
    AskRetired,
    AskSpent,
    BadToken,
    ConsentReport,
    Evidence,
    InvalidField,
    Language,
    Method,
    NeedsOwnMail,
    No,
    NoKind,
    Notice,
    OwnActor,
    Purpose,
)
from tracker.store.consents import ConsentBook
from tracker.store.store import Store

BY_A_SENDERS_MAIL: Final = "page"
"""How a yes was confirmed that came behind another link, in the evidence of its entry."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and the text that a yes agrees to."""

    purposes: frozenset[Purpose]
    notice: Notice


class Answers:
    """Reads ask tokens and records what their holders say."""

    def __init__(
        self, store: Store, tokens: Callable[[], Tokens], policy: ConsentPolicy, in_step: InStep, public_url: str
    ) -> None:
        self._store = store
        self._in_step = in_step
        self._tokens = tokens
        self._policy = policy
        self._source = f"{public_url}/ask"

    def read(self, text: str, now: datetime) -> AskToken:
        """What the link with TEXT asks. Raises BadToken, AskRetired, AskExpired; needs no store."""
        token = self._tokens().open_ask(text)
        if token is None:
            raise BadToken
        if token.retired:
            raise AskRetired
        if token.expires <= now:
            raise AskExpired
        return token

    async def question(self, text: str, language: Language, now: datetime) -> Question:
        """What is asked, in LANGUAGE where there is such a text. Writes nothing.

        Raises BadToken, AskRetired, AskExpired, AskSpent, StoreUnavailable.
        """
        token = self.read(text, now)
        if await self._store.is_spent(token_digest(text)):
            raise AskSpent
        notice = in_language(await self._store.notices(), token.notice_version, language, token.language)
        if notice is None:
            raise AskExpired
        return Question(token.purposes, notice)

    async def yes(self, text: str, purposes: frozenset[Purpose], language: Language, now: datetime) -> None:
        """Record a yes to PURPOSES, which the person ticked on a page in LANGUAGE.

        Raises:
            BadToken, AskRetired, AskExpired, AskSpent: the link is good for no answer.
            InvalidField: PURPOSES are none, or others than were asked.
            NeedsOwnMail: the link is a sender's, and the person said no before or somebody reported their yes; or
                nos were lost by a restore after it was made.
            StoreUnavailable.
            Whatever is raised, nothing was written and the link stays as it was.
        """
        token = self.read(text, now)
        if not purposes or not purposes <= token.purposes:
            raise InvalidField("purposes")
        shown = (await self.question(text, language, now)).notice
        today = day_of(now)
        async with self._store.consents() as book:
            await _spend(book, text, token)
            notice = await book.notice(shown.version, shown.language)
            if notice is None or notice.superseded_day is not None:
                raise AskExpired
            standing = await book.standing(token.pseudonym, today)
            if not token.mailed and (needs_own_mail(purposes, standing) or await _is_in_doubt(book, token)):
                raise NeedsOwnMail
            await book.lift(token.pseudonym, purposes)
            inviter = None if token.mailed else await book.inviter(token.pseudonym, today)
            report = self._report(token, purposes, notice, inviter, now)
            last_day = grant_last_day(report, self._policy)
            await book.give(
                report,
                purposes,
                grant_last_day=last_day,
                content_last_day=later(last_day, self._policy.proof_days),
                today=today,
                now=now,
                notice_hash=notice_hash(notice.text),
            )
            if purposes == token.purposes:
                await book.invitation_answered(token.pseudonym)

    async def no(self, text: str, now: datetime) -> None:
        """Record a no to all that was asked; it ends what was allowed before, also while the store is away.

        Raises BadToken, AskRetired, AskExpired, AskSpent, StoreUnavailable; then nothing was written.
        """
        token = self.read(text, now)
        today = day_of(now)
        no = No(NoKind.WITHDRAWAL, token.pseudonym, token.purposes, now, OwnActor.RECIPIENT, token.language)

        async def write(book: ConsentBook) -> bool:
            await _spend(book, text, token)
            return await book.withdraw(
                no.pseudonym,
                no.purposes,
                now=now,
                actor=no.actor,
                language=no.language,
                content_last_day=later(today, self._policy.proof_days),
                suppression_last_day=suppression_last_day(today, self._policy),
            )

        await self._in_step.record(no, self._store.consents(), write)

    def _report(
        self, token: AskToken, purposes: frozenset[Purpose], notice: Notice, inviter: str | None, now: datetime
    ) -> ConsentReport:
        moment = now.replace(microsecond=0)
        return ConsentReport(
            pseudonym=token.pseudonym,
            purposes=purposes,
            method=Method.PAGE,
            given_at=moment,
            notice_version=notice.version,
            language=notice.language,
            evidence=Evidence(
                source=self._source,
                confirmed_at=moment,
                confirmed_by=BY_OUR_MAIL if token.mailed else BY_A_SENDERS_MAIL,
                document=None if inviter is None else invited_by(inviter),
            ),
            actor=OwnActor.RECIPIENT,
        )


async def _is_in_doubt(book: ConsentBook, token: AskToken) -> bool:
    """Whether a no that is lost may have followed the sender's link with TOKEN; it may be younger than it looks."""
    vouched_since = await book.vouched_since()
    return vouched_since is not None and token.expires - timedelta(days=OPEN_DAYS) <= vouched_since


async def _spend(book: ConsentBook, text: str, token: AskToken) -> None:
    if not await book.spend(token_digest(text), day_of(token.expires)):
        raise AskSpent
