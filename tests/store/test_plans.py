"""No statement of the hot paths, of the sweep, a withdrawal, an erasure or the figures reads a whole large table."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from tests.postgres import Cluster
from tests.store.conftest import on_postgres, on_sqlite
from tests.store.world import ANNA, BERT, JONAS, NOW, OFFER, PROOF, TODAY, World, at, clicked, copy, on, opened, person
from tracker.core.calendar import hour_of
from tracker.model import DeliveryId, DeliveryRef, Feature, Language, MessageKey, MessageQuery, Notice, Order
from tracker.store.registering import FOUND, WRITTEN
from tracker.store.schema import metadata

SMALL: Final = {"notices", "installation", "api_keys"}
"""Tables that do not grow with mail and people."""
IN_ORDER: Final = re.compile(
    r"ORDER BY ledger\.entry DESC\s+LIMIT|ORDER BY (recipients\.id|messages\.last_hour|outbox\.due).*LIMIT", re.DOTALL
)
"""Statements that walk along a key or an index and stop at a limit."""


@contextmanager
def statements() -> Iterator[dict[str, Any]]:
    """Every statement that is executed meanwhile, with the parameters of its last execution."""
    seen: dict[str, Any] = {}

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if not statement.startswith(("BEGIN", "PRAGMA")):
            seen[statement] = parameters[0] if many else parameters

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def scans(world: World, seen: dict[str, Any]) -> list[tuple[str, str]]:
    """What of it reads a whole table, with the line of the plan that says so."""
    large = metadata.tables.keys() - SMALL
    found = []
    with closing(sqlite3.connect(world.path)) as plain:
        plain.create_function("tracker_today", 0, lambda: None)
        for statement, parameters in seen.items():
            for *_, detail in plain.execute(f"EXPLAIN QUERY PLAN {statement}", parameters):
                # What is not past its day is nearly all there is: its days alone narrow nothing down.
                table = re.match(r"SCAN (\w+)|SEARCH (?P<name>\w+) USING .*\(last_day>\?\)$", detail)
                if table and original(statement, table[1] or table["name"]) in large and not IN_ORDER.search(statement):
                    found.append((statement, detail))
    return found


def original(statement: str, name: str) -> str:
    """The table that is called NAME in STATEMENT."""
    renamed = re.search(rf"(?:FROM|JOIN|,) (\w+) AS \"?{name}\b", statement)
    return renamed[1] if renamed else name


async def mail_and_hits(world: World) -> None:
    """What happens to mail, all of one day."""
    sent = [copy(person(number), reference=str(number)) for number in range(12)]
    for each in sent:
        assert await world.store.register(each, TODAY)
        assert await world.store.record(opened(each), TODAY)
        assert await world.store.record(clicked(each), TODAY)
    await world.store.close_deliveries([DeliveryRef(sent[0].last_day, sent[0].delivery)], BERT, TODAY)
    assert await world.store.register(copy(ANNA, reference="4711"), TODAY)


async def agreed(world: World) -> None:
    """The people whom it goes to."""
    for number in range(12):
        await world.give(person(number), days=20 if number < 11 else 730)
    await world.give(ANNA)


async def looks(world: World) -> None:
    """What reps and people see."""
    assert await world.store.message(OFFER, None, TODAY)
    for order in Order:
        await world.store.messages(MessageQuery(frozenset({JONAS}), order), TODAY)
    await world.store.reasons(frozenset({JONAS}), on(-29), TODAY, 500)
    await world.store.person(ANNA, None, TODAY)
    await world.store.person_by_reference("crm", "4711", None, TODAY)
    await world.store.held(ANNA, TODAY)


async def everybodys(world: World) -> None:
    """What a manager sees."""
    await world.store.messages(MessageQuery(None), TODAY)


async def noes(world: World) -> None:
    """A withdrawal, an erasure, and a notice that is superseded."""
    await world.withdraw(person(11))
    async with world.store.subjects() as book:
        await book.erase(
            ANNA,
            now=at(1),
            actor="recipient",
            language=None,
            content_last_day=on(PROOF),
            suppression_last_day=on(PROOF),
            tell_until=on(9),
        )
    assert await world.store.add_notice(Notice("2027-1", Language.DE, "Neu"))
    await world.give(BERT, notice_version="2027-1")
    assert await world.store.supersede("2027-1", at(2), PROOF)


async def sweeps(world: World) -> None:
    """One sweep of grants, one of copies and messages, one of what proves them."""
    for day in (21, 91, 3 * PROOF):
        await world.store.sweep(on(day), at(day), PROOF)
        await world.store.message(OFFER, None, on(day))
        await world.store.overdue(on(day))
    await world.store.forget_unneeded()


async def test_no_statement_reads_a_whole_large_table(sqlite_world: World) -> None:
    with statements() as seen:
        for happens in (agreed, mail_and_hits, looks, everybodys, noes, sweeps):
            await happens(sqlite_world)
    assert len(seen) > 80
    assert not scans(sqlite_world, seen)


async def test_no_figure_goes_through_a_whole_day(sqlite_world: World) -> None:
    """Of millions of copies that go on one day a figure needs those of a few messages."""
    world, now = sqlite_world, hour_of(NOW)
    features = frozenset({Feature.LIVE})
    await world.store.add_notice(Notice("live", Language.DE, "Auch?", features))
    await world.give(BERT, notice_version="live")
    sent = [await world.send(ANNA, reference="4711"), copy(BERT)]
    assert await world.store.register(sent[1], TODAY)
    for each in sent:
        assert await world.store.record(clicked(each), TODAY)
    for number in range(60):  # of a page of so many another way looks short
        key = number.to_bytes(16, "big")
        assert await world.store.register(copy(ANNA, delivery=DeliveryId(key), message=MessageKey(key)), TODAY)
    with statements() as seen:
        for order in Order:
            for engaged in (None, True, False):
                query = MessageQuery(frozenset({JONAS}), order, engaged=engaged)
                await world.store.messages(query, TODAY, now)
        await world.store.message(OFFER, None, TODAY, None, now)
        await world.store.timeline(OFFER, TODAY, now)
        await world.store.person(ANNA, None, TODAY, now)
        _, touches = await world.store.watch([b"x"], frozenset({JONAS}), NOW, now)
        assert len(await world.store.told(touches)) == 1
    assert not scans(world, seen)
    with closing(sqlite3.connect(world.path)) as plain:
        plans = [
            (statement, detail)
            for statement, parameters in seen.items()
            for *_, detail in plain.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]
    assert len(plans) > 40
    assert [plan for plan in plans if plan[1].endswith("(last_day=?)")] == []


async def test_neither_does_a_group_of_registrations(sqlite_world: World) -> None:
    """The statements of a trigger, of which no plan tells: each by itself, with what it is given."""
    for number in range(4):
        await sqlite_world.send(person(number), reference=str(number))
    await sqlite_world.send(person(4))
    statements = [statement.replace("NEW.", ":") for statement in (*WRITTEN, FOUND)]
    given = {"copies": "[]", "octets": b"", "contents": "[]", "today": TODAY, "ahead": 0}
    assert not scans(sqlite_world, dict.fromkeys(statements, given))
    assert scans(sqlite_world, {"SELECT * FROM tracked WHERE closed": given}), "one that would be found"


async def test_neither_does_one_about_webhooks(fresh: Path, tmp_path: Path) -> None:
    async with on_sqlite(fresh, tmp_path, told_to="crm") as world:
        await world.store.add_notice(Notice("told", Language.DE, "Dürfen wir?", frozenset({"webhook"})))
        with statements() as seen:
            for number in range(4):
                await world.give(person(number), notice_version="told")
                sent = copy(person(number), reference=str(number))
                assert await world.store.register(sent, TODAY)
                assert await world.store.record(opened(sent), TODAY)
            await world.give(person(3), now=at(1))  # under a text that does not cover it
            taken = await world.store.take_webhooks("crm", at(1), at(2), 20)
            await world.store.settle_webhooks([taken[0].event], {one.event: at(2) for one in taken[1:]})
            await world.store.webhook_backlog(TODAY)
            await world.store.changes("crm", 0, TODAY, 20)
        assert len(taken) == 3
        assert len([statement for statement in seen if "outbox" in statement]) >= 7
        assert not scans(world, seen)


@pytest.mark.postgres
async def test_on_postgresql_what_is_due_is_found_by_its_index(cluster: Cluster, fresh_on_postgres: str) -> None:
    """However much waits for its hour."""
    async with on_postgres(cluster, fresh_on_postgres, told_to="crm") as world:
        await world.store.add_notice(Notice("told", Language.DE, "Dürfen wir?", frozenset({"webhook"})))
        await world.give(notice_version="told")
        sent = copy(reference="4711")
        assert await world.store.register(sent, TODAY)
        assert await world.store.record(opened(sent), TODAY)
        with world.connected() as plain:
            plain.execute(
                "INSERT INTO events SELECT last_day, delivery, purpose, link, hour + each, agent"
                " FROM events, generate_series(1, 20000) AS each"
            )
            plain.execute(
                "INSERT INTO outbox SELECT last_day, delivery, purpose, link, hour, agent, 4000000000, 0"
                " FROM events ON CONFLICT DO NOTHING"
            )
            plain.execute("ANALYZE")
        with statements() as seen:
            assert len(await world.store.take_webhooks("crm", at(1), at(2), 20)) == 1
            await world.store.webhook_backlog(TODAY)
        asked = [statement for statement in seen if "FROM outbox" in statement and "$" in statement]
        assert len(asked) >= 3
        with world.connected() as plain:
            plain.execute("SET plan_cache_mode = force_generic_plan")
            for number, statement in enumerate(asked):
                plain.execute(f"PREPARE asked{number} AS {statement}")
                given = ", ".join(literal(value) for value in seen[statement])
                plan = "\n".join(row[0] for row in plain.execute(f"EXPLAIN EXECUTE asked{number}({given})").fetchall())
                assert "outbox_by_due" in plan, plan
                assert "Seq Scan on outbox" not in plan, plan


def literal(value: Any) -> str:
    """VALUE as SQL writes it."""
    return f"'{value}'" if isinstance(value, str) else str(value)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM events",
        "SELECT count(*) FROM deliveries AS d",
        "DELETE FROM tracked WHERE closed = 1",
        "SELECT hour FROM events WHERE last_day >= 1",
    ],
)
async def test_a_statement_that_does_is_noticed(sqlite_world: World, statement: str) -> None:
    assert [found for found, _ in scans(sqlite_world, {statement: ()})] == [statement]
