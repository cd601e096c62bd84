"""Tells how journal and database are kept in step, so that no no is lost: noted, committed, anchored, replayed.

The law: nothing is tracked while a no may be missing from the database, and a replay only ever makes things more
private. Whoever is told that a no counts can rely on it: it is in the database, or on the disk and about to be.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, TypeVar

from tracker.core.consent import ConsentPolicy
from tracker.core.journal import Anchor, Restored
from tracker.core.tokens import Tokens
from tracker.flows.replay import Replayer
from tracker.model import MAIL_PURPOSES, BadJournal, No, StoreUnavailable
from tracker.store.consents import ConsentBook
from tracker.store.engine import RowRefused
from tracker.store.journal import Journal
from tracker.store.journal_tail import Mark
from tracker.store.restore import Marks, RestoreBook
from tracker.store.store import Store

log = logging.getLogger(__name__)

Book = TypeVar("Book", bound=ConsentBook)

OFTEN: Final = timedelta(minutes=1)
"""How often the database is looked at while nothing waits."""
DRAWN_SIZE: Final = 16
NOT_COMPARED: Final = "not compared with the database yet"
WAITS: Final = "a withdrawal may wait for the database, and is applied before anything is tracked"
UNKNOWN: Final = "missing: the database does not know the journal in this folder; run `tracker restore-check`"
TOO_SHORT: Final = "the journal reaches back less far than the database, or was cut; run `tracker restore-check`"
REPLACED: Final = "the database was replaced, put right or started anew, and is not compared with the journal yet"
OTHERS: Final = "an older database was put in place, and another server has not replayed its journal yet"


class InStep:
    """Keeps one server's journal and the database in step."""

    def __init__(
        self,
        store: Store,
        journal: Journal,
        tokens: Callable[[], Tokens],
        random_bytes: Callable[[int], bytes],
        *,
        proof_days: int,
        backup_days: int,
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        """LEADS: whether this process, of those that share JOURNAL, notes what other servers wrote."""
        self._store = store
        self._journal = journal
        self._tokens = tokens
        self._random_bytes = random_bytes
        self._replayer = Replayer(store, tokens, ConsentPolicy(proof_days=proof_days))
        self._backup_days = backup_days
        self._leads = leads
        self._looked: datetime | None = None
        self._read = False
        self._away: list[No] = []
        """What was noted while the store was away."""
        self.trouble = ""
        """Why nothing is tracked; empty when all is well."""

    async def start(self, now: datetime) -> None:
        """Track nothing until journal and database agree; what stands in the way is `trouble`, not an error."""
        self._store.hold()
        self._store.hold_while(lambda: self._journal.doubt.is_open)
        self.trouble = NOT_COMPARED
        try:
            await self.look(now)
        except StoreUnavailable:
            log.warning("journal and database cannot be compared: the store is away")

    async def record(
        self, no: No, transaction: AbstractAsyncContextManager[Book], write: Callable[[Book], Awaitable[bool]]
    ) -> bool:
        """Let WRITE write NO to the database in TRANSACTION, and note it in the journal before that commits.

        WRITE returns whether it was news; `no.at` is the instant that the ledger's entry is recorded at. When the
        store is away NO is noted in the journal alone, and replayed as soon as it is back; that counts as news.
        Raises StoreUnavailable when neither was possible.
        """
        noted = news = False
        generation = self.generation  # that of the pseudonym in NO
        try:
            async with transaction as book:
                news = await write(book)
                if news:
                    noted = await self._noted([no], generation)
        except RowRefused:
            raise
        except StoreUnavailable:
            if not noted and not self._waits(no) and not await self._noted([no], generation):
                raise
            self._away.append(no)
            self._cast_doubt()
            self._hold(WAITS)
            return True
        return news

    @asynccontextmanager
    async def noting(
        self, transaction: AbstractAsyncContextManager[Book], generation: int | None = None
    ) -> AsyncIterator[Book]:
        """TRANSACTION, whose nos are noted in the journal, all at once, before it commits.

        GENERATION: what `generation` was when their pseudonyms were made; default: as it is now. Raises what the
        transaction raises; a no that was noted then is replayed, and nothing is tracked until it is.
        """
        generation = generation or self.generation
        noted = False
        try:
            async with transaction as book:
                yield book
                noted = await self._noted(book.nos, generation)
        except RowRefused:
            raise
        except StoreUnavailable:
            if noted:
                self._cast_doubt()
                self._hold(WAITS)
            raise

    async def keep(self, now: datetime) -> None:
        """Replay what waits, else compare once a minute. While the store is away it is tried again; nothing is lost."""
        overdue = self._looked is None or not timedelta() <= now - self._looked < OFTEN
        if overdue:
            self._looked = now
        try:
            await self._store.look_at_database(thoroughly=overdue)
            if self.holding:
                self._hold(self.holding)
            if self.trouble or overdue:
                await self.look(now)
        except StoreUnavailable:
            return  # readiness says so by itself

    async def stop(self, clock: Callable[[], datetime]) -> None:
        """Note the ledger's head for the last time."""
        if not self.trouble:
            self._looked = None
            await self.keep(clock())
        self._journal.doubt.close()

    async def look(self, now: datetime) -> None:
        """Compare journal and database and replay what the database lacks; who leads also notes what others wrote.

        Raises StoreUnavailable: nothing changed in whether anything is tracked.
        """
        self._looked = now
        replaced = self._store.replaced
        try:
            doubt = self._journal.doubt.latest
            if not self._read:
                await self._journal.load()
                self._read = True
            waits = await self._compare(now)
            if waits:
                self._read = waits == OTHERS  # else a person may begin another journal
                self._hold(waits)
                return
            if self._leads():
                await self._follow(now)
                await self._journal.turn(now, self._backup_days)
        except BadJournal as error:
            self._read = False  # it may be put back
            self._hold(error.detail)
            return
        if self._journal.waiting or self._store.replaced != replaced:  # somebody said no meanwhile, or moved files
            return
        if self.trouble not in ("", NOT_COMPARED):
            log.info("journal and database are in step")
        self._away, self.trouble = [], ""
        self._journal.doubt.settle(doubt)
        self._store.go_on()
        if self._journal.doubt.is_open:  # since then, perhaps because of what was found here
            await self.look(now)

    async def _compare(self, now: datetime) -> str:
        """Replay what the database lacks; what stands in the way of going on, or nothing."""
        journal = self._journal
        async with self._store.restoring() as book:
            marks = await book.marks()
            await journal.follow()  # after the marks, which are never ahead of it then
            mark = marks.applied.get(journal.id)
            if mark is None:
                return UNKNOWN
            if not journal.reaches(mark):
                await journal.load()  # another process wrote to it, and then to the database
            if not journal.reaches(mark):
                return TOO_SHORT
            lost = await self._lost(book, mark)
            if lost is not None:
                drawn = self._random_bytes(DRAWN_SIZE)
                await book.went_back(drawn)
                marks = replace(marks, restored=drawn, replayed=frozenset())
        if lost is not None:
            self._cast_doubt()
            self._hold("an older database was put in place; what it lacks is replayed")
            log.warning("the database lacks what it had: it went back to entry %d; the journal is replayed", lost)
            await journal.note(Restored(now, lost), now)
        if mark.number < self._applied():
            await journal.load()  # what was applied once has to be applied again
        journal.applied(mark.number)
        await self.replay(journal)
        if marks.restored is None:
            return ""
        return await self._go_forward(marks, marks.restored)

    async def _lost(self, book: RestoreBook, mark: Mark) -> int | None:
        """The ledger's last entry, when the database went back and lacks what was anchored; None when it did not."""
        anchor = self._journal.anchor
        if not isinstance(anchor, Anchor):
            return None
        if anchor.applied <= mark.number and await book.has_head(anchor.entry, anchor.digest):
            return None
        return (await book.head())[0]

    async def _go_forward(self, marks: Marks, drawn: bytes) -> str:
        """Note that this journal was replayed; the last one to be lets everybody go on."""
        async with self._store.restoring() as book:
            await book.replayed(self._journal.id, drawn)
            missing = marks.applied.keys() - marks.replayed - {self._journal.id}
            if not missing:
                await book.is_forward()
        return OTHERS if missing else ""

    async def replay(self, journal: Journal) -> int:
        """Apply all that waits in JOURNAL; how much of it was news to the database. Raises StoreUnavailable."""
        return await self._replayer.replay(journal)

    async def _follow(self, now: datetime) -> None:
        """Note the nos of other servers, and the ledger's head."""
        journal = self._journal
        last = journal.anchor
        async with self._store.restoring() as book:
            head = await book.head()
            if last is not None and last.entry == head[0] and isinstance(last, Anchor) and journal.anchored:
                return
            theirs = await book.nos_since(last.entry if last else 0)
        await journal.follow()  # what other processes of this server committed they noted before
        if journal.anchor is not last:
            return  # one of them was faster
        own = {(no.pseudonym, no.at) for no in map(self._replayer.current, journal.since_anchor)}
        missing = [no for no in theirs if (no.pseudonym, no.at) not in own]
        if missing:
            await journal.note_nos(missing, self.generation, now)
        await journal.note(Anchor(now, *head, self._applied()), now)
        await self.replay(journal)

    async def _noted(self, nos: Sequence[No], generation: int) -> bool:
        """Whether NOS are in the journal now; where they cannot be, what is committed is followed up later."""
        if not nos:
            return False
        try:
            if not self._read:
                raise BadJournal(self.trouble)
            await self._journal.note_nos(nos, generation, nos[0].at)
        except BadJournal as error:
            log.error("a no could not be noted in the journal: %s", error.detail)
            self._looked = None
            return False
        return True

    def _waits(self, no: No) -> bool:
        """Whether the same no was noted already while the store is away: pressing again writes nothing.

        One to everything is sure to be one to mail alone: whether there is a yes to calls to be ended is not known.
        """
        return any(
            (one.kind, one.pseudonym) == (no.kind, no.pseudonym)
            and ((no.purposes and one.purposes >= no.purposes) or (not one.purposes and no.purposes <= MAIL_PURPOSES))
            for one in self._away
        )

    @property
    def holding(self) -> str:
        """Why nothing is tracked just now, also when another process of this server said so; empty when all is well."""
        if self.trouble or not self._store.on_hold:
            return self.trouble
        return WAITS if self._journal.doubt.is_open else REPLACED

    def _applied(self) -> int:
        """The number of the last no that the database is known to have applied."""
        waiting = self._journal.waiting
        return waiting[0].number - 1 if waiting else self._journal.number

    @property
    def generation(self) -> int:
        """How many pseudonym keys there are."""
        return len(self._tokens().ring.pseudonym_keys)

    def _cast_doubt(self) -> None:
        """Let the other processes of this server look, too, before they track anything."""
        try:
            self._journal.doubt.cast()
        except BadJournal as error:
            log.error("the other processes could not be told of a no: %s", error.detail)

    def _hold(self, why: str) -> None:
        self._store.hold()
        if self.trouble != why:
            log.warning("nothing is tracked: %s", why)
        self.trouble = why
