"""Every row that concerns a person has a last day; reads never return it afterwards, and the sweep deletes it."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import Table, insert

from tests.store.world import (
    ANNA,
    BERT,
    GRANTED,
    JONAS,
    OFFER,
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
from tests.store.world import report as consent
from tracker.core.calendar import hour_of
from tracker.model import Language, LedgerEvent, Left, MessageKey, Method, Notice, Purpose, Reason, UntouchedCopy
from tracker.store import expiry
from tracker.store.pace import Pace
from tracker.store.schema import (
    accounts,
    aliases,
    audit,
    calls,
    erased_ids,
    folded,
    folded_copies,
    folded_links,
    mailings,
    metadata,
    outbox,
    recovery_codes,
    sessions,
    spent,
    swept,
    totals,
)

ACCOUNT = {"id": 1, "login": "a@example.org", "role": "rep", "password": "-", "last_step": 0, "created_day": TODAY}
SESSION = {"digest": b"d", "account": 1, "began": 0, "used": 0, "ends": 1, "complete": 1}
OPEN = frozenset({Purpose.OPEN})

NOTHING_PERSONAL = {"notices", "installation", "api_keys", "folded_days", "totals", "team_totals"}
STAYS = {"ledger"}
"""The chain: digests that say nothing once the contents and their salts have gone."""
GO_WITH_WHAT_HANGS_ON_THEM = {"recipients"}


def parents(table: Table) -> set[str]:
    """Tables whose rows take rows of TABLE along."""
    return {key.column.table.name for key in table.foreign_keys if key.ondelete == "CASCADE"}


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=lambda table: table.name)
def test_every_personal_table_has_a_last_day_or_goes_with_one_that_has(table: Table) -> None:
    """R42: every class of data has a longest time."""
    if table.name in NOTHING_PERSONAL | GO_WITH_WHAT_HANGS_ON_THEM:
        return
    assert "last_day" in table.c or all("last_day" in metadata.tables[name].c for name in parents(table))
    assert "last_day" in table.c or parents(table)


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=lambda table: table.name)
def test_the_sweep_looks_at_every_table_with_a_last_day(table: Table) -> None:
    looked_at = {"grants", "ledger_contents", "ledger_ends"} | {table.name for table in expiry.BY_DAY}
    assert (table.name in looked_at | STAYS) == ("last_day" in table.c)


async def fill(world: World) -> None:
    """A row in every table."""
    sent = await world.send(ANNA, reference="1", left={Left.EXCLUDED: 1})
    assert await world.store.record(opened(sent), TODAY)
    assert await world.store.record(clicked(sent), TODAY)
    async with world.store.consents() as book:
        await book.hold(consent(BERT, method=Method.REP), OPEN, last_day=on(30), content_last_day=on(PROOF), now=at(0))
    await world.give(person(1))
    await world.withdraw(person(1))
    for message in (sent.message, None):
        world.store.count_untouched(UntouchedCopy(JONAS, TODAY, Reason.SIGNED, message, False))
    await world.store._untouched.flush()
    await world.store.put_team_totals_on_file(on(1))
    with world.connected() as sql:  # by a trigger, where an event goes
        sql.execute("INSERT INTO engaged_unsure SELECT id, 1 FROM messages")
    async with world.store.consents() as book:  # whoever builds what writes these fills them through the store
        recipient = await book._recipient(BERT)
        rest = {"last_day": on(200), "source": "crm"}
        counts = {"people": 10, "by_people": 1, "by_machines": 0}
        for table, values in (
            (erased_ids, {**rest, "reference": "9", "entry": 1}),
            (calls, {"last_day": on(200), "recipient": recipient, "rep": "jonas", "started_at": "2026-11-23T12:00Z"}),
            (mailings, {**rest, "recipient": recipient, "kind": "ask", "day": TODAY, "count": 1}),
            (spent, {"last_day": on(200), "digest": b"d" * 16}),
            (accounts, {**ACCOUNT, "last_day": on(200)}),
            (aliases, {"alias": "b@example.org", "account": 1}),
            (recovery_codes, {"account": 1, "digest": b"d"}),
            (
                sessions,
                {"digest": b"d", "account": 1, "began": 0, "used": 0, "ends": 1, "complete": 1, "last_day": on(200)},
            ),
            (swept, {"day": TODAY, "name": "events", "rows": 1, "last_day": on(200)}),
            (audit, {"last_day": on(200), "at": "2026-11-23T12:00Z", "actor": "cli", "action": "erase"}),
            (folded, {"message": OFFER, "purpose": Purpose.OPEN, "since_hour": 1, **counts, "measured": 1}),
            (folded_links, {"message": OFFER, "number": 1, "by_people": 1, "by_machines": 0}),
            (folded_copies, {"message": OFFER, "count": 1, "measured": 1, "by_people": 1, "by_machines": 0}),
            (outbox, {**opened(sent)._asdict(), "due": 0, "tries": 0}),
            (totals, {"id": 1, "month": TODAY, "sent": 10, "tracked": 10}),
        ):
            await book._connection.execute(insert(table).values(values))
    filled = {table.name for table in metadata.sorted_tables if world.count(table.name)}
    assert filled == set(metadata.tables) - {"api_keys", "folded_days"}


async def test_nothing_personal_is_left_when_every_day_has_passed(world: World) -> None:
    await fill(world)
    end = GRANTED + 2 * PROOF + 5
    await world.store.sweep(on(GRANTED + 1), at(GRANTED + 1), PROOF)
    await world.store.sweep(on(end), at(end), PROOF)
    left = {table for table in metadata.tables if world.count(table)}
    left_over = {"notices", "installation", "ledger", "swept", "team_totals", "totals"}
    assert left == left_over, "that there was a sweep is noted, for a year"


async def test_the_sweep_tells_what_it_deleted(world: World) -> None:
    await fill(world)
    deleted = await world.store.sweep(on(91), at(91), PROOF)
    assert {table: count for table, count in deleted.items() if count} == {
        "outbox": 1,
        "events": 2,
        "tracked": 2,
        "deliveries": 1,
        "messages": 1,
        "pending": 1,
        "untouched": 1,
    }
    assert not any((await world.store.sweep(on(91), at(91), PROOF)).values())


async def test_the_sweep_deletes_nothing_before_its_day(world: World) -> None:
    await fill(world)
    looked_at = set(metadata.tables) - {"swept"}  # each sweep is noted there
    before = {table: world.count(table) for table in looked_at}
    assert not any((await world.store.sweep(on(30), at(30), PROOF)).values())
    assert {table: world.count(table) for table in looked_at} == before


async def test_overdue_rows_are_counted_until_the_sweep_comes(world: World) -> None:
    """R42: lateness shows."""
    await fill(world)
    assert not any((await world.store.overdue(on(30))).values())
    overdue = await world.store.overdue(on(91))
    assert (overdue["events"], overdue["deliveries"], overdue["pending"], overdue["grants"]) == (2, 1, 1, 0)
    await world.store.sweep(on(91), at(91), PROOF)
    assert not any((await world.store.overdue(on(91))).values())


async def test_a_grant_that_ends_takes_its_events_and_leaves_a_proof(world: World) -> None:
    await world.give(days=5)
    assert await world.store.register(copy(), TODAY)
    assert await world.store.record(opened(copy()), TODAY)
    swept = await world.store.sweep(on(6), at(6), PROOF)
    assert swept["grants"] == 2
    assert [world.count(table) for table in ("grants", "tracked", "events")] == [0, 0, 0]
    given, expired = await world.store.history(ANNA, on(6))
    assert (expired.event, expired.last_day, expired.recorded_at) == (LedgerEvent.EXPIRED, on(6 + PROOF), at(6))
    assert expired.purposes == {Purpose.OPEN, Purpose.CLICK}
    assert world.rows("SELECT ended, entry FROM ledger_ends") == [(given.entry, expired.entry)]


async def test_many_rows_go_in_chunks(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry, "Pace", lambda **_: Pace(least=3, most=3))
    monkeypatch.setattr(expiry, "GRANTS", 3)
    for number in range(10):
        sent = await world.send(person(number), message=MessageKey(bytes([number]) * 16))
        assert await world.store.record(opened(sent), TODAY)
    swept = await world.store.sweep(on(GRANTED + 1), at(GRANTED + 1), PROOF)
    assert (swept["events"], swept["deliveries"], swept["messages"], swept["grants"]) == (10, 10, 10, 20)
    end = GRANTED + PROOF + 5
    assert (await world.store.sweep(on(end), at(end), PROOF))["recipients"] == 10
    assert world.count("recipients") == 0


async def test_superseding_a_notice_ends_every_grant_that_rests_on_it(world: World) -> None:
    """R13: a changed text needs fresh consent."""
    assert await world.store.add_notice(Notice("2027-1", Language.DE, "Neu"))
    await world.give(ANNA)
    await world.give(BERT, notice_version="2027-1")
    assert await world.store.supersede("2026-1", at(1), PROOF)
    assert await world.store.grants_of(ANNA, on(1)) == frozenset()
    assert await world.store.grants_of(BERT, on(1)) == {Purpose.OPEN, Purpose.CLICK}
    assert [entry.event for entry in await world.store.history(ANNA, on(1))] == ["given", "expired"]
    assert {notice.superseded_day for notice in await world.store.notices()} == {on(1), None}
    assert not await world.store.supersede("2026-1", at(2), PROOF)
    assert not await world.store.supersede("1999-1", at(2), PROOF)


async def test_the_oldest_event_is_known(world: World) -> None:
    assert await world.store.oldest_event_hour() is None
    sent = await world.send()
    assert await world.store.record(opened(sent), TODAY)
    assert await world.store.oldest_event_hour() == hour_of(at(0))


async def test_a_deleted_pseudonym_is_on_no_page_after_the_vacuum(sqlite_world: World) -> None:
    """R45: neither in the database nor in its write-ahead log."""
    await sqlite_world.send(ANNA)
    await sqlite_world.withdraw(ANNA)
    end = 2 * PROOF
    await sqlite_world.store.sweep(on(end), at(end), PROOF)
    await sqlite_world.store.vacuum()
    for path in sqlite_world.path.parent.glob("tracker.db*"):
        assert bytes(ANNA) not in path.read_bytes()


async def test_the_writer_deletes_securely_and_commits_to_the_disk(sqlite_world: World) -> None:
    async with sqlite_world.store._database.write() as connection:
        for pragma, value in (("secure_delete", 1), ("synchronous", 2), ("foreign_keys", 1), ("journal_mode", "wal")):
            assert (await connection.exec_driver_sql(f"PRAGMA {pragma}")).scalar_one() == value
    with closing(sqlite3.connect(sqlite_world.path)) as plain:
        assert plain.execute("PRAGMA integrity_check").fetchone() == ("ok",)
