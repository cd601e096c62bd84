"""The ledger is append-only: the database refuses UPDATE, and DELETE of anything whose day has not come."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.store.world import ANNA, BERT, GRANTED, PROOF, TODAY, World, at, on, report
from tracker.core.ledger import GENESIS
from tracker.model import Evidence, LedgerEvent, Method, Purpose

OPEN = frozenset({Purpose.OPEN})
CLICK = frozenset({Purpose.CLICK})


EVERYWHERE = [
    "UPDATE ledger SET last_day = 0",
    "UPDATE ledger SET entry = entry + 10",
    "UPDATE ledger_contents SET actor = 'somebody'",
    "UPDATE ledger_contents SET last_day = 0",
    "UPDATE ledger_ends SET last_day = 0",
    "DELETE FROM ledger",
    "DELETE FROM ledger_contents",
    "DELETE FROM ledger_ends",
    "INSERT INTO ledger_ends SELECT 1, 2, last_day FROM ledger_ends",
    "INSERT INTO ledger SELECT entry + 5, last_day, content_digest, previous, digest FROM ledger WHERE entry = 1",
    "INSERT INTO ledger SELECT 4, last_day, content_digest, digest, digest FROM ledger WHERE entry = 1",
    "INSERT INTO ledger SELECT NULL, last_day, content_digest, previous, digest FROM ledger WHERE entry = 1",
]
OF_SQLITE = [
    "UPDATE OR REPLACE ledger SET entry = 2 WHERE entry = 1",
    "INSERT OR REPLACE INTO ledger SELECT * FROM ledger WHERE entry = 1",
    "INSERT OR REPLACE INTO ledger SELECT * FROM ledger ORDER BY entry DESC LIMIT 1",
    "INSERT OR REPLACE INTO ledger_contents SELECT * FROM ledger_contents",
    "INSERT OR REPLACE INTO ledger_ends SELECT * FROM ledger_ends",
    "INSERT INTO ledger SELECT 4, last_day, content_digest, zeroblob(32), digest FROM ledger WHERE entry = 1",
    "INSERT INTO ledger VALUES (NULL, 1, x'00', x'00', x'00')",
]
OF_POSTGRES = [
    "TRUNCATE ledger_ends",
    "TRUNCATE ledger_contents",
    "TRUNCATE ledger CASCADE",
    "INSERT INTO ledger SELECT * FROM ledger ON CONFLICT (entry) DO UPDATE SET last_day = 0",
    "INSERT INTO ledger_contents SELECT * FROM ledger_contents ON CONFLICT (entry) DO UPDATE SET actor = 'somebody'",
]


async def some_history(world: World) -> None:
    await world.give(ANNA)
    await world.give(BERT)
    await world.withdraw(ANNA)


@contextmanager
def sweeping(world: World, day: int | None) -> Iterator[Any]:
    """A person with sqlite3 or psql who says that the sweep's day is DAY."""
    with world.connected() as plain:
        if world.on_postgres:
            plain.execute(f"SET tracker.sweep_day = '{'' if day is None else day}'")
        else:
            plain.create_function("tracker_today", 0, lambda: day)
        yield plain


@pytest.mark.parametrize("statement", EVERYWHERE)
async def test_nothing_in_it_can_be_changed_or_dropped(world: World, statement: str) -> None:
    """R15: append-only."""
    await some_history(world)
    with world.connected() as plain, pytest.raises(world.refused):
        plain.execute(statement)
    with sweeping(world, None) as plain, pytest.raises(world.refused):
        plain.execute(statement)


@pytest.mark.parametrize("statement", OF_SQLITE)
async def test_nor_by_the_ways_that_only_sqlite_has(sqlite_world: World, statement: str) -> None:
    await some_history(sqlite_world)
    with sqlite_world.connected() as plain, pytest.raises(sqlite_world.refused):
        plain.execute(statement)
    with sweeping(sqlite_world, None) as plain, pytest.raises(sqlite_world.refused):
        plain.execute(statement)


@pytest.mark.postgres
@pytest.mark.parametrize("statement", OF_POSTGRES)
async def test_nor_by_the_ways_that_only_postgresql_has(postgres_world: World, statement: str) -> None:
    await some_history(postgres_world)
    with postgres_world.connected() as plain, pytest.raises(postgres_world.refused, match="ledger"):
        plain.execute(statement)


async def test_a_content_goes_only_when_its_own_day_has_passed(world: World) -> None:
    await world.give(days=10)
    with sweeping(world, on(10 + PROOF)) as plain, pytest.raises(world.refused, match="day"):
        plain.execute("DELETE FROM ledger_contents")
    assert world.count("ledger_contents") == 1
    with sweeping(world, on(10 + PROOF + 1)) as plain:
        plain.execute("DELETE FROM ledger_contents")
    assert world.count("ledger_contents") == 0


async def test_a_deleted_content_cannot_be_written_again(world: World) -> None:
    await world.give(ANNA, days=10)
    await world.give(BERT)
    with sweeping(world, on(2_000)) as plain:
        plain.execute("CREATE TEMP TABLE kept AS SELECT * FROM ledger_contents WHERE entry = 1")
        plain.execute("DELETE FROM ledger_contents WHERE entry = 1")
        with pytest.raises(world.refused, match="append-only"):
            plain.execute("INSERT INTO ledger_contents SELECT * FROM kept")


async def test_the_chain_is_gapless_and_holds(world: World) -> None:
    for who in (ANNA, BERT):
        await world.give(who)
        await world.withdraw(who)
    assert world.rows("SELECT entry FROM ledger ORDER BY entry") == [(1,), (2,), (3,), (4,)]
    assert world.rows("SELECT previous FROM ledger WHERE entry = 1") == [(GENESIS,)]
    assert await world.store.broken_entry(TODAY) is None


@pytest.mark.parametrize(
    ("statement", "entry"),
    [
        ("UPDATE ledger_contents SET purposes = 'click,open,phone' WHERE entry = 2", 2),
        ("UPDATE ledger_contents SET salt = zeroblob(16) WHERE entry = 1", 1),
        ("UPDATE ledger SET digest = zeroblob(32) WHERE entry = 3", 3),
        ("DELETE FROM ledger_contents WHERE entry = 2", 2),
        ("DELETE FROM ledger_ends", 3),
        ("DELETE FROM ledger WHERE entry = 2", 2),
    ],
)
async def test_whoever_takes_the_triggers_away_is_found_out(world: World, statement: str, entry: int) -> None:
    """R15: tampering is detected, and where."""
    await world.give(ANNA)
    await world.give(BERT)
    await world.withdraw(ANNA)
    with world.connected() as plain:
        if world.on_postgres:
            plain.execute("SET session_replication_role = replica")  # no triggers, no foreign keys
            statement = re.sub(r"zeroblob\((\d+)\)", r"decode(repeat('00', \1), 'hex')", statement)
        else:
            plain.execute("PRAGMA foreign_keys = OFF")
            for (trigger,) in plain.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                plain.execute(f"DROP TRIGGER {trigger}")
        plain.execute(statement)
    assert await world.store.broken_entry(TODAY) == entry


async def test_the_chain_still_holds_when_contents_have_gone_on_their_day(world: World) -> None:
    await world.give(ANNA, days=5)
    await world.give(BERT)
    await world.withdraw(BERT, now=at(1))
    swept = await world.store.sweep(on(PROOF + 2), at(PROOF + 2), PROOF)
    assert swept["ledger_contents"] == 2, "the withdrawal, and the grant that it ended"
    assert await world.store.broken_entry(on(PROOF + 2)) is None
    assert world.count("ledger") == 4, "the chain stays, and tells of the grant that expired"


async def test_history_says_what_was_recorded(world: World) -> None:
    evidence = Evidence(source="call", call_started_at=NOW_WITH_MICROSECONDS, call_seconds=61, call_again=False)
    async with world.store.consents() as book:
        await book.hold(
            report(method=Method.PHONE, evidence=evidence),
            OPEN,
            last_day=on(30),
            content_last_day=on(PROOF),
            now=at(0),
            notice_hash="abc",
        )
    await world.withdraw(purposes=OPEN)
    requested, refused = await world.store.history(ANNA, TODAY)
    assert (requested.event, requested.purposes, requested.evidence) == (LedgerEvent.REQUESTED, OPEN, evidence)
    assert (requested.method, requested.notice_version, requested.notice_hash) == (Method.PHONE, "2026-1", "abc")
    assert (refused.event, refused.actor, refused.recorded_at) == (LedgerEvent.REFUSED, "recipient", at(0))
    assert await world.store.history(BERT, TODAY) == ()


async def test_history_never_shows_a_content_past_its_day(world: World) -> None:
    await world.give(days=GRANTED)
    await world.withdraw(now=at(1))
    assert len(await world.store.history(ANNA, on(PROOF + 1))) == 2
    assert await world.store.history(ANNA, on(PROOF + 2)) == (), "the grant's proof goes with that of its end"


async def test_an_entry_is_ended_when_nothing_rests_on_it_any_more(world: World) -> None:
    await world.give()
    await world.withdraw(purposes=OPEN)
    assert world.rows("SELECT ended, entry FROM ledger_ends") == [], "the click grant still rests on it"
    await world.withdraw(purposes=CLICK)
    assert world.rows("SELECT ended, entry FROM ledger_ends") == [(1, 3)]


async def test_a_withdrawal_ends_renewed_entries_too(world: World) -> None:
    await world.give()
    await world.give(now=at(1))
    await world.withdraw(now=at(2))
    assert world.rows("SELECT ended, entry FROM ledger_ends ORDER BY ended") == [(1, 3), (2, 3)]


NOW_WITH_MICROSECONDS = at(0).replace(microsecond=123)
