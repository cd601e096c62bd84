"""An installation moves from a file to a server whole or not at all, and the file stays as it is."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.postgres import Cluster, Plain
from tests.store.conftest import opened as open_store
from tests.store.world import (
    ANNA,
    BERT,
    FINGERPRINT,
    LEDGER_KEY,
    NOW,
    PROOF,
    TODAY,
    World,
    at,
    clicked,
    copy,
    on,
    opened,
    person,
)
from tracker.core.calendar import later
from tracker.model import Call, MailKind, NotMoved, StoreUnavailable, WrongKey
from tracker.store import moving
from tracker.store.mailings import MailLimit
from tracker.store.moving import Moved, Progress, move
from tracker.store.schema import metadata

pytestmark = pytest.mark.postgres


class Counting(Progress):
    def __init__(self) -> None:
        self.rows, self.done = 0, 0

    def begin(self, rows: int) -> None:
        self.rows = rows

    def copied(self, rows: int) -> None:
        self.done += rows


@pytest.fixture
def target(cluster: Cluster) -> Iterator[str]:
    name = cluster.make()
    yield cluster.url(name)
    cluster.drop(name)


async def lived_in(world: World) -> None:
    """Something in as many tables as the store's own methods fill."""
    store = world.store
    for number in range(20):
        sent = await world.send(person(number), reference=f"crm-{number}")
        assert await store.record(opened(sent), TODAY)
        assert await store.record(clicked(sent), TODAY)
    old = copy(ANNA, last_day=on(3), sent_hour=1)
    await world.give(ANNA)
    assert await store.register(old, TODAY)
    assert await store.record(opened(old), TODAY)
    await world.withdraw(person(3), now=at(1))
    async with store.subjects() as book:
        await book.note_call(BERT, Call("jonas", NOW, 60, True, False, later(TODAY, 100)))
        await book.audit(at=NOW, actor="cli", action="look", case=None, last_day=on(300))
    await store.count_mailing(BERT, MailKind.MAILBOX, TODAY, MailLimit(frozenset(MailKind), 3), last_day=on(100))
    await store.spend(b"d" * 16, on(10))


def contents(connection: Any, today: int) -> dict[str, list[tuple[Any, ...]]]:
    """All rows but those of mail that is past TODAY."""
    found = {}
    for table in metadata.sorted_tables:
        columns = ", ".join(column.name for column in table.c)
        past = f"WHERE last_day >= {today}" if table.name in ("deliveries", "tracked", "events") else ""
        rows = connection.execute(f"SELECT {columns} FROM {table.name} {past}").fetchall()
        found[table.name] = sorted(map(tuple, rows), key=repr)
    return found


async def moved(world: World, target: str, day: int = 0, progress: Progress | None = None) -> Moved:
    return await move(world.url, target, FINGERPRINT, LEDGER_KEY, on(day), progress or Progress())


async def test_everything_is_there_afterwards_and_the_file_is_as_it_was(
    sqlite_world: World, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "CHUNK", 7)
    await lived_in(sqlite_world)
    await sqlite_world.store.close()
    with closing(sqlite3.connect(sqlite_world.path)) as plain:
        before = list(plain.iterdump())
        held = contents(plain, TODAY)
    assert min(len(rows) for name, rows in held.items() if name in ("grants", "events", "links", "ledger_ends")) > 0
    told = Counting()
    done = await moved(sqlite_world, target, progress=told)
    with closing(sqlite3.connect(sqlite_world.path)) as plain:
        assert list(plain.iterdump()) == before
    with Plain(target) as plain:
        assert contents(plain, TODAY) == held
    assert {name: len(rows) for name, rows in held.items()} == done.rows
    assert told.rows == told.done == sum(done.rows.values())
    assert done.left_out == 0


@pytest.fixture
async def arrived(sqlite_world: World, target: str) -> AsyncIterator[World]:
    await lived_in(sqlite_world)
    await sqlite_world.store.close()
    await moved(sqlite_world, target)
    store = await open_store(target)
    yield World(store, target)
    await store.close()


async def test_life_goes_on_there(arrived: World) -> None:
    """Grants and deliveries are honoured, the ledger goes on where it was, and its guards are awake."""
    sent = copy(person(1))
    assert await arrived.store.record(opened(sent, hour=7), TODAY)
    assert not await arrived.store.grants_of(person(3), TODAY)
    await arrived.withdraw(person(1))
    await arrived.give(person(99))
    assert await arrived.store.register(copy(person(99)), TODAY)
    assert await arrived.store.broken_entry(TODAY) is None
    assert not await arrived.store.missing_guards()
    with arrived.connected() as plain, pytest.raises(arrived.refused, match="chain"):
        plain.execute(
            "INSERT INTO ledger SELECT entry + 500, last_day, content_digest, previous, digest FROM ledger LIMIT 1"
        )
    async with arrived.store.subjects() as book:
        await book.audit(at=NOW, actor="cli", action="look again", case=None, last_day=on(300))
    assert arrived.rows("SELECT count(DISTINCT id) FROM audit") == [(2,)]


async def test_mail_that_is_past_its_day_is_left_out(sqlite_world: World, target: str) -> None:
    await lived_in(sqlite_world)
    await sqlite_world.store.close()
    done = await moved(sqlite_world, target, day=4)
    assert done.left_out == 1 + 2 + 1, "a delivery, tracked for two purposes, and an event"
    with Plain(target) as plain:
        assert plain.execute("SELECT to_regclass(?)", [f"deliveries_{on(3)}"]).fetchone() == (None,)
    store = await open_store(target)
    await store.sweep(on(4), at(4), PROOF)
    await store.close()


async def test_a_database_with_rows_is_refused_and_stays_as_it_is(sqlite_world: World, target: str) -> None:
    await lived_in(sqlite_world)
    await moved(sqlite_world, target)
    with Plain(target) as plain:
        before = contents(plain, 0)
    with pytest.raises(NotMoved, match="rows already"):
        await moved(sqlite_world, target)
    with Plain(target) as plain:
        assert contents(plain, 0) == before


async def test_other_peoples_tables_are_refused(sqlite_world: World, target: str) -> None:
    with Plain(target) as plain:
        plain.execute("CREATE TABLE invoices (number integer)")
    with pytest.raises(NotMoved, match="other tables"):
        await moved(sqlite_world, target)
    with Plain(target) as plain:
        assert plain.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (1,)


async def test_a_broken_ledger_is_not_taken_along(sqlite_world: World, target: str) -> None:
    """And nothing is kept of the copy; when it is mended, the same command works."""
    await lived_in(sqlite_world)
    with sqlite_world.connected() as plain:
        (kept,) = plain.execute("SELECT sql FROM sqlite_master WHERE name = 'ledger_contents_no_update'").fetchone()
        plain.execute("DROP TRIGGER ledger_contents_no_update")
        plain.execute("UPDATE ledger_contents SET actor = 'x' || actor WHERE entry = 2")
    with pytest.raises(NotMoved, match="entry 2 its content was changed"):
        await moved(sqlite_world, target)
    with Plain(target) as plain:
        assert not any(contents(plain, 0).values())
    with sqlite_world.connected() as plain:
        plain.execute("UPDATE ledger_contents SET actor = substr(actor, 2) WHERE entry = 2")
        plain.execute(kept)
    assert (await moved(sqlite_world, target)).rows["grants"]


async def test_a_copy_that_lacks_a_row_is_not_kept(
    sqlite_world: World, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows of each table are counted on both sides."""
    await lived_in(sqlite_world)
    write = moving._write

    async def losing(new: Any, table: Any, rows: Any) -> None:
        await write(new, table, rows[1:] if table.name == "events" else rows)

    monkeypatch.setattr(moving, "_write", losing)
    with pytest.raises(NotMoved, match="the copy of events does not have as many rows"):
        await moved(sqlite_world, target)
    with Plain(target) as plain:
        assert not any(contents(plain, 0).values())


async def test_nobody_writes_the_file_meanwhile(sqlite_world: World, target: str) -> None:
    """A withdrawal that came in between would be lost."""
    await lived_in(sqlite_world)

    class Curious(Progress):
        refused = False

        def begin(self, rows: int) -> None:
            with closing(sqlite3.connect(sqlite_world.path, timeout=0)) as other:
                try:
                    other.execute("DELETE FROM grants")
                except sqlite3.OperationalError:
                    self.refused = True

    curious = Curious()
    await moved(sqlite_world, target, progress=curious)
    assert curious.refused


async def test_other_keys_and_other_ways_round_are_refused(sqlite_world: World, target: str) -> None:
    with pytest.raises(WrongKey):
        await move(sqlite_world.url, target, b"g" * 16, LEDGER_KEY, TODAY, Progress())
    with pytest.raises(NotMoved):
        await move(sqlite_world.url, sqlite_world.url, FINGERPRINT, LEDGER_KEY, TODAY, Progress())
    with pytest.raises(NotMoved):
        await move(target, target, FINGERPRINT, LEDGER_KEY, TODAY, Progress())
    with pytest.raises(StoreUnavailable):
        await moved(sqlite_world, "postgresql+asyncpg://nobody@127.0.0.1:1/nothing")
