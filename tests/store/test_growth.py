"""An event costs few bytes on disk, indexes included, when its rows came in as they do: in any order."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.bench import filling
from tests.bench.filling import DAYS, Filling, fill_postgres, fill_sqlite, sqlite_bytes
from tests.store.world import TODAY, World
from tracker.core.calendar import later
from tracker.store.partitions import ensure_partitions

EVENTS = 100_000


async def test_an_event_costs_at_most_60_bytes_on_sqlite(sqlite_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    without = {table: columns for table, columns in filling.COLUMNS.items() if table != "events"}
    await sqlite_world.store.close()
    for columns in (without, {"events": filling.COLUMNS["events"]}):
        before = sqlite_bytes(sqlite_world.path)
        monkeypatch.setattr(filling, "COLUMNS", columns)
        fill_sqlite(sqlite_world.path, Filling(EVENTS, TODAY))
    assert sqlite_world.count("events") == EVENTS
    assert (sqlite_bytes(sqlite_world.path) - before) / EVENTS <= 60


@pytest.mark.postgres
async def test_an_event_costs_at_most_160_bytes_on_postgresql(postgres_world: World) -> None:
    await ensure_partitions(postgres_world.store._database, TODAY, later(TODAY, DAYS))
    await fill_postgres(postgres_world.url, Filling(EVENTS, TODAY, days=9))  # files of less than 100 kB are not full
    assert postgres_world.count("events") == EVENTS
    ((octets,),) = postgres_world.rows(filling.POSTGRES_BYTES.format(table="events"))
    assert octets / EVENTS <= 160


def test_what_is_filled_in_keeps_every_foreign_key(fresh: Path, tmp_path: Path) -> None:
    """Else it would be no measure for real databases."""
    path = tmp_path / "filled.db"
    path.write_bytes(fresh.read_bytes())
    fill_sqlite(path, Filling(8_000, TODAY))
    with closing(sqlite3.connect(path)) as plain:
        assert plain.execute("PRAGMA foreign_key_check").fetchall() == []
        assert plain.execute("SELECT count(*) FROM events").fetchone() == (8_000,)
