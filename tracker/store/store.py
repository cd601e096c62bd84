"""The store as the flows see it: model values in, model values out, StoreUnavailable for whatever fails."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final, ParamSpec, Self, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.core.calendar import day_of, later
from tracker.core.held import Held
from tracker.core.oversight import AuditLine, ConsentState
from tracker.core.webhook import Backlog, WaitingWebhook
from tracker.model import (
    ApiKey,
    Coverage,
    Day,
    DeliveryId,
    DeliveryRef,
    Event,
    Hour,
    LedgerContent,
    MailKind,
    MessageFigures,
    MessageKey,
    MessageQuery,
    Moment,
    Notice,
    Owner,
    PersonFigures,
    Proof,
    Pseudonym,
    Purpose,
    Reason,
    Reasons,
    Registration,
    Standing,
    StoreUnavailable,
    TeamTotals,
    UntouchedCopy,
)
from tracker.store import (
    coverage,
    deliveries,
    engaged,
    examination,
    expiry,
    figures,
    grants_sqlite,
    keys,
    ledger,
    mailings,
    migrate,
    notes,
    notices,
    outbox,
    oversight,
    people,
    proofs,
    rekey,
    spent,
    team,
    timeline,
    watched,
)
from tracker.store.alone import SWEEP
from tracker.store.bulk import BulkBook
from tracker.store.bursts import Struck, nothing_struck
from tracker.store.changes import ChangePage, changes_after
from tracker.store.consents import ConsentBook
from tracker.store.databases import database_of
from tracker.store.engine import BUSY_SECONDS, Database
from tracker.store.events import record_events
from tracker.store.events_postgres import record_events as record_on_postgres
from tracker.store.examination import Examination
from tracker.store.expiring import Expiring, expiring
from tracker.store.figures import Owners
from tracker.store.group import CAPACITY, PAUSE, Group, PatientGroup, StreakGroup
from tracker.store.mailings import MailLimit
from tracker.store.measured import Running
from tracker.store.octets import all_octets
from tracker.store.partitions import AHEAD, ensure_partitions
from tracker.store.registrations_sqlite import Registrar
from tracker.store.reported import Ended, end_reported
from tracker.store.restore import RestoreBook
from tracker.store.sqlite import SqliteDatabase
from tracker.store.staff import StaffBook
from tracker.store.standing import read_standing, recipient_of
from tracker.store.subjects import SubjectBook, read_held
from tracker.store.unneeded import look_for_unneeded
from tracker.store.untouched import Tally, outcomes
from tracker.store.vacuumed import note_vacuum, vacuum_day
from tracker.store.watched import Told, Touch

Given = ParamSpec("Given")
Answer = TypeVar("Answer")


MOST_COPIES: Final = 200
"""The most that are registered in one transaction, which hits may have to wait for: some milliseconds."""


class _Rehearsed(Exception):
    """Ends a transaction of which nothing is to be kept."""


@dataclass(frozen=True, slots=True)
class Counters:
    """What became of events since the start, for the operator."""

    written: int
    """Events that the store accepted."""
    dropped: int
    """Events and untouched copies that were lost because the store was away for too long."""
    waiting: int
    """Events that are not written yet."""


class Store:
    """The database. Every method raises StoreUnavailable when it cannot be reached just now.

    Hot methods run in groups: `grants_of`, `key_by_digest`, `register` and `record` of many callers share a
    statement each.
    """

    def __init__(
        self,
        database: Database,
        ledger_key: bytes,
        fingerprint: bytes,
        *,
        worker: int = 0,
        retention_days: int = 90,
        minimum_group: int = 10,
        capacity: int = CAPACITY,
        pause: float = PAUSE,
        told_to: str | None = None,
    ) -> None:
        self._database = database
        self._ledger_key = ledger_key
        self._fingerprint = fingerprint
        self._minimum_group = minimum_group
        self.was_rekeyed = False
        """Whether opening it finished a rekey that had been interrupted."""
        self._held = False
        self._retention_days = retention_days
        self._doubted: Day | None = None
        """The day on which expired copies were thought of last."""
        self._struck: Struck = nothing_struck
        self._compared = database.replaced
        self._doubtful: Callable[[], bool] = bool
        read_grants = (
            partial(grants_sqlite.read_grants, database)
            if isinstance(database, SqliteDatabase)
            else partial(deliveries.read_grants, database)
        )
        self._grants = Group(self._unless_held(read_grants))
        self._keys = Group(
            partial(keys.read_keys_at_once, database)
            if isinstance(database, SqliteDatabase)
            else partial(keys.read_keys, database)
        )
        # Without the turn: a message of many links is written in several transactions, and hits come in between.
        register_copies = (
            Registrar(database)
            if isinstance(database, SqliteDatabase)
            else partial(deliveries.register_copies, database)
        )
        self._registrations = Group(self._unless_held(register_copies), size=MOST_COPIES)
        self._events: PatientGroup[tuple[Event, Day]]
        if isinstance(database, SqliteDatabase):
            write_events = partial(record_events, database, struck=self._is_struck, told_to=told_to)
            self._events = StreakGroup(
                self._unless_held(write_events), partial(self._may_write_on, database), capacity, pause, database.turn
            )
        else:
            write_one_group = partial(record_on_postgres, database, struck=self._is_struck, told_to=told_to)
            self._events = PatientGroup(self._unless_held(write_one_group), capacity, pause, database.turn)
        self._untouched = Tally(database, worker, retention_days)

    @staticmethod
    async def create(url: str, *, fingerprint: bytes, notices: Sequence[Notice]) -> None:
        """Make the database that URL names (a file with mode 0600), bound to the key file with FINGERPRINT.

        Raises SetupError when there is one already, BadSetting, StoreUnavailable.
        """
        await migrate.create(url, fingerprint, notices)

    @staticmethod
    async def unmake(url: str) -> None:
        """Take away what `create` has just made. Raises StoreUnavailable."""
        await migrate.unmake(url)

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        ledger_key: bytes,
        fingerprint: bytes,
        former: Mapping[bytes, tuple[bytes, ...]] = MappingProxyType({}),
        worker: int = 0,
        retention_days: int = 90,
        minimum_group: int = 10,
        busy_seconds: float = BUSY_SECONDS,
        capacity: int = CAPACITY,
        pause: float = PAUSE,
        told_to: str | None = None,
    ) -> Self:
        """Open the database that URL names.

        One that belongs to a FORMER generation of pseudonym keys, whose fingerprint is a key there, is brought to that
        with FINGERPRINT by the keys that came since. RETENTION_DAYS is how long counts of untouched copies stay;
        MINIMUM_GROUP how many people a message needs so that what expires goes on counting; a statement waits
        BUSY_SECONDS for another process; up to CAPACITY events wait for a store that is away, tried again every PAUSE
        seconds. TOLD_TO: the API key by whose references webhooks name people; None: there are no webhooks.
        Raises SchemaBehind, WrongKey, BadSetting, StoreUnavailable.
        """
        database = database_of(url, busy_seconds)
        try:
            await migrate.check(database, {fingerprint, *former})
            rekeyed = await rekey.catch_up(database, fingerprint, former)
        except BaseException:
            await database.close()
            raise
        store = cls(
            database,
            ledger_key,
            fingerprint,
            worker=worker,
            retention_days=retention_days,
            minimum_group=minimum_group,
            capacity=capacity,
            pause=pause,
            told_to=told_to,
        )
        store.was_rekeyed = rekeyed
        return store

    async def close(self) -> None:
        """Write what is waiting, then close. Nothing may be called afterwards."""
        await self._grants.close()
        await self._keys.close()
        await self._registrations.close()
        await self._events.close()
        await self._untouched.close()
        await self._database.close()

    async def ping(self) -> None:
        """Return when the database can be written just now: a note is, since a full disk is noticed only so."""
        async with self._database.write(alone=False) as connection:
            await notes.change(connection, notes.PING)

    async def look_at_database(self, *, thoroughly: bool) -> None:
        """Look whether the database is the one that is open, also when nobody asks for anything.

        Another one, and one that was put right after it was found damaged, may be older: then it is `on_hold`.
        THOROUGHLY: a damaged one is read through, even if nobody wrote to it since. Raises StoreUnavailable while it is
        not of use.
        """
        await self._database.look(thoroughly=thoroughly)

    @property
    def replaced(self) -> int:
        """How often another database came into the place of this one."""
        return self._database.replaced

    @property
    def on_hold(self) -> bool:
        """Whether nothing is tracked just now."""
        return self._held or self._database.replaced != self._compared or self._doubtful()

    def hold(self) -> None:
        """Track nothing until `go_on`, as if the store were away: somebody's no is not in the database yet."""
        self._held = True

    def go_on(self) -> None:
        """Track again: the database as it is now was compared with the journal."""
        self._held = False
        self._compared = self._database.replaced

    def hold_while(self, doubtful: Callable[[], bool]) -> None:
        """Nor track anything while DOUBTFUL says so, which is asked each time, from any thread."""
        self._doubtful = doubtful

    def _unless_held(self, run: Callable[Given, Awaitable[Answer]]) -> Callable[Given, Awaitable[Answer]]:
        async def guarded(*args: Given.args, **kwargs: Given.kwargs) -> Answer:
            if self.on_hold:
                raise StoreUnavailable("a no waits to be replayed")
            return await run(*args, **kwargs)

        return guarded

    def _may_write_on(self, database: SqliteDatabase) -> bool:
        """Whether what was just written to DATABASE is there, and more may be written in the same turn."""
        return database.may_keep_turn() and not self.on_hold

    @property
    def is_failing(self) -> bool:
        """Whether events could not be written just now, though all agrees with the journal.

        `ping` may go through meanwhile: PostgreSQL needs no room on the disk for it as long as its page has some.
        """
        return self._events.failing and not self.on_hold

    @property
    def is_losing(self) -> bool:
        """Whether no room is left for events that wait: those that come now are lost."""
        return self._events.full

    @property
    def counters(self) -> Counters:
        """What became of events since the start."""
        return Counters(self._events.written, self._events.dropped + self._untouched.dropped, self._events.waiting)

    # --- what many requests wait for, in groups ----------------------------------------------------

    async def grants_of(self, pseudonym: Pseudonym, today: Day) -> frozenset[Purpose]:
        """The purposes for which the person has a live grant on TODAY. Never cached: a withdrawal counts at once."""
        return await self._grants.submit((pseudonym, today))

    async def register(self, registration: Registration, today: Day) -> frozenset[Purpose]:
        """Let events hang on a copy that is about to leave; the purposes for which it is tracked.

        Empty, and nothing written, when no grant is live any more. The same delivery again changes nothing.
        """
        return await self._registrations.submit((registration, today))

    async def record(self, event: Event, today: Day) -> bool:
        """Write EVENT; True when it found an open delivery with a live grant, also when it was there already.

        Returns after the commit. While the store is away it waits in a queue; raises StoreUnavailable when it had
        to be dropped. Who cannot wait may cancel: the event stays in the queue.
        """
        return await self._events.submit((event, today))

    def record_soon(self, event: Event, today: Day, told: Callable[[bool | StoreUnavailable], None]) -> None:
        """The same without waiting: TOLD is called once, with what `record` returns or raises."""
        self._events.enqueue((event, today), told)

    def heed_bursts(self, struck: Struck) -> None:
        """From now on what people seem to have done where STRUCK knows of a burst becomes a program's."""
        self._struck = struck

    def _is_struck(self, delivery: DeliveryId, hour: Hour) -> bool:
        return self._struck(delivery, hour)

    def count_untouched(self, copy: UntouchedCopy) -> None:
        """Count COPY within a second: for its message when that is known or a campaign, else for its owner and day."""
        self._untouched.add(copy)

    async def close_deliveries(self, refs: Sequence[DeliveryRef], recipient: Pseudonym, today: Day) -> None:
        """Take no more opens of the deliveries that a copy for RECIPIENT quotes, nor clicks of other people's."""
        await deliveries.close_deliveries(self._database, refs, recipient, today)

    async def outcomes(self) -> Counter[Reason | None]:
        """How many copies that are remembered left untouched for each reason, and (None) tracked."""
        async with self._database.read() as connection:
            return await outcomes(connection)

    async def take_back(self, ref: DeliveryRef) -> None:
        """Forget the delivery REF: its copy was refused for good. Raises StoreUnavailable."""
        await deliveries.take_back(self._database, ref)

    # --- consent -----------------------------------------------------------------------------------

    @asynccontextmanager
    async def consents(self) -> AsyncIterator[ConsentBook]:
        """One transaction on what people agreed to, alone at it; committed unless the block raises.

        Pseudonyms are of the generation of keys that `use_keys` named last, when this is called.
        """
        async with self._writing_about_people() as connection:
            yield ConsentBook(connection, self._ledger_key)

    @asynccontextmanager
    async def consents_of_many(
        self, *, rehearsal: bool = False, fingerprint: bytes | None = None
    ) -> AsyncIterator[BulkBook]:
        """The same for many reports. Of a REHEARSAL nothing is kept: it only tells what would come of them.

        FINGERPRINT: what `fingerprint` was when their pseudonyms were made; default: as it is now.
        """
        with suppress(_Rehearsed):
            async with self._writing_about_people(fingerprint) as connection:
                book = BulkBook(connection, self._ledger_key)
                yield book
                await book.flush()
                if rehearsal:
                    raise _Rehearsed

    @asynccontextmanager
    async def restoring(self) -> AsyncIterator[RestoreBook]:
        """One transaction on journals, alone at the database; committed unless the block raises."""
        async with self._writing_about_people() as connection:
            yield RestoreBook(connection, self._ledger_key)

    @asynccontextmanager
    async def _writing_about_people(self, fingerprint: bytes | None = None) -> AsyncIterator[AsyncConnection]:
        fingerprint = fingerprint or self._fingerprint
        async with self._database.write() as connection:
            await rekey.check(connection, fingerprint)
            yield connection

    @property
    def fingerprint(self) -> bytes:
        """Of the pseudonym keys that are in use."""
        return self._fingerprint

    async def use_keys(self, fingerprint: bytes, former: Mapping[bytes, tuple[bytes, ...]]) -> bool:
        """From now on pseudonyms come from the keys with FINGERPRINT; bring the database there if it is not.

        True when it was not. FORMER as for `open`. Raises WrongKey, StoreUnavailable.
        """
        self._fingerprint = fingerprint
        return await rekey.catch_up(self._database, fingerprint, former)

    async def standing(self, pseudonym: Pseudonym, today: Day) -> Standing:
        """Where the person stands on TODAY."""
        async with self._database.read() as connection:
            return await read_standing(connection, pseudonym, today)

    async def history(self, pseudonym: Pseudonym, today: Day) -> tuple[LedgerContent, ...]:
        """What the ledger says of the person, oldest first, as far as it has not passed its day."""
        async with self._database.read() as connection:
            recipient = await recipient_of(connection, pseudonym)
            return () if recipient is None else await ledger.history(connection, recipient, today)

    async def proof(self, pseudonym: Pseudonym, today: Day) -> Proof:
        """All that is on record of the person's consent on TODAY, read at one moment."""
        async with self._database.read() as connection:
            return await proofs.read_proof(connection, pseudonym, today)

    async def changes(self, source: str, entry: int, today: Day, limit: int) -> ChangePage:
        """What became after ENTRY of people for whom SOURCE has a reference, in its own references."""
        async with self._database.read() as connection:
            return await changes_after(connection, source, entry, today, limit)

    async def take_webhooks(
        self, source: str, now: datetime, until: datetime, count: int
    ) -> tuple[WaitingWebhook, ...]:
        """Up to COUNT events to be told to SOURCE that are due NOW; nobody else gets them before UNTIL."""
        seconds = int(now.timestamp())
        async with self._database.read() as connection:  # most of the time nothing is, and nobody is kept waiting
            if not await outbox.is_due(connection, seconds):
                return ()
        async with self._database.write(alone=False) as connection:
            return await outbox.take(connection, source, day_of(now), seconds, int(until.timestamp()), count)

    async def settle_webhooks(self, told: Collection[Event], put_off: Mapping[Event, datetime]) -> None:
        """Those of TOLD need not be told again; each that is PUT_OFF is due again at its time."""
        async with self._database.write(alone=False) as connection:
            await outbox.forget(connection, told)
            await outbox.put_off(connection, {event: int(at.timestamp()) for event, at in put_off.items()})

    async def webhook_backlog(self, today: Day) -> Backlog:
        """The events that wait on TODAY to be told."""
        async with self._database.read() as connection:
            return await outbox.backlog(connection, today)

    async def consents_told_until(self) -> int | None:
        """The last entry of the ledger that webhooks told of, or need not tell of; None when none ever did."""
        async with self._database.read() as connection:
            value = await notes.read(connection, notes.TOLD_UNTIL)
            return None if value is None else int.from_bytes(value, "big")

    async def note_consents_told(self, entry: int) -> None:
        """Note that webhooks need not tell of ENTRY and those before it."""
        async with self._database.write() as connection:
            await notes.write(connection, notes.TOLD_UNTIL, entry.to_bytes(8, "big"))

    async def ledger_digest(self, entry: int) -> bytes | None:
        """The digest of the ledger's ENTRY; None when there is none such."""
        async with self._database.read() as connection:
            return await ledger.digest_of(connection, entry)

    async def end_reported(self, actor: str, since: datetime, now: datetime, proof_days: int) -> Ended:
        """End every grant that ACTOR reported since, and what waits for a confirmation; nobody said no, so nobody is
        suppressed.
        """
        return await end_reported(self._database, self._ledger_key, actor, since, now, proof_days)

    async def broken_entry(self, today: Day) -> int | None:
        """The first entry of the ledger that does not fit its chain or was changed; None when all is well."""
        async with self._database.read() as connection:
            return await ledger.first_broken(connection, self._ledger_key, today)

    async def examine_ledger(self, today: Day) -> Examination:
        """Everything that is wrong with the ledger."""
        async with self._database.read() as connection:
            return await examination.examine(connection, self._ledger_key, today)

    async def ledger_head(self) -> tuple[int, bytes]:
        """The number and the digest of the ledger's last entry."""
        async with self._database.read() as connection:
            return await ledger.head(connection)

    async def ledger_digests(self, entries: Sequence[int]) -> dict[int, bytes]:
        """The digests of those of ENTRIES that are there."""
        async with self._database.read() as connection:
            return await examination.digests_of(connection, entries)

    async def ledger_entry(self, digest: bytes) -> int | None:
        """The entry with that DIGEST; None when there is none."""
        async with self._database.read() as connection:
            return await examination.has_digest(connection, digest)

    async def missing_guards(self) -> frozenset[str]:
        """The triggers of the schema that are not in the database."""
        return await migrate.missing_triggers(self._database)

    async def count_mailing(
        self,
        person: Pseudonym,
        kind: MailKind,
        today: Day,
        limit: MailLimit,
        *,
        last_day: Day,
        source: str | None = None,
    ) -> bool:
        """Note that a mail of KIND, which SOURCE wanted, goes to PERSON on TODAY; False when LIMIT forbids it."""
        async with self._writing_about_people() as connection:
            return await mailings.count_mailing(
                connection, person, kind, today, limit, last_day=last_day, source=source
            )

    # --- what a person may ask for -----------------------------------------------------------------

    @asynccontextmanager
    async def subjects(self) -> AsyncIterator[SubjectBook]:
        """One transaction on all that is held about people, alone at it; committed unless the block raises."""
        async with self._writing_about_people() as connection:
            yield SubjectBook(connection, self._ledger_key)

    async def held(self, pseudonym: Pseudonym, today: Day) -> Held:
        """Everything that is held about the person on TODAY."""
        async with self._database.read() as connection:
            return await read_held(connection, pseudonym, today)

    async def spend(self, digest: bytes, last_day: Day) -> bool:
        """Use the token with DIGEST, which is good until LAST_DAY, for its one POST; False when it was used before."""
        async with self._database.write() as connection:
            return await spent.spend(connection, digest, last_day)

    async def spend_all(self, digests: Sequence[bytes], last_day: Day) -> None:
        """Note until LAST_DAY what has one of DIGESTS, also if it was noted before."""
        async with self._database.write(alone=False) as connection:
            await spent.spend_all(connection, digests, last_day)

    async def spent_among(self, digests: Sequence[bytes]) -> frozenset[bytes]:
        """Those of DIGESTS that were noted."""
        async with self._database.read() as connection:
            return await spent.among(connection, digests)

    async def unspend(self, digests: Sequence[bytes]) -> None:
        """Forget that what has one of DIGESTS was used."""
        async with self._database.write(alone=False) as connection:
            await spent.forget(connection, digests)

    async def is_spent(self, digest: bytes) -> bool:
        """Whether the token with DIGEST was used."""
        async with self._database.read() as connection:
            return await spent.is_spent(connection, digest)

    async def note_vacuum(self, today: Day) -> None:
        """Remember that `vacuum` was done on TODAY."""
        async with self._database.write() as connection:
            await note_vacuum(connection, today)

    async def vacuum_day(self) -> Day | None:
        """The day of the last `vacuum` that was noted; None when there was none."""
        async with self._database.read() as connection:
            return await vacuum_day(connection)

    # --- figures -----------------------------------------------------------------------------------

    async def messages(
        self, query: MessageQuery, today: Day, running: Running = None
    ) -> tuple[tuple[MessageFigures, ...], str | None]:
        """The messages that QUERY asks for, and where the next page begins.

        Raises InvalidField for a cursor that no page gave. RUNNING, here and below: the hour that is not over, of which
        nothing is told of people whose notice does not let anybody watch; None: everything is told.
        """
        await self._untouched.settle()
        async with self._database.read() as connection:
            return await figures.message_page(connection, query, today, self._minimum_group, running)

    async def message(
        self, key: MessageKey, owners: Owners, today: Day, source: str | None = None, running: Running = None
    ) -> MessageFigures | None:
        """The message KEY; None when it is unknown or none of OWNERS'. References are those that SOURCE gave."""
        await self._untouched.settle()
        async with self._database.read() as connection:
            return await figures.one_message(connection, key, owners, source, today, self._minimum_group, running)

    async def timeline(self, key: MessageKey, today: Day, running: Running = None) -> tuple[Moment, ...]:
        """When people and machines touched the message KEY."""
        async with self._database.read() as connection:
            return await timeline.timeline(connection, key, today, running)

    async def person(self, pseudonym: Pseudonym, owners: Owners, today: Day, running: Running = None) -> PersonFigures:
        """What the person did with messages of OWNERS; empty for somebody unknown."""
        async with self._database.read() as connection:
            recipient = await recipient_of(connection, pseudonym)
            return await people.one_person(connection, recipient, owners, today, running)

    async def person_by_reference(
        self, source: str | None, reference: str, owners: Owners, today: Day, running: Running = None
    ) -> PersonFigures | None:
        """The same for the person whom SOURCE calls REFERENCE; None when it never gave that one.

        SOURCE None: any system's, if they all mean the same person.
        """
        async with self._database.read() as connection:
            recipient = await people.person_of_reference(connection, source, reference, today)
            if recipient is None:
                return None
            return await people.one_person(connection, recipient, owners, today, running)

    async def person_called(self, source: str | None, reference: str, today: Day) -> Pseudonym | None:
        """The person whom SOURCE (None: whichever system) calls REFERENCE; None when nobody is known by it."""
        async with self._database.read() as connection:
            return await people.pseudonym_of_reference(connection, source, reference, today)

    async def reasons(self, owners: Owners, first: Day, today: Day, newest: int | None = None) -> Reasons:
        """Why copies that OWNERS sent since FIRST left untouched, and whether more came signed than is normal.

        NEWEST: how many messages of each owner are looked at, at most; None: all.
        """
        await self._untouched.settle()
        async with self._database.read() as connection:
            return await coverage.reasons(connection, owners, first, today, newest)

    async def coverage(self, owners: Owners, first: Day, today: Day) -> tuple[Coverage, ...]:
        """How much of what OWNERS sent on each day from FIRST on could be measured, oldest first."""
        await self._untouched.settle()
        async with self._database.read() as connection:
            return await coverage.coverage(connection, owners, first, today, today)

    async def watch(
        self, sessions: Collection[bytes], owners: Collection[Owner], now: datetime, since: Hour
    ) -> tuple[frozenset[bytes], frozenset[Touch]]:
        """For who watches NOW: which of SESSIONS are not over, and what people who agreed to be watched did in the hour
        SINCE, or later, with messages of OWNERS.
        """
        async with self._database.read() as connection:
            open_now = await StaffBook(connection).open_sessions(sessions, now)
            return open_now, await watched.touched(connection, owners, day_of(now), since)

    async def told(self, touches: Collection[Touch]) -> tuple[Told, ...]:
        """What is to be told of TOUCHES."""
        async with self._database.read() as connection:
            return await watched.told(connection, touches)

    async def look_for_last_engagement(self, today: Day) -> int:
        """Find the last engagement of messages that lost theirs, to a withdrawal or by TODAY; how many."""
        if self._doubted != today:
            async with self._database.write() as connection:
                await engaged.doubt_expired(connection, today, self._retention_days)
            self._doubted = today
        return await engaged.look_anew(self._database, today)

    async def put_team_totals_on_file(self, today: Day) -> int:
        """Make the totals of the full days before TODAY that are not on file; how many."""
        await self._untouched.settle()
        return await team.put_on_file(self._database, today)

    async def team_totals(self, first: Day, last: Day) -> tuple[TeamTotals, ...]:
        """What all reps' mail came to on the days from FIRST to LAST, as it was put on file, oldest first."""
        async with self._database.read() as connection:
            return await team.on_file(connection, first, last)

    # --- expiry ------------------------------------------------------------------------------------

    async def make_room(self, today: Day, retention_days: int) -> None:
        """Make what copies sent from TODAY on for a week need, if they are kept for RETENTION_DAYS."""
        first = later(today, retention_days)
        await ensure_partitions(self._database, first, later(first, AHEAD))

    async def sweep(self, today: Day, now: datetime, proof_days: int) -> dict[str, int]:
        """Delete all that is past its day; rows by table. A grant that ends leaves a proof for PROOF_DAYS.

        One sweep runs at a time. Raises AnotherSweep, when that takes too long.
        """
        async with self._database.alone(SWEEP):
            deleted = await expiry.sweep(
                self._database, self._ledger_key, today, now, proof_days=proof_days, minimum_group=self._minimum_group
            )
            async with self._database.write() as connection:
                await oversight.note_sweep(connection, today, deleted)
        return deleted

    async def keeps_commits(self) -> bool:
        """Whether what is acknowledged survives the end of every process."""
        return await self._database.keeps_commits()

    async def vacuum(self) -> bool:
        """Rewrite the database, so that no page keeps a fragment of what was deleted.

        False on PostgreSQL, where that is the server's own work.
        """
        async with self._database.alone(SWEEP):
            return await self._database.vacuum()

    async def forget_unneeded(self) -> int:
        """Look through all people and delete those of whom nothing is held any more; how many."""
        return await look_for_unneeded(self._database)

    async def copy_to(self, folder: Path) -> Path:
        """Write a copy of the database, as it is now, to a new file in FOLDER; the file."""
        return await self._database.copy_to(folder)

    def octets(self) -> AsyncIterator[tuple[str, bytes]]:
        """Every row of every table as octets, with the table's name; nothing on SQLite, whose file can be read."""
        return all_octets(self._database)

    async def note_backup(self, folder: Path) -> None:
        """Remember where the last backup went."""
        async with self._database.write() as connection:
            await notes.write(connection, notes.BACKUP, os.fsencode(folder))

    async def backup_folder(self) -> Path | None:
        """Where the last backup went; None when there was none."""
        async with self._database.read() as connection:
            value = await notes.read(connection, notes.BACKUP)
            return None if value is None else Path(os.fsdecode(value))

    async def overdue(self, today: Day) -> dict[str, int]:
        """Rows that are past their day and not deleted yet, by table."""
        async with self._database.read() as connection:
            return await expiry.overdue(connection, today)

    async def expiring(self, today: Day, days: int) -> tuple[Expiring, ...]:
        """Which live grants end within DAYS from TODAY."""
        async with self._database.read() as connection:
            return await expiring(connection, today, days)

    async def oldest_event_hour(self) -> Hour | None:
        """The hour of the oldest event among those that go first; None when there is none."""
        async with self._database.read() as connection:
            return await expiry.oldest_event_hour(connection)

    # --- staff -------------------------------------------------------------------------------------

    @asynccontextmanager
    async def staff(self) -> AsyncIterator[StaffBook]:
        """One transaction on accounts and sessions; committed unless the block raises."""
        async with self._database.write() as connection:
            yield StaffBook(connection)

    @asynccontextmanager
    async def staff_as_it_is(self) -> AsyncIterator[StaffBook]:
        """The same for looking only."""
        async with self._database.read() as connection:
            yield StaffBook(connection)

    async def consent_state(self, now: datetime) -> ConsentState:
        """Where all people together stand with their consents."""
        await self._untouched.settle()
        async with self._database.read() as connection:
            return await oversight.consent_state(connection, now)

    async def audit_page(self, today: Day, limit: int, before: int | None) -> tuple[tuple[AuditLine, ...], int | None]:
        """Up to LIMIT lines of the audit trail before the line BEFORE, newest first, and where the next page begins."""
        async with self._database.read() as connection:
            return await oversight.audit_page(connection, today, limit, before)

    async def sweeps(self, today: Day) -> dict[Day, dict[str, int]]:
        """What was deleted on each of the last days, by table, newest first."""
        async with self._database.read() as connection:
            return await oversight.sweeps(connection, today)

    # --- API keys and notices ----------------------------------------------------------------------

    async def add_key(self, key: ApiKey, digest: bytes) -> bool:
        """Put KEY on file under the DIGEST of its text; False when there is, or was, one of that name."""
        async with self._database.write() as connection:
            return await keys.add_key(connection, key, digest)

    async def key_by_digest(self, digest: bytes, today: Day) -> ApiKey | None:
        """The key with that DIGEST, unless it was revoked by TODAY."""
        return await self._keys.submit((digest, today))

    async def keys(self) -> tuple[ApiKey, ...]:
        """Every key by name, revoked ones too."""
        async with self._database.read() as connection:
            return await keys.all_keys(connection)

    async def revoke_key(self, name: str, today: Day) -> bool:
        """Let the key NAME open nothing any more; False when there is none."""
        async with self._database.write() as connection:
            return await keys.revoke_key(connection, name, today)

    async def add_notice(self, notice: Notice) -> bool:
        """Put NOTICE on file; False when there is one of that version and language, which stays as it is.

        Raises BadNotice when its version was superseded, or has other features in another language.
        """
        async with self._database.write() as connection:
            return await notices.add_notice(connection, notice)

    async def notices(self) -> tuple[Notice, ...]:
        """Every notice by version and language, superseded ones too."""
        async with self._database.read() as connection:
            return await notices.all_notices(connection)

    async def supersede(self, version: str, now: datetime, proof_days: int) -> bool:
        """End the notice VERSION in all languages, and every grant that rests on it; False when none was in force."""
        async with self._database.write() as connection:
            marked = await notices.mark_superseded(connection, version, day_of(now))
        await expiry.end_grants(
            self._database,
            self._ledger_key,
            day_of(now),
            now,
            proof_days=proof_days,
            minimum_group=self._minimum_group,
        )
        return marked
