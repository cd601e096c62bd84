"""Everything at once for some seconds; `make soak` does the same for ten minutes on each database."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.postgres import programs
from tests.soak import CALLER, FIREFOX, WRITTEN, soak, traces_in
from tests.soak_store import SoakStore

SECONDS = {"sqlite": 10, "postgresql": 10}


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_everything_at_once_leaves_the_counts_right_and_the_memory_flat(tmp_path: Path, database: str) -> None:
    if database == "postgresql" and programs() is None:
        pytest.skip("needs PostgreSQL (Debian's package postgresql)")
    run = soak(SECONDS[database], folder=tmp_path, database=database)
    assert run.faults == []
    assert run.counts["hits"] > 50
    assert run.counts["copies, tracked"] > 20
    assert run.counts["withdrawals"]
    assert run.counts["sweeps"]


def test_an_address_a_browser_or_a_token_is_found_wherever_it_was_written(tmp_path: Path) -> None:
    log, table = tmp_path / "server.log", tmp_path / "deep" / "table"
    table.parent.mkdir()
    store = SoakStore(lambda: closing(sqlite3.connect(":memory:")), (tmp_path,))
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
