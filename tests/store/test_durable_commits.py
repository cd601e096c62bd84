"""What PostgreSQL acknowledged is on its disk, also where its administrator would let it be faster than that."""

from __future__ import annotations

import asyncio

import pytest

from tests.postgres import Cluster
from tests.store.conftest import opened as open_store
from tests.store.world import ANNA, BLOG, TODAY, World, clicked, opened
from tracker.store.postgres import PostgresDatabase

pytestmark = pytest.mark.postgres

HASTY = {"synchronous_commit": "off", "wal_writer_delay": "10s"}
"""Commits are acknowledged when they are in memory, and written down ten seconds later."""


async def test_no_setting_of_the_server_makes_what_was_acknowledged_volatile(
    postgres_world: World, cluster: Cluster
) -> None:
    """Neither for connections that were there when it was changed, nor for those that are made later."""
    store = postgres_world.store
    sent = await postgres_world.send(ANNA)
    assert await store.record(opened(sent), TODAY)
    with cluster.configured(**HASTY):
        assert await store.record(clicked(sent), TODAY)
        await killed(cluster)
        assert postgres_world.count("events") == 2
        later = await open_store(postgres_world.url)
        assert await later.record(clicked(sent, BLOG), TODAY)
        await killed(cluster)
        assert postgres_world.count("events") == 3
        await later.close()


async def killed(cluster: Cluster) -> None:
    await asyncio.to_thread(cluster.kill)
    await asyncio.to_thread(cluster.start)


@pytest.mark.parametrize(("servers", "ours"), [("off", "local"), ("local", "local"), ("remote_apply", "remote_apply")])
async def test_what_the_server_asks_for_beyond_its_own_disk_is_left_to_it(
    postgres_world: World, cluster: Cluster, servers: str, ours: str
) -> None:
    with cluster.configured(synchronous_commit=servers):
        database = PostgresDatabase(postgres_world.url)
        async with database.write() as connection:
            assert (await connection.exec_driver_sql("SHOW synchronous_commit")).scalar_one() == ours
        await database.close()


async def test_commits_that_something_between_us_and_the_server_made_volatile_are_noticed(
    postgres_world: World,
) -> None:
    """As a pooler does that gives each transaction another connection, with what others set for it."""
    database = PostgresDatabase(postgres_world.url)
    assert await database.keeps_commits()
    async with database.read() as connection:
        await connection.exec_driver_sql("SET synchronous_commit = off")
    assert not await database.keeps_commits()
    await database.close()
