"""Everything at once for some seconds; `make soak` does the same for ten minutes."""

from __future__ import annotations

from pathlib import Path

from tests.soak import soak

SECONDS = 10


def test_everything_at_once_leaves_the_counts_right_and_the_memory_flat(tmp_path: Path) -> None:
    run = soak(SECONDS, folder=tmp_path)
    assert run.faults == []
    assert run.counts["hits"] > 50
    assert run.counts["copies, tracked"] > 20
    assert run.counts["withdrawals"]
    assert run.counts["sweeps"]
