"""Everything at once for some seconds; `make soak` does the same for ten minutes on each database."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.bench.filling import Filling, fill_sqlite
from tests.harness import Installation
from tests.postgres import programs
from tests.soak import CALLER, FIREFOX, WRITTEN, soak, traces_in
from tests.soak_past import Past
from tests.soak_store import SoakStore
from tracker.core.calendar import day_of

SECONDS = {"sqlite": 8, "postgresql": 8}


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_everything_at_once_leaves_the_counts_right_and_the_memory_flat(tmp_path: Path, database: str) -> None:
    if database == "postgresql" and programs() is None:
        pytest.skip("needs PostgreSQL (Debian's package postgresql)")
    run = soak(SECONDS[database], folder=tmp_path, database=database)
    assert run.faults == []
    assert run.counts["hits"] > 50
    assert run.counts["copies, tracked"] > 20
    assert run.counts["withdrawals"]
    assert run.counts["sweeps"] + run.counts["sweeps, killed"]


def test_what_a_sweep_left_and_what_it_took_too_much_is_found(fresh: Installation) -> None:
    path = fresh.folder / "tracker.db"
    past = Past(10.0, day_of(datetime.now(UTC)))
    fill_sqlite(path, past.filling)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        assert past.gone(database) == 0
        assert "2400 rows of events are past their day" in past.faults(database)
        fresh.run("sweep")
        assert past.gone(database) == 2400
        assert past.faults(database) == []
        database.execute("DELETE FROM grants WHERE recipient = 1 AND purpose = 'o'")
        database.execute("DELETE FROM totals WHERE id = (SELECT min(id) FROM totals)")
        lost, *uncounted = past.faults(database)
        assert lost == "1 rows of grants went that were not past their day"
        assert "600 copies that went are to go on counting as sent, 400 do" in uncounted


def unfilled(filling: Filling) -> None:
    raise AssertionError("nobody fills it")


def test_an_address_a_browser_or_a_token_is_found_wherever_it_was_written(tmp_path: Path) -> None:
    log, table = tmp_path / "server.log", tmp_path / "deep" / "table"
    table.parent.mkdir()
    store = SoakStore(lambda: closing(sqlite3.connect(":memory:")), (tmp_path,), fill=unfilled)
    log.write_bytes(b"all is well\n")
    table.write_bytes(b"\0\1" + WRITTEN)
    assert traces_in(store, log) == []
    table.write_bytes(WRITTEN + b"\0Person7@example.org\0" + FIREFOX["User-Agent"].encode() + b"\0" + CALLER.encode())
    log.write_bytes(b"GET /o/" + b"a" * 80)
    assert traces_in(store, log) == [
        "table holds b'127.0.0.77'",
        "table holds b'person7@'",
        "table holds b'rv:145.0'",
        "the log holds a token",
    ]
    table.unlink()
    assert "looked at" in traces_in(store, log)[-1]
