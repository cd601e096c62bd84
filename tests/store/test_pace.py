"""Work on many rows: what its transactions take, and how long others go first."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest

from tests.store.world import World
from tracker.store import pace
from tracker.store.lock_file import open_lock_file, taken
from tracker.store.pace import BUDGET, BUSY_REST, LEAST, LONGEST_PATIENCE, LONGEST_REST, REST, Pace
from tracker.store.sqlite import CALM, SqliteDatabase


class Clock:
    """Transactions that take as long as they are told to, and rests that take no time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.rests: list[float] = []
        monkeypatch.setattr(pace, "perf_counter", lambda: self.now)
        monkeypatch.setattr(pace, "asyncio", SimpleNamespace(sleep=self.sleep))

    async def sleep(self, seconds: float) -> None:
        self.rests.append(seconds)

    def work(self, one: Pace, seconds: float) -> None:
        with one.measured():
            self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


async def test_fewer_than_one_of_a_hundred_hits_comes_upon_a_transaction_while_others_write(clock: Clock) -> None:
    one = Pace(others_write=lambda: True)
    clock.work(one, 0.01)
    await one.rest()
    assert clock.rests == [pytest.approx(0.01 * BUSY_REST)]
    assert 0.01 / (0.01 + clock.rests[0]) < 0.005


async def test_what_is_past_its_day_goes_however_many_write(clock: Clock) -> None:
    one = Pace(others_write=lambda: True)
    clock.now += LONGEST_PATIENCE
    clock.work(one, 0.02)
    await one.rest()
    assert clock.rests == [pytest.approx(0.02 * REST)]


async def test_who_has_the_database_alone_is_done_soon(clock: Clock) -> None:
    one = Pace()
    clock.work(one, 0.02)
    await one.rest()
    assert clock.rests == [pytest.approx(0.02 * REST)]


async def test_a_disk_that_stood_still_once_does_not_stop_the_work(clock: Clock) -> None:
    one = Pace(others_write=lambda: True)
    clock.work(one, 3.0)
    await one.rest()
    assert clock.rests == [LONGEST_REST]


def test_a_transaction_takes_as_many_rows_as_fit(clock: Clock) -> None:
    one = Pace()
    assert one.rows == LEAST
    clock.work(one, BUDGET / 100)
    assert one.rows == 2 * LEAST, "it grows step by step"
    clock.work(one, BUDGET * 100)
    assert one.rows == LEAST


@pytest.fixture
async def database(sqlite_world: World) -> AsyncIterator[SqliteDatabase]:
    database = SqliteDatabase(sqlite_world.path)
    yield database
    await database.close()


async def test_who_writes_alone_need_not_go_slowly(database: SqliteDatabase) -> None:
    for _ in range(2):
        async with database.write():
            pass
    assert not database.others_write()


async def test_hits_and_mail_are_written_by_others(database: SqliteDatabase) -> None:
    await database.write_at_once(lambda connection: connection.execute("UPDATE installation SET value = value"))
    assert database.others_write()


async def test_somebody_who_waits_for_the_end_of_a_transaction_is_noticed(database: SqliteDatabase) -> None:
    async def write() -> None:
        async with database.write():
            pass

    async with database.write():
        waiting = asyncio.create_task(write())
        await asyncio.sleep(0)
    await waiting
    assert database.others_write()


async def test_another_process_that_waits_for_the_end_is_noticed(
    database: SqliteDatabase, sqlite_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000.0
    monkeypatch.setattr("tracker.store.writer_lock.monotonic", lambda: now)
    other = open_lock_file(sqlite_world.path, "next")
    async with database.write():
        assert taken(other)
        now += 1
    os.close(other)
    assert database.others_write()


async def test_a_minute_without_others_is_calm(database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000.0
    monkeypatch.setattr("tracker.store.sqlite.monotonic", lambda: now)
    await database.write_at_once(lambda connection: None)
    now += CALM - 1
    assert database.others_write()
    now += 1
    assert not database.others_write()
