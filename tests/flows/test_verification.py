"""Whatever is done to the ledger behind its back is found, and it is said which entry and how (LAW.md R15)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.flows.conftest import NOW, RING, Flows, reported
from tracker.core.calendar import day_of
from tracker.core.ledger import GENESIS, entry_digest
from tracker.flows.verification import Head, Verification, head, read_head, verify
from tracker.model import InvalidField, Purpose
from tracker.store.journal import Journal

ALL: frozenset[Purpose] = frozenset()
PEOPLE = [f"person{number}@example.org" for number in range(6)]


def after(**more: float) -> datetime:
    return NOW + timedelta(**more)


async def write(flows: Flows) -> Head:
    """Six entries, anchored; the head."""
    for address in PEOPLE:
        await flows.consents.report(reported(address), NOW)
    await flows.in_step.keep(after(minutes=2))
    return await head(flows.store)


async def verified(flows: Flows, folder: Path, kept: Head | None = None) -> Verification:
    return await verify(flows.store, Journal(folder / "journal", RING.journal_key), kept, after(minutes=3))


def tamper(folder: Path, *statements: str) -> None:
    """What somebody with sqlite3 can do who takes the triggers away."""
    with closing(sqlite3.connect(folder / "tracker.db")) as sql:
        for (trigger,) in sql.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            sql.execute(f"DROP TRIGGER {trigger}")
        for statement in statements:
            sql.execute(statement)
        sql.commit()


async def test_an_untouched_ledger_is_fine(flows: Flows, tmp_path: Path) -> None:
    kept = await write(flows)
    await flows.consents.withdraw(PEOPLE[0], ALL, "cli", after(minutes=2, seconds=1))
    found = await verified(flows, tmp_path, kept)
    assert (found.faults, found.remarks, found.head.entry) == ((), (), 7)
    assert read_head(str(found.head)) == found.head
    assert (await verified(flows, tmp_path, read_head(kept.digest.hex()))).faults == ()


SWAP = "UPDATE ledger SET {0} = (SELECT {0} FROM ledger_copy WHERE entry = 7 - ledger.entry) WHERE entry IN (3, 4)"


PLACE = "stands in another's place: it was entry"
BOTH = ("ledger_contents", "ledger")
COLUMNS = (
    "last_day, salt, recipient, event, purposes, method, given_at, notice_version, notice_hash, language, recorded_at, "
    "actor, evidence"
)


@pytest.mark.parametrize(
    ("statements", "faults"),
    [
        (["UPDATE ledger_contents SET purposes = 'open' WHERE entry = 2"], ["Entry 2: its content was changed."]),
        (["UPDATE ledger_contents SET actor = 'me' WHERE entry = 6"], ["Entry 6: its content was changed."]),
        (["DELETE FROM ledger_contents WHERE entry = 5"], ["Entry 5: its content was removed before its day."]),
        (
            ["UPDATE ledger SET last_day = last_day - 1 WHERE entry = 4"],
            ["Entry 4 was changed, or written without the key."],
        ),
        ([f"DELETE FROM {table} WHERE entry = 3" for table in BOTH], ["Entry 3 was removed."]),
        (
            [f"DELETE FROM {table} WHERE entry BETWEEN 2 AND 4" for table in BOTH],
            ["Entry 2 and all up to 4 were removed."],
        ),
        (
            [
                "CREATE TABLE ledger_copy AS SELECT * FROM ledger",
                *(SWAP.format(name) for name in ("last_day", "content_digest", "previous", "digest")),
                "DROP TABLE ledger_copy",
            ],
            [f"Entry 3 {PLACE} 4.", f"Entry 4 {PLACE} 3."],
        ),
        (
            ["INSERT INTO ledger SELECT 7, last_day, content_digest, digest, zeroblob(32) FROM ledger WHERE entry = 6"],
            ["Entry 7 was changed, or written without the key."],
        ),
        (
            [f"INSERT INTO ledger_contents SELECT 99, {COLUMNS} FROM ledger_contents WHERE entry = 1"],
            ["Entry 99 has a content but no place in the chain."],
        ),
    ],
)
async def test_what_was_done_to_an_entry_is_said(
    flows: Flows, tmp_path: Path, statements: list[str], faults: list[str]
) -> None:
    """R15: a changed, removed or reordered entry is found, and named."""
    await write(flows)
    tamper(tmp_path, *statements)
    found = [fault for fault in (await verified(flows, tmp_path)).faults if "journal" not in fault]
    assert found[: len(faults)] == faults


async def test_a_cut_tail_is_found_by_the_head_in_the_journal(flows: Flows, tmp_path: Path) -> None:
    kept = await write(flows)
    tamper(tmp_path, "DELETE FROM grants WHERE entry > 4", *(
        f"DELETE FROM {table} WHERE entry > 4" for table in ("ledger_contents", "ledger")
    ))  # fmt: skip
    (fault,) = (await verified(flows, tmp_path)).faults
    assert fault.startswith("The tail was cut: the ledger ends at entry 4")
    assert "the journal noted" in fault
    assert len((await verified(flows, tmp_path, kept)).faults) == 2, "an officer's own file finds it too"
    (tmp_path / "journal").rename(tmp_path / "lost")
    told = (await verified(flows, tmp_path, read_head(kept.digest.hex()))).faults
    assert told[0].startswith("The ledger does not contain the head that was given")
    assert told[1].startswith("The journal, in which heads are noted, cannot be read")


def rebuild(folder: Path, first: int, change: Callable[[sqlite3.Connection], None]) -> None:
    """What somebody can do who has the key, too: a chain that holds."""
    tamper(folder)
    with closing(sqlite3.connect(folder / "tracker.db")) as sql:
        change(sql)
        rows = sql.execute("SELECT entry, last_day, content_digest, digest FROM ledger ORDER BY entry").fetchall()
        previous = GENESIS
        for entry, last_day, content, digest in rows:
            sealed = entry_digest(RING.ledger_key, entry, previous, last_day, content) if entry >= first else digest
            sql.execute("UPDATE ledger SET previous = ?, digest = ? WHERE entry = ?", (previous, sealed, entry))
            previous = sealed
        sql.commit()


def exchange(sql: sqlite3.Connection) -> None:
    (other,) = sql.execute("SELECT content_digest FROM ledger WHERE entry = 1").fetchone()
    sql.execute("UPDATE ledger SET content_digest = ? WHERE entry = 4", (other,))
    sql.execute("DELETE FROM ledger_contents WHERE entry = 4")
    columns = [name for _, name, *_ in sql.execute("PRAGMA table_info(ledger_contents)")][1:]
    sql.execute(f"INSERT INTO ledger_contents SELECT 4, {', '.join(columns)} FROM ledger_contents WHERE entry = 1")


async def test_a_chain_that_was_rebuilt_with_the_key_is_found(flows: Flows, tmp_path: Path) -> None:
    """R15: even who holds the key and the database cannot rewrite the past unseen."""
    kept = await write(flows)
    rebuild(tmp_path, 4, exchange)
    assert not (await flows.store.examine_ledger(day_of(NOW))).faults
    (fault,) = (await verified(flows, tmp_path)).faults
    assert fault.startswith("The chain was rebuilt: entry 6 is not the one")
    assert len((await verified(flows, tmp_path, kept)).faults) == 2


async def test_contents_that_went_on_their_day_leave_the_chain_whole(flows: Flows, tmp_path: Path) -> None:
    kept = await write(flows)
    end = after(days=730 + 1095 + 3)
    for now in (after(days=731), end):
        await flows.store.sweep(day_of(now), now, 1095)
    found = await verify(flows.store, Journal(tmp_path / "journal", RING.journal_key), kept, end)
    assert found.faults == ()


async def test_a_restore_is_told_and_is_no_fault(flows: Flows, tmp_path: Path) -> None:
    for address in PEOPLE[:3]:
        await flows.consents.report(reported(address), NOW)
    with closing(sqlite3.connect(tmp_path / "tracker.db")) as live, closing(sqlite3.connect(tmp_path / "old")) as old:
        live.backup(old)
    kept = await write(flows)
    with closing(sqlite3.connect(tmp_path / "tracker.db")) as live, closing(sqlite3.connect(tmp_path / "old")) as old:
        old.backup(live)
    await flows.in_step.keep(after(hours=1))
    found = await verified(flows, tmp_path)
    assert found.faults == ()
    (remark,) = found.remarks
    assert "an older database was put in place: what the ledger had after entry 3 is lost" in remark
    assert len((await verified(flows, tmp_path, kept)).faults) == 1, "the head that somebody kept is gone all the same"


@pytest.mark.parametrize("text", ["", "7", "7:", ":" + "a" * 64, "g" * 64, "a" * 63, "-1:" + "a" * 64])
def test_what_is_no_head_is_refused(text: str) -> None:
    with pytest.raises(InvalidField):
        read_head(text)
