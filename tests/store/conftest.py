"""A store in a temporary folder for each test."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.store.world import FINGERPRINT, LEDGER_KEY, RETENTION, World
from tracker.model import Language, Notice
from tracker.store.store import Store


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new database, to be copied: making one takes longer than most tests."""
    path = tmp_path_factory.mktemp("fresh") / "tracker.db"
    notices = [Notice("2026-1", Language.DE, "Dürfen wir?"), Notice("2026-1", Language.EN, "May we?")]
    asyncio.run(Store.create(f"sqlite+aiosqlite:///{path}", fingerprint=FINGERPRINT, notices=notices))
    return path


@pytest.fixture
async def world(fresh: Path, tmp_path: Path) -> AsyncIterator[World]:
    """An open store with one notice in two languages and nobody in it; it gives up at once on a locked database."""
    path = tmp_path / "tracker.db"
    shutil.copy2(fresh, path)
    store = await Store.open(
        f"sqlite+aiosqlite:///{path}",
        ledger_key=LEDGER_KEY,
        fingerprint=FINGERPRINT,
        retention_days=RETENTION,
        busy_seconds=0.02,
        capacity=1_000,
        pause=0.02,
    )
    yield World(store, path)
    await store.close()
