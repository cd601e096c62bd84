"""A store for each test, on SQLite in a temporary folder and on PostgreSQL in a database of its own."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.postgres import Cluster
from tests.store.world import FINGERPRINT, LEDGER_KEY, RETENTION, TODAY, World
from tracker.model import Language, Notice
from tracker.store.store import Store

NOTICES = [Notice("2026-1", Language.DE, "Dürfen wir?"), Notice("2026-1", Language.EN, "May we?")]
Worlds = Callable[..., AbstractAsyncContextManager[World]]
"""Takes what is to be changed about the store."""


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new database, to be copied: making one takes longer than most tests."""
    path = tmp_path_factory.mktemp("fresh") / "tracker.db"
    asyncio.run(Store.create(f"sqlite+aiosqlite:///{path}", fingerprint=FINGERPRINT, notices=NOTICES))
    return path


@pytest.fixture(scope="session")
def fresh_on_postgres(cluster: Cluster) -> Iterator[str]:
    """The same on a server."""
    name = cluster.make()
    asyncio.run(made(cluster.url(name)))
    yield name
    cluster.drop(name)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def worlds(request: pytest.FixtureRequest, tmp_path: Path) -> Worlds:
    """Opens new worlds, one for each call, on one of the engines."""
    if request.param == "sqlite":
        fresh: Path = request.getfixturevalue("fresh")
        return lambda **changes: on_sqlite(fresh, tmp_path, **changes)
    cluster: Cluster = request.getfixturevalue("cluster")
    template: str = request.getfixturevalue("fresh_on_postgres")
    return lambda **changes: on_postgres(cluster, template, **changes)


@pytest.fixture
async def world(worlds: Worlds) -> AsyncIterator[World]:
    """An open store with one notice in two languages and nobody in it; it gives up at once on a locked database."""
    async with worlds() as one:
        yield one


@pytest.fixture
async def sqlite_world(fresh: Path, tmp_path: Path) -> AsyncIterator[World]:
    """The same on SQLite alone, for what only SQLite has: a file, or statements of its own."""
    async with on_sqlite(fresh, tmp_path) as one:
        yield one


@pytest.fixture
async def postgres_world(cluster: Cluster, fresh_on_postgres: str) -> AsyncIterator[World]:
    """The same on PostgreSQL alone; such tests carry the marker `postgres`."""
    async with on_postgres(cluster, fresh_on_postgres) as one:
        yield one


async def made(url: str) -> None:
    """Make a store at URL, with room for what is sent in the next days."""
    await Store.create(url, fingerprint=FINGERPRINT, notices=NOTICES)
    store = await opened(url)
    await store.make_room(TODAY, RETENTION)
    await store.close()


@asynccontextmanager
async def on_sqlite(fresh: Path, folder: Path, **changes: Any) -> AsyncIterator[World]:
    path = folder / "tracker.db"
    shutil.copy2(fresh, path)
    url = f"sqlite+aiosqlite:///{path}"
    store = await opened(url, busy_seconds=0.02, **changes)
    try:
        yield World(store, url)
    finally:
        await store.close()


@asynccontextmanager
async def on_postgres(cluster: Cluster, template: str, **changes: Any) -> AsyncIterator[World]:
    name = await asyncio.to_thread(cluster.make, template)
    store = await opened(cluster.url(name), busy_seconds=0.5, **changes)
    try:
        yield World(store, cluster.url(name))
    finally:
        await store.close()
        await asyncio.to_thread(cluster.drop, name)


async def opened(url: str, **changes: Any) -> Store:
    """The store at URL, which tries again soon."""
    given = {"retention_days": RETENTION, "capacity": 1_000, "pause": 0.02, **changes}
    return await Store.open(url, ledger_key=LEDGER_KEY, fingerprint=FINGERPRINT, **given)
