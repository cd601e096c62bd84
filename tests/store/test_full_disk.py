"""A PostgreSQL server whose disk has no room for one more page: what came in is written as soon as there is some."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.e2e import faults
from tests.postgres import Cluster
from tests.store.conftest import made
from tests.store.conftest import opened as open_store
from tests.store.world import ANNA, TODAY, World, opened
from tracker.store.store import Counters, Store

pytestmark = pytest.mark.postgres

DISK = 24 * 2**20
PATIENCE = 30


@pytest.fixture
def disk(cluster: Cluster) -> Iterator[Path]:
    """A small disk at a place where the server may write."""
    folder = cluster.folder / "disk"
    with faults.small_disk(folder, DISK):
        yield folder
    folder.rmdir()


@pytest.fixture
async def world(cluster: Cluster, disk: Path) -> AsyncIterator[World]:
    """A database whose tables lie on the small disk; the server's log of changes does not."""
    place = disk / "tables"
    place.mkdir()
    if os.geteuid() == 0:
        shutil.chown(place, "postgres", "postgres")
    await asyncio.to_thread(cluster.do, f"CREATE TABLESPACE small LOCATION '{place}'")
    name = await asyncio.to_thread(cluster.make)
    await asyncio.to_thread(cluster.do, f"ALTER DATABASE {name} SET TABLESPACE small")
    await made(cluster.url(name))
    store = await open_store(cluster.url(name))
    yield World(store, cluster.url(name))
    await store.close()
    await asyncio.to_thread(cluster.drop, name)
    await asyncio.to_thread(cluster.do, "DROP TABLESPACE small")


async def test_events_wait_for_room_and_readiness_knows(world: World, disk: Path) -> None:
    store = world.store
    sent = await world.send(ANNA)
    with faults.full(disk):
        waiting = asyncio.create_task(store.record(opened(sent), TODAY))  # the first of its day: it takes a page
        await until_failing(store)
        with pytest.raises(asyncpg.DiskFullError), world.plain() as other:
            other.execute("CREATE TABLE filler AS SELECT 1")
        await store.ping()  # is written in place
        assert store.counters == Counters(written=0, dropped=0, waiting=1)
        assert not waiting.done()
    assert await waiting
    assert not store.is_failing
    assert world.count("events") == 1


async def until_failing(store: Store) -> None:
    async with asyncio.timeout(PATIENCE):
        while not store.is_failing:
            await asyncio.sleep(0.01)
