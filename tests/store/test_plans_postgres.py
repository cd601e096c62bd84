"""On PostgreSQL no statement, those of triggers and foreign keys included, reads what it does not touch.

The server itself writes down how it ran each of them (its module auto_explain).
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from tests.bench.filling import Filling, fill_postgres
from tests.postgres import Cluster, Plain
from tests.store.conftest import opened as open_store
from tests.store.test_plans import agreed, looks, mail_and_hits, noes
from tests.store.world import PROOF, RETENTION, TODAY, World, at, copy, on, opened, person
from tracker.model import DeliveryRef
from tracker.store import events_postgres
from tracker.store.partitions import AHEAD, PARTITIONED

pytestmark = pytest.mark.postgres

Plan = Mapping[str, Any]
SCANS: Final = ("Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Index Scan")
SETTINGS: Final = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_format": "json",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_timing": "off",
    "auto_explain.log_nested_statements": "on",
}
DAYS: Final = {table.name for table in PARTITIONED}
MANY: Final = 200
"""Rows: more than any statement here has to do with, less than there are in one day of the smallest large table."""
FORBIDDEN: Final = 1e10
"""What reading a whole table is said to cost: beside it, no plan is dearer than another, and any of them is taken."""


class Journal:
    """What the server writes down about a database."""

    def __init__(self, log: Path) -> None:
        self._log = log

    async def of(self, happens: Callable[[World], Awaitable[None]], world: World) -> list[Plan]:
        """The plans of all that is run while HAPPENS."""
        begun = self._log.stat().st_size
        await happens(world)
        with self._log.open() as log:
            log.seek(begun)
            told = re.findall(r"plan:\n((?:\t.*\n)+)", log.read())
        return [json.loads(plan.replace("\n\t", "\n")) for plan in told]


@pytest.fixture
async def world(postgres_world: World, cluster: Cluster) -> AsyncIterator[World]:
    """One with some thousand people and copies in it, of which every statement is written down."""
    await fill_postgres(postgres_world.url, Filling(10_000, on(RETENTION), days=AHEAD + 1))
    name = postgres_world.url.rpartition("/")[2]
    with Plain(cluster.url("postgres")) as administrator:
        administrator.execute("LOAD 'auto_explain'")
        for setting, value in SETTINGS.items():
            administrator.execute(f"ALTER DATABASE {name} SET {setting} = '{value}'")
    store = await open_store(postgres_world.url)
    yield World(store, postgres_world.url)
    await store.close()


@pytest.fixture
def journal(cluster: Cluster) -> Journal:
    """Where it is written."""
    return Journal(cluster.folder / "log")


def nodes(plan: Plan, relation: str = "") -> Iterator[Plan]:
    """Those of PLAN that were run; one that looks into an index for the node above it reads the RELATION of that."""
    relation = plan.get("Relation Name", relation)
    if plan.get("Actual Loops", 1):
        yield {**plan, "Relation Name": relation}
    for part in plan.get("Plans", ()):
        yield from nodes(part, relation if plan["Node Type"].startswith("Bitmap") else "")


def table_of(node: Plan) -> str:
    """The table that NODE reads, whichever of its days."""
    return re.sub(r"_\d+$", "", node["Relation Name"])


def too_much(plans: Sequence[Plan]) -> list[tuple[str, list[str]]]:
    """The statements of PLANS that read many rows of a table, whether they used them or not; with what they read."""
    assert plans
    found = defaultdict(list)
    for plan in plans:
        for node in nodes(plan["Plan"]):
            rows = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
            if node["Node Type"] in SCANS and rows * node["Actual Loops"] > MANY:
                found[plan["Query Text"]].append(f"{node['Relation Name']} by {node.get('Index Cond', 'nothing')}")
            if node["Node Type"] in ("Hash Join", "Merge Join"):
                found[plan["Query Text"]].append("all that is joined")
        if plan["Plan"]["Total Cost"] >= FORBIDDEN:
            found[plan["Query Text"]].append("a table without an index")
    return [(statement, faults) for statement, faults in found.items() if "pg_" not in statement]


async def one_sweep(world: World) -> None:
    """Of some grants with what hangs on them, where all else stays."""
    deleted = await world.store.sweep(on(21), at(21), PROOF)
    assert (deleted["grants"], deleted["tracked"], deleted["events"]) == (22, 22, 22)
    await world.store.overdue(on(21))


async def test_no_statement_reads_more_rows_than_it_has_to_do_with(world: World, journal: Journal) -> None:
    await agreed(world)
    for happens in (mail_and_hits, looks, one_sweep, noes):
        assert not too_much(await journal.of(happens, world))


async def test_hits_and_mail_use_the_partitions_of_their_own_day(
    world: World, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many days are kept."""
    sent = copy(person(1))

    async def bursts(world: World) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(events_postgres, "struck_of", lambda *_: {(sent.last_day, sent.delivery, sent.sent_hour)})
            assert await world.store.record(opened(sent), TODAY)

    async def nobody_got_it(world: World) -> None:
        await world.store.take_back(DeliveryRef(sent.last_day, sent.delivery))

    await agreed(world)
    for happens in (mail_and_hits, bursts, nobody_got_it):
        plans = await journal.of(happens, world)
        assert any("events" in plan["Query Text"] for plan in plans)
        if happens is bursts:
            assert world.rows("SELECT DISTINCT agent FROM events WHERE delivery = ?", sent.delivery) == [(1,)]
        for plan in plans:
            used = {node["Relation Name"]: table_of(node) for node in nodes(plan["Plan"]) if node["Node Type"] in SCANS}
            of_days = [table for table in used.values() if table in DAYS]
            assert len(of_days) == len(set(of_days)), plan["Query Text"]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM grants",
        "SELECT count(*) FROM deliveries AS d",
        f"SELECT * FROM events WHERE last_day = {TODAY + 90}",
        f"SELECT hour FROM events WHERE last_day >= {TODAY}",
    ],
)
async def test_a_statement_that_does_is_noticed(world: World, journal: Journal, statement: str) -> None:
    async def run(world: World) -> None:
        async with world.store._database.read() as connection:
            await connection.exec_driver_sql(statement)

    assert [found for found, _ in too_much(await journal.of(run, world))] == [statement]
