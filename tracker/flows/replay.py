"""Tells how a no of the journal comes into a database that lacks it, once and for good.

The law: a replay only ever makes things more private; it ends what was allowed before the no, and never what the person
themselves allowed after it, behind a link that the tracker mailed to them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from tracker.core.calendar import day_of, later
from tracker.core.consent import ConsentPolicy, everything_of, suppression_last_day
from tracker.core.journal import Noted
from tracker.core.periods import AUDIT_DAYS, TELL_DAYS
from tracker.core.pseudonym import rewrap
from tracker.core.tokens import Tokens
from tracker.model import No, NoKind, OwnActor
from tracker.store.journal import Journal
from tracker.store.restore import RestoreBook
from tracker.store.store import Store

AT_ONCE: Final = 100
"""The most nos that are replayed in one transaction."""
ERASE: Final = "subject erase"
"""What the audit trail calls an erasure after a letter or a call."""


class Replayer:
    """Applies what waits in journals."""

    def __init__(self, store: Store, tokens: Callable[[], Tokens], policy: ConsentPolicy) -> None:
        self._store = store
        self._tokens = tokens
        self._policy = policy

    async def replay(self, journal: Journal) -> int:
        """Apply all that waits in JOURNAL; how much of it was news to the database.

        Raises StoreUnavailable; what was applied before stays so.
        """
        news = 0
        while waiting := journal.waiting[:AT_ONCE]:
            number = waiting[-1].number
            nos = [self.current(noted) for noted in waiting]
            async with self._store.restoring() as book:
                for no in nos:
                    news += await self._apply(book, no)
                await book.set_mark(journal.id, journal.mark(number))
            journal.applied(number)
        return news

    async def _apply(self, book: RestoreBook, no: No) -> bool:
        """Let NO be in the database; False when it is there, or when the person took it back themselves since."""
        if await book.knows(no):
            return False
        today = day_of(no.at)
        agreed = await book.agreed_since(no.pseudonym, no.at)
        proof_ends = later(today, self._policy.proof_days)
        no_ends = suppression_last_day(today, self._policy)
        if no.kind is NoKind.ERASURE:
            if no.actor != OwnActor.RECIPIENT:  # the trail was lost with the database, or not written while it was away
                ends = later(today, AUDIT_DAYS)
                await book.audit(at=no.at, actor=no.actor, action=ERASE, case=None, last_day=ends)
            return await book.erase(
                no.pseudonym,
                now=no.at,
                actor=no.actor,
                language=no.language,
                content_last_day=proof_ends,
                suppression_last_day=no_ends,
                tell_until=later(today, TELL_DAYS),
                spared=agreed,
                on_record=True,
            )
        purposes = (no.purposes or everything_of(await book.standing(no.pseudonym, today))) - agreed
        if not purposes:
            return False
        return await book.withdraw(  # also of somebody whom an older database does not know: a no stays a no
            no.pseudonym,
            purposes,
            now=no.at,
            actor=no.actor,
            language=no.language,
            content_last_day=proof_ends,
            suppression_last_day=no_ends,
        )

    def current(self, noted: Noted) -> No:
        """What was NOTED, with the pseudonym of today's generation."""
        later_keys = self._tokens().ring.pseudonym_keys[noted.generation :]
        return replace(noted.no, pseudonym=rewrap(later_keys, noted.no.pseudonym))
