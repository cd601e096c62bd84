"""deploy/outages.md promises nothing that no test shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.e2e import faults

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "deploy" / "outages.md").read_text()
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith(("| ---", "| what was"))]
NAMES = {name for path in TESTS.rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row)[2:40])
def test_each_row_names_the_test_that_shows_it(row: str) -> None:
    shown = row.rstrip(" |").rpartition("|")[2]
    names = re.findall(r"test_\w+", shown)
    assert names or "…[" in shown
    assert set(names) <= NAMES
    for fault in re.findall(r"\[(\w+)\]", shown):
        assert callable(getattr(faults, fault))


def test_every_outage_that_is_tried_stands_on_the_page() -> None:
    for path in (TESTS / "e2e").glob("test_outages_*.py"):
        for name in re.findall(r"def (test_\w+)", path.read_text()):
            assert name in PAGE
