"""Journal and database stay in step: a no is never lost, whatever happens to the database (LAW.md R45)."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.flows.conftest import NOW, RING, TOKENS, Flows, counted_bytes, hit, kept_in_step, locked, reported
from tests.fresh import new_database
from tracker.core.calendar import day_of
from tracker.core.consent import ConsentPolicy
from tracker.core.journal import Restored
from tracker.core.pseudonym import normalise, pseudonym
from tracker.core.tokens import Tokens
from tracker.flows import in_step as flow
from tracker.flows.consent import Consents
from tracker.flows.in_step import InStep
from tracker.flows.subject import Request, Subjects
from tracker.model import (
    MAIL_PURPOSES,
    Day,
    Envelope,
    Language,
    LedgerEvent,
    No,
    NoKind,
    Notice,
    Pseudonym,
    Purpose,
    Reason,
    StoreUnavailable,
    Suppressed,
)
from tracker.store.consents import ConsentBook
from tracker.store.journal import Journal
from tracker.store.store import Store

ANNA, BERT = "anna@example.org", "bert@example.org"
ALL: frozenset[Purpose] = frozenset()
TODAY = day_of(NOW)
MAIL = (
    b"From: jonas@werkstatt-nord.example\r\nTo: x@example.org\r\nMessage-ID: <1@werkstatt-nord.example>\r\n"
    b"Content-Type: text/html\r\n\r\n<p><a href='https://shop.example.com/'>x</a></p>\r\n"
)


def person(address: str) -> Pseudonym:
    return pseudonym(TOKENS.ring.pseudonym_keys, normalise(address))


def after(**more: float) -> datetime:
    return NOW + timedelta(**more)


@dataclass
class Server:
    """One process: a store, its journal, and what keeps them in step."""

    folder: Path
    store: Store
    journal: Journal
    in_step: InStep
    consents: Consents

    @property
    def url(self) -> str:
        return f"sqlite+aiosqlite:///{self.folder / 'tracker.db'}"

    async def live(self, address: str) -> bool:
        """Whether mail to ADDRESS would be tracked."""
        return bool(await self.store.grants_of(person(address), day_of(NOW)))

    async def silent(self, address: str) -> bool:
        """Whether ADDRESS has said no, and nothing is allowed."""
        standing = await self.store.standing(person(address), day_of(NOW))
        return not standing.grants and set(standing.suppressed) == {Purpose.OPEN, Purpose.CLICK}

    async def events(self, address: str) -> list[LedgerEvent]:
        return [entry.event for entry in await self.store.history(person(address), day_of(NOW))]


Start = Callable[..., Awaitable[Server]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts a process on the one database; JOURNAL names the folder of its server's journal."""
    notices = [Notice("2026-1", language, "text") for language in Language]
    url = await new_database(tmp_path, RING.fingerprint, notices)
    stores: list[Store] = []

    async def started(journal: str = "journal", now: datetime = NOW, leads: bool = True) -> Server:
        store = await Store.open(
            url, ledger_key=RING.ledger_key, fingerprint=RING.fingerprint, busy_seconds=0.02, pause=0.02
        )
        stores.append(store)
        kept = Journal(tmp_path / journal, RING.journal_key)
        in_step = InStep(
            store, kept, lambda: TOKENS, counted_bytes(), proof_days=1095, backup_days=35, leads=lambda: leads
        )
        await in_step.start(now)
        return Server(tmp_path, store, kept, in_step, Consents(store, lambda: TOKENS, ConsentPolicy(), in_step))

    first = Store.open(url, ledger_key=RING.ledger_key, fingerprint=RING.fingerprint)
    stores.append(await first)
    await kept_in_step(stores[0], tmp_path / "journal")
    yield started
    for store in stores:
        await store.close()


def copy_of(folder: Path) -> Path:
    """A backup of the database, made as SQLite does."""
    path = folder / "yesterday.db"
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(folder / "tracker.db")) as database, closing(sqlite3.connect(path)) as copy:
        database.backup(copy)
    return path


async def put_back(server: Server, copy: Path) -> None:
    """Stop SERVER and restore COPY."""
    await server.store.close()
    for suffix in ("", "-wal", "-shm"):
        (server.folder / f"tracker.db{suffix}").unlink(missing_ok=True)
    shutil.copy2(copy, server.folder / "tracker.db")


class Killed(BaseException):
    """The process ends here."""


@asynccontextmanager
async def killed_before_the_commit(server: Server) -> AsyncIterator[ConsentBook]:
    """A transaction in which the process ends after everything was written, and before the commit."""
    async with server.store.consents() as book:
        yield book
        raise Killed


async def test_a_no_that_was_noted_and_not_committed_is_replayed_at_the_next_start(start: Start) -> None:
    """R45: what happens between the journal's fsync and the commit mends itself."""
    server = await start()
    await server.consents.report(reported(ANNA), NOW)
    no = No(NoKind.WITHDRAWAL, person(ANNA), MAIL_PURPOSES, after(minutes=1), "recipient", Language.DE)

    async def write(book: ConsentBook) -> bool:
        await book.withdraw(
            no.pseudonym, no.purposes, now=no.at, actor=no.actor, language=no.language,
            content_last_day=Day(TODAY + 1095), suppression_last_day=Day(TODAY + 1095),
        )  # fmt: skip
        return True

    with pytest.raises(Killed):
        await server.in_step.record(no, killed_before_the_commit(server), write)
    assert await server.live(ANNA), "the database knows nothing of it"
    again = await start()
    assert await again.silent(ANNA)
    (_, withdrawn) = await again.store.history(person(ANNA), Day(TODAY))
    assert (withdrawn.event, withdrawn.actor, withdrawn.recorded_at) == ("withdrawn", "recipient", after(minutes=1))
    assert await (await start()).events(ANNA) == ["given", "withdrawn"], "a replay changes nothing the second time"


async def test_while_the_store_is_away_a_no_counts_and_is_replayed_before_anything_is_tracked(start: Start) -> None:
    server = await start()
    for address in (ANNA, BERT):
        await server.consents.report(reported(address), NOW)
    await server.in_step.keep(after(minutes=2))
    with locked(server.folder):
        assert await server.consents.withdraw(ANNA, ALL, "cli", after(minutes=3))
        lines = (server.folder / "journal" / "2026-11.journal").read_bytes().count(b"\n")
        assert await server.consents.withdraw(ANNA, ALL, "cli", after(minutes=3, seconds=1)), "pressed again"
        assert (server.folder / "journal" / "2026-11.journal").read_bytes().count(b"\n") == lines
        await server.in_step.keep(after(minutes=3, seconds=2))
        assert server.in_step.trouble == flow.WAITS
    for address in (ANNA, BERT):
        with pytest.raises(StoreUnavailable):
            await server.live(address)
    await server.in_step.keep(after(minutes=3, seconds=3))
    assert not server.in_step.trouble
    assert await server.silent(ANNA)
    assert await server.live(BERT)
    assert await server.events(ANNA) == ["given", "withdrawn"]


async def test_an_event_that_waits_meanwhile_is_not_written_for_who_said_no(flows: Flows, tmp_path: Path) -> None:
    await flows.grant(ANNA)
    sent = await flows.sender.rewrite(Envelope(ANNA, "shop", single=True), MAIL, NOW)
    assert sent.reason is None
    with locked(tmp_path):
        assert await flows.consents.withdraw(ANNA, ALL, "cli", after(minutes=1))
        await flows.hits.opened(re.findall(r"/o/(.+?)\.gif", sent.message.decode())[0], hit())
        refused = await flows.sender.rewrite(Envelope(BERT, "shop", single=True), MAIL, NOW)
        assert refused.reason is Reason.STORE_UNAVAILABLE
    await flows.in_step.keep(after(minutes=1, seconds=1))
    await flows.store.close()
    assert flows.store.counters.written == 0


async def test_yesterdays_database_put_back_is_noticed_replayed_and_goes_on(start: Start) -> None:
    """R45: a restore replays what the journal has; the person is still silent."""
    server = await start()
    for address in (ANNA, BERT):
        await server.consents.report(reported(address), NOW)
    await server.in_step.keep(after(minutes=2))
    yesterday = copy_of(server.folder)
    await server.consents.withdraw(ANNA, ALL, "cli", after(hours=20))
    await server.in_step.keep(after(hours=21))
    assert await server.silent(ANNA)
    await put_back(server, yesterday)
    again = await start(now=after(days=1))
    assert not again.in_step.trouble
    assert await again.silent(ANNA)
    assert await again.live(BERT)
    assert [anchor for anchor in await again.journal.load() if isinstance(anchor, Restored)] == [
        Restored(after(days=1), 2)
    ], "and that it happened is on record"
    with pytest.raises(Suppressed):
        await again.consents.report(reported(ANNA), after(days=1))


async def test_an_erasure_is_replayed_whole(start: Start) -> None:
    """R45, R51: what a restored backup brings back of somebody erased goes again, references and all."""
    server = await start()
    await server.consents.report(reported(ANNA, reference="77"), NOW)
    await server.in_step.keep(after(minutes=2))
    yesterday = copy_of(server.folder)
    subjects = Subjects(server.store, lambda: TOKENS, ConsentPolicy(), server.in_step)
    assert await subjects.erase(ANNA, Request("cli"), after(hours=1))
    await server.in_step.keep(after(hours=2))
    await put_back(server, yesterday)
    again = await start(now=after(days=1))
    assert await again.silent(ANNA)
    held = await again.store.held(person(ANNA), TODAY)
    assert (held.references, held.deliveries, held.events) == ((), (), ())
    assert [entry.event for entry in held.history] == ["given", "erased"]


async def test_a_database_that_goes_back_under_a_running_server_is_noticed(start: Start) -> None:
    server = await start()
    await server.consents.report(reported(ANNA), NOW)
    yesterday = copy_of(server.folder)
    await server.consents.withdraw(ANNA, ALL, "cli", after(hours=20))
    await server.in_step.keep(after(hours=21))
    with closing(sqlite3.connect(yesterday)) as copy, closing(sqlite3.connect(server.folder / "tracker.db")) as live:
        copy.backup(live)
    assert await server.live(ANNA)
    await server.in_step.keep(after(hours=22))
    assert await server.silent(ANNA)


async def test_a_sync_that_came_between_the_restore_and_the_replay_is_undone(start: Start) -> None:
    server = await start()
    yesterday = copy_of(server.folder)
    await server.consents.withdraw(ANNA, ALL, "cli", after(hours=1))
    await put_back(server, yesterday)
    (server.folder / "journal").rename(server.folder / "elsewhere")
    blind = await start()
    await blind.consents.report(reported(ANNA), after(hours=2))
    (server.folder / "elsewhere").rename(server.folder / "journal")
    await blind.in_step.keep(after(hours=3))
    assert not blind.in_step.trouble
    assert await blind.silent(ANNA)


def gone(journal: Path) -> None:
    shutil.rmtree(journal)


def empty(journal: Path) -> None:
    for path in journal.iterdir():
        path.unlink()


def changed(journal: Path) -> None:
    path = next(journal.iterdir())
    path.write_bytes(path.read_bytes().replace(b'"actor":"cli"', b'"actor":"clj"'))


def without_a_line(journal: Path) -> None:
    path = next(journal.iterdir())
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:1] + lines[2:]))


def cut(journal: Path) -> None:
    path = next(journal.iterdir())
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:1]))


def anothers(journal: Path) -> None:
    gone(journal)
    Journal(journal, RING.journal_key).create(NOW, lambda size: b"x" * size)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (gone, "missing"),
        (empty, "missing"),
        (changed, "a line was changed"),
        (without_a_line, "a line was changed, or lines were removed"),
        (cut, "or was cut"),
        (anothers, "does not know the journal"),
    ],
)
async def test_without_its_journal_nothing_is_tracked(start: Start, broken: Callable[[Path], None], words: str) -> None:
    """R45: nobody who said no is tracked because the record of it is away."""
    server = await start()
    await server.consents.report(reported(ANNA), NOW)
    await server.consents.withdraw(BERT, ALL, "cli", NOW)
    await server.in_step.keep(after(minutes=2))
    await server.store.close()
    broken(server.folder / "journal")
    again = await start()
    assert words in again.in_step.trouble
    with pytest.raises(StoreUnavailable):
        await again.live(ANNA)
    await again.in_step.keep(after(days=1))
    assert words in again.in_step.trouble, "it waits for a person"
    assert await again.consents.withdraw(ANNA, ALL, "cli", after(days=1)), "a no counts all the same"
    assert await again.silent(ANNA)


async def test_a_backup_that_is_older_than_the_journal_is_not_enough(start: Start) -> None:
    server = await start()
    await server.consents.report(reported(ANNA), NOW)
    await server.in_step.keep(after(minutes=2))
    old = copy_of(server.folder)
    await server.consents.withdraw(ANNA, ALL, "cli", after(days=1))
    await server.in_step.keep(after(days=2))
    await server.in_step.keep(after(days=100))
    assert [path.name for path in (server.folder / "journal").iterdir()] == ["2027-03.journal"]
    await put_back(server, old)
    again = await start(now=after(days=100))
    assert again.in_step.trouble == flow.TOO_SHORT


async def test_the_nos_of_another_server_are_followed_within_a_minute(start: Start) -> None:
    one = await start()
    await kept_in_step(one.store, one.folder / "other")
    other = await start("other")
    await one.consents.withdraw(ANNA, ALL, "cli", after(seconds=5))
    await other.in_step.keep(after(seconds=61))
    there = (one.folder / "other" / "2026-11.journal").read_text()
    assert there.count('"withdrawal"') + there.count('"refusal"') == 1
    assert person(ANNA).hex() in there
    await one.in_step.keep(after(seconds=61))
    here = (one.folder / "journal" / "2026-11.journal").read_text()
    assert here.count('"withdrawal"') == 1, "its own is not noted twice"


async def test_after_a_restore_every_server_replays_before_anybody_goes_on(start: Start) -> None:
    one = await start()
    await kept_in_step(one.store, one.folder / "other")
    other = await start("other")
    for address in (ANNA, BERT):
        await one.consents.report(reported(address), NOW)
    for server in (one, other):
        await server.in_step.keep(after(minutes=2))
    yesterday = copy_of(one.folder)
    await one.consents.withdraw(ANNA, ALL, "cli", after(hours=1))
    await other.consents.withdraw(BERT, ALL, "cli", after(hours=1))
    await one.in_step.keep(after(hours=2))
    await other.store.close()
    await put_back(one, yesterday)
    one = await start()
    assert one.in_step.trouble == flow.OTHERS
    assert await one.silent(ANNA)
    other = await start("other")
    assert not other.in_step.trouble
    await one.in_step.keep(after(hours=4))
    assert not one.in_step.trouble
    assert await one.silent(BERT)


# --- several processes of one server share a journal -----------------------------------------------


async def test_a_no_that_one_process_noted_holds_the_others_from_that_moment_on(start: Start) -> None:
    one, other = await start(), await start(leads=False)
    for address in (ANNA, BERT):
        await one.consents.report(reported(address), NOW)
    with locked(one.folder):
        assert await one.consents.withdraw(ANNA, ALL, "cli", after(minutes=1))
        assert other.in_step.holding == flow.WAITS
    for address in (ANNA, BERT):
        with pytest.raises(StoreUnavailable):
            await other.live(address)
    await other.in_step.keep(after(minutes=1, seconds=1))
    assert not other.in_step.holding
    assert await other.silent(ANNA)
    assert await other.live(BERT)
    with pytest.raises(StoreUnavailable):
        await one.live(BERT)
    await one.in_step.keep(after(minutes=1, seconds=2))
    assert await one.live(BERT)
    assert await one.events(ANNA) == ["given", "withdrawn"]


async def test_a_command_that_noted_a_no_holds_the_server(start: Start) -> None:
    server, command = await start(), await start()
    await server.consents.report(reported(ANNA), NOW)
    with locked(server.folder):
        assert await command.consents.withdraw(ANNA, ALL, "cli", after(minutes=1))
    with pytest.raises(StoreUnavailable):
        await server.live(ANNA)
    await server.in_step.keep(after(minutes=1, seconds=1))
    assert await server.silent(ANNA)


async def test_a_doubt_that_is_cast_while_a_process_looks_makes_it_look_again(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = await start(), await start(leads=False)
    turn, looks = one.journal.turn, 0

    async def cast_meanwhile(now: datetime, backup_days: int) -> None:
        nonlocal looks
        looks += 1
        if looks == 1:
            other.journal.doubt.cast()
        await turn(now, backup_days)

    monkeypatch.setattr(one.journal, "turn", cast_meanwhile)
    await one.in_step.look(after(minutes=1))
    assert looks == 2
    assert not one.in_step.holding
    assert other.in_step.holding == flow.WAITS


async def test_without_the_mark_that_all_share_nothing_is_tracked(start: Start) -> None:
    server = await start()
    mark = server.folder / "journal-doubt"
    server.journal.doubt.close()
    mark.unlink()
    mark.mkdir()
    await server.consents.report(reported(ANNA), NOW)
    with pytest.raises(StoreUnavailable):
        await server.live(ANNA)
    await server.in_step.keep(after(seconds=1))
    assert "doubt" in server.in_step.trouble
    mark.rmdir()
    await server.in_step.keep(after(seconds=2))
    assert await server.live(ANNA)


async def test_who_reads_the_journal_later_is_not_deceived_by_what_others_applied(start: Start) -> None:
    one, other = await start(), await start(leads=False)
    for address in (ANNA, BERT):
        await one.consents.report(reported(address), NOW)
    await one.consents.withdraw(ANNA, ALL, "cli", after(minutes=1))
    await one.in_step.look(after(minutes=2))
    await other.in_step.look(after(minutes=2))
    assert not other.in_step.trouble
    await other.consents.withdraw(BERT, ALL, "cli", after(minutes=3))
    await one.in_step.look(after(minutes=4))
    assert not one.in_step.trouble
    assert [await server.silent(BERT) for server in (one, other)] == [True, True]


async def test_only_the_process_that_leads_notes_what_other_servers_wrote(start: Start, tmp_path: Path) -> None:
    leader, worker = await start(), await start(leads=False)
    await kept_in_step(leader.store, tmp_path / "elsewhere")
    elsewhere = await start("elsewhere")
    await leader.consents.report(reported(ANNA), NOW)
    await elsewhere.consents.withdraw(ANNA, ALL, "cli", after(minutes=1))
    before = leader.journal.number
    await worker.in_step.look(after(minutes=2))
    await worker.journal.follow()
    assert worker.journal.number == before
    await leader.in_step.look(after(minutes=2))
    await worker.in_step.look(after(minutes=3))
    await leader.in_step.look(after(minutes=4))
    assert leader.journal.number == worker.journal.number == before + 1


async def test_what_a_process_of_the_same_server_noted_is_not_noted_again(start: Start) -> None:
    leader, worker = await start(), await start(leads=False)
    await leader.consents.report(reported(ANNA), NOW)
    await worker.consents.withdraw(ANNA, ALL, "cli", after(minutes=1))
    await leader.in_step.look(after(minutes=2))
    assert leader.journal.number == 1


async def test_a_database_that_went_back_is_told_to_the_others_at_once(start: Start) -> None:
    one, other = await start(), await start(leads=False)
    await one.consents.report(reported(ANNA), NOW)
    await one.in_step.look(after(minutes=1))
    yesterday = copy_of(one.folder)
    await one.consents.withdraw(ANNA, ALL, "cli", after(hours=20))
    await one.in_step.look(after(hours=21))
    await other.in_step.look(after(hours=21))
    with closing(sqlite3.connect(yesterday)) as copy, closing(sqlite3.connect(one.folder / "tracker.db")) as live:
        copy.backup(live)  # under the running processes
    await one.in_step.look(after(hours=22))
    assert other.in_step.holding == flow.WAITS
    await other.in_step.keep(after(hours=22))
    assert not other.in_step.holding
    assert await other.silent(ANNA)


async def test_a_no_that_cannot_be_noted_is_committed_and_followed_up(start: Start) -> None:
    server = await start()
    await server.consents.report(reported(ANNA), NOW)
    (server.folder / "journal").rename(server.folder / "elsewhere")
    assert await server.consents.withdraw(ANNA, ALL, "cli", after(minutes=1))
    assert await server.silent(ANNA)
    await server.in_step.keep(after(minutes=1, seconds=1))
    assert "missing" in server.in_step.trouble
    (server.folder / "elsewhere").rename(server.folder / "journal")
    await server.in_step.keep(after(minutes=1, seconds=2))
    assert not server.in_step.trouble
    assert person(ANNA).hex() in (server.folder / "journal" / "2026-11.journal").read_text()


async def test_a_no_from_before_a_rekey_is_replayed_to_who_said_it(start: Start) -> None:
    """R45: a pseudonym in the journal is wrapped as those in the database were."""
    server = await start()
    for address in (ANNA, BERT):
        await server.consents.report(reported(address), NOW)
    with locked(server.folder):
        assert await server.consents.withdraw(ANNA, ALL, "cli", after(minutes=1))
    await server.store.close()
    ring = replace(RING, pseudonym_keys=(*RING.pseudonym_keys, b"q" * 32))
    store = await Store.open(
        server.url, ledger_key=RING.ledger_key, fingerprint=ring.fingerprint, former=ring.former, busy_seconds=0.02
    )
    journal = Journal(server.folder / "journal", RING.journal_key)
    await InStep(store, journal, lambda: Tokens(ring), counted_bytes(), proof_days=1095, backup_days=35).start(NOW)
    found = [
        set((await store.standing(pseudonym(ring.pseudonym_keys, address), TODAY)).suppressed)
        for address in (ANNA, BERT)
    ]
    await store.close()
    assert found == [{Purpose.OPEN, Purpose.CLICK}, set()]


async def test_nothing_new_writes_nothing(start: Start) -> None:
    server = await start()
    path = server.folder / "journal" / "2026-11.journal"
    before = path.read_bytes()
    for minutes in range(1, 5):
        await server.in_step.keep(after(minutes=minutes))
    assert path.read_bytes() == before


async def test_what_another_process_of_the_same_server_wrote_meanwhile_is_no_gap_in_the_journal(start: Start) -> None:
    """A command that runs beside the server notes a no, and tells the database, before the server has read it."""
    server, command = await start(), await start()
    await server.consents.report(reported(ANNA), NOW)
    await command.consents.withdraw(ANNA, ALL, "cli", after(seconds=1))
    await command.in_step.look(after(seconds=2))
    await server.in_step.look(after(seconds=3))
    assert server.in_step.trouble == ""
    assert server.journal.number == command.journal.number == 1


async def test_another_database_in_the_place_of_the_one_that_is_open_is_compared_before_anything_is_tracked(
    start: Start,
) -> None:
    """The server is not stopped; a look at it once a second is enough to notice."""
    server = await start()
    for address in (ANNA, BERT):
        await server.consents.report(reported(address), NOW)
    await server.in_step.keep(after(minutes=2))
    copy = copy_of(server.folder)
    await server.consents.withdraw(BERT, ALL, "cli", after(minutes=2, seconds=1))
    copy.chmod(0o600)
    copy.replace(server.folder / "tracker.db")
    for address in (ANNA, BERT):
        with pytest.raises(StoreUnavailable):
            await server.live(address)
    assert server.store.on_hold
    await server.in_step.keep(after(minutes=2, seconds=2))
    assert server.in_step.trouble == ""
    assert await server.live(ANNA)
    assert await server.silent(BERT)
