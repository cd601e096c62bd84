"""The ledger is append-only: the database refuses UPDATE, and DELETE of anything whose day has not come."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from tests.store.world import ANNA, BERT, GRANTED, PROOF, TODAY, World, at, on, report
from tracker.core.ledger import GENESIS
from tracker.model import Evidence, LedgerEvent, Method, Purpose

OPEN = frozenset({Purpose.OPEN})
CLICK = frozenset({Purpose.CLICK})


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger SET last_day = 0",
        "UPDATE ledger SET entry = entry + 10",
        "UPDATE OR REPLACE ledger SET entry = 2 WHERE entry = 1",
        "UPDATE ledger_contents SET actor = 'somebody'",
        "UPDATE ledger_contents SET last_day = 0",
        "UPDATE ledger_ends SET last_day = 0",
        "DELETE FROM ledger",
        "DELETE FROM ledger_contents",
        "DELETE FROM ledger_ends",
        "INSERT OR REPLACE INTO ledger SELECT * FROM ledger WHERE entry = 1",
        "INSERT OR REPLACE INTO ledger SELECT * FROM ledger ORDER BY entry DESC LIMIT 1",
        "INSERT OR REPLACE INTO ledger_contents SELECT * FROM ledger_contents",
        "INSERT OR REPLACE INTO ledger_ends SELECT * FROM ledger_ends",
        "INSERT INTO ledger_ends SELECT 1, 2, last_day FROM ledger_ends",
        "INSERT INTO ledger SELECT entry + 5, last_day, content_digest, previous, digest FROM ledger WHERE entry = 1",
        "INSERT INTO ledger SELECT 4, last_day, content_digest, zeroblob(32), digest FROM ledger WHERE entry = 1",
        "INSERT INTO ledger VALUES (NULL, 1, x'00', x'00', x'00')",
    ],
)
@pytest.mark.parametrize("function", [False, True], ids=["plain", "with-the-function"])
async def test_nothing_in_it_can_be_changed_or_dropped(world: World, statement: str, function: bool) -> None:
    """R15: append-only."""
    await world.give(ANNA)
    await world.give(BERT)
    await world.withdraw(ANNA)
    with closing(sqlite3.connect(world.path)) as sql:
        if function:
            sql.create_function("tracker_today", 0, lambda: None)
        with pytest.raises((sqlite3.IntegrityError, sqlite3.OperationalError)):
            sql.execute(statement)


async def test_a_content_goes_only_when_its_own_day_has_passed(world: World) -> None:
    await world.give(days=10)
    with closing(sqlite3.connect(world.path)) as sql:
        for day, allowed in ((on(10 + PROOF), False), (on(10 + PROOF + 1), True)):
            sql.create_function("tracker_today", 0, lambda day=day: day)
            if allowed:
                assert sql.execute("DELETE FROM ledger_contents").rowcount == 1
            else:
                with pytest.raises(sqlite3.IntegrityError, match="day"):
                    sql.execute("DELETE FROM ledger_contents")


async def test_a_deleted_content_cannot_be_written_again(world: World) -> None:
    await world.give(ANNA, days=10)
    await world.give(BERT)
    with closing(sqlite3.connect(world.path)) as sql:
        sql.create_function("tracker_today", 0, lambda: on(2_000))
        sql.execute("CREATE TEMP TABLE kept AS SELECT * FROM ledger_contents WHERE entry = 1")
        sql.execute("DELETE FROM ledger_contents WHERE entry = 1")
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            sql.execute("INSERT INTO ledger_contents SELECT * FROM kept")


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
    with closing(sqlite3.connect(world.path)) as sql:
        for (trigger,) in sql.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            sql.execute(f"DROP TRIGGER {trigger}")
        sql.execute(statement)
        sql.commit()
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
