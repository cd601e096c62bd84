"""A database file that is taken away, replaced or damaged under open connections is noticed."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.store.world import ANNA, TODAY, World, opened
from tracker.model import StoreUnavailable
from tracker.store import notes
from tracker.store.sqlite import SqliteDatabase
from tracker.store.sqlite_file import DatabaseFile


def copy_of(path: Path) -> Path:
    copy = path.with_name("copy.db")
    with closing(sqlite3.connect(path)) as database:
        database.execute("VACUUM INTO ?", (str(copy),))
    return copy


async def note(database: SqliteDatabase, before_the_commit: Callable[[], object] = lambda: None) -> None:
    async with database.write() as connection:
        await notes.change(connection, notes.PING)
        before_the_commit()


async def test_what_is_committed_to_a_file_that_was_replaced_meanwhile_is_not_said_to_be_written(
    sqlite_world: World,
) -> None:
    copy = copy_of(sqlite_world.path)
    database = SqliteDatabase(sqlite_world.path)
    await note(database)
    with pytest.raises(StoreUnavailable, match="another"):
        await note(database, before_the_commit=lambda: copy.replace(sqlite_world.path))
    assert database.replaced == 1
    await note(database)
    assert database.replaced == 1
    await database.close()


async def _read(database: SqliteDatabase) -> None:
    async with database.read() as connection:
        await notes.read(connection, notes.PING)


@pytest.mark.parametrize("noticed", [False, True], ids=["unnoticed", "opened by a reader"])
async def test_who_writes_on_in_the_same_turn_stops_when_another_file_was_put_in_place(
    sqlite_world: World, noticed: bool
) -> None:
    copy = copy_of(sqlite_world.path)
    database = SqliteDatabase(sqlite_world.path)
    loop = asyncio.get_running_loop()
    kept: list[bool] = []

    async def read() -> None:
        with pytest.raises(StoreUnavailable, match="another"):
            await _read(database)
        await _read(database)

    def write(connection: sqlite3.Connection) -> None:
        for _ in range(2):
            connection.execute("UPDATE installation SET value = value")
            kept.append(database.may_keep_turn())
            if copy.exists():
                copy.replace(sqlite_world.path)
                if noticed:
                    asyncio.run_coroutine_threadsafe(read(), loop).result(30)

    with pytest.raises(StoreUnavailable, match="another"):
        await database.write_at_once(write)
    assert kept == [True, False]
    await database.close()


async def test_a_file_that_is_gone_is_waited_for_and_the_same_one_is_used_again(sqlite_world: World) -> None:
    sent = await sqlite_world.send()
    away = sqlite_world.path.rename(sqlite_world.path.with_name("away.db"))
    for attempt in (sqlite_world.store.grants_of(ANNA, TODAY), sqlite_world.store.ping()):
        with pytest.raises(StoreUnavailable, match="gone"):
            await attempt
    with pytest.raises(StoreUnavailable):
        await sqlite_world.store.look_at_database(thoroughly=True)
    assert not sqlite_world.store.on_hold
    away.rename(sqlite_world.path)
    assert await sqlite_world.store.record(opened(sent), TODAY)
    assert sqlite_world.store.replaced == 0


async def test_the_log_of_the_file_before_is_taken_away_from_the_one_that_came(sqlite_world: World) -> None:
    log = Path(f"{sqlite_world.path}-wal")
    copy = copy_of(sqlite_world.path)
    await sqlite_world.send()
    before = log.stat().st_ino
    away = sqlite_world.path.rename(sqlite_world.path.with_name("away.db"))
    with pytest.raises(StoreUnavailable):
        await sqlite_world.store.ping()
    assert log.stat().st_ino == before, "the file may come back, and needs it"
    copy.rename(sqlite_world.path)
    with pytest.raises(StoreUnavailable, match="another"):
        await sqlite_world.store.ping()
    assert not log.exists() or log.stat().st_ino != before
    await sqlite_world.store.ping()
    assert sqlite_world.store.on_hold, "until it was compared with the journal"
    assert sqlite_world.count("tracked") == 0
    away.unlink()


async def test_of_two_processes_each_takes_away_the_log_before_and_neither_what_the_other_began(
    sqlite_world: World,
) -> None:
    """Again and again, and also where the one that notices first only reads, so that the log is always the other's."""
    log = Path(f"{sqlite_world.path}-wal")
    reading, writing = SqliteDatabase(sqlite_world.path), SqliteDatabase(sqlite_world.path)
    await note(writing)
    await _read(reading)
    for _ in range(3):
        copy_of(sqlite_world.path).replace(sqlite_world.path)
        with pytest.raises(StoreUnavailable, match="another"):
            await _read(reading)
        assert not log.exists(), "the file that came would be read with the log of the one that went"
        await _read(reading)
        with pytest.raises(StoreUnavailable, match="another"):
            await note(writing)
        await note(writing)
        began = log.stat().st_ino
        await _read(reading)
        assert log.stat().st_ino == began, "it is in use"
    for database in (reading, writing):
        await database.close()
    with closing(sqlite3.connect(sqlite_world.path)) as plain:
        assert plain.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_the_log_stays_while_some_process_opens_the_file_that_it_belongs_to(sqlite_world: World) -> None:
    copy, log = copy_of(sqlite_world.path), Path(f"{sqlite_world.path}-wal")
    opening, noticing = DatabaseFile(sqlite_world.path), DatabaseFile(sqlite_world.path)
    for file in (opening, noticing):
        with file.opening():
            file.opened()
            file.has_log()
    with opening.opening():
        copy.replace(sqlite_world.path)
        with pytest.raises(StoreUnavailable, match="another"):
            noticing.notice()
        with pytest.raises(StoreUnavailable, match="another"):
            opening.opened()  # perhaps the driver got the file that came
        assert log.exists()
        assert noticing.replaced == 0
    noticing.notice()
    assert noticing.replaced == 1
    assert not log.exists()
    opening.notice()
    assert opening.replaced == 1


async def test_a_damaged_file_is_not_used_until_it_is_whole_again(sqlite_world: World) -> None:
    await sqlite_world.send()
    with closing(sqlite3.connect(sqlite_world.path, isolation_level=None)) as other:
        other.execute("UPDATE installation SET value = value || x'00' WHERE name = 'nothing'")
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = sqlite_world.path.read_bytes()
    database = SqliteDatabase(sqlite_world.path)
    with sqlite_world.path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xa5" * (len(whole) - 100))
    with pytest.raises(StoreUnavailable):
        await note(database)
    with pytest.raises(StoreUnavailable, match="damaged"):
        await note(database)
    with pytest.raises(StoreUnavailable):
        await database.look(thoroughly=True)
    with sqlite_world.path.open("r+b") as file:
        file.write(whole)
    with pytest.raises(StoreUnavailable, match="damaged"):
        await note(database)  # nobody has looked yet
    await database.look(thoroughly=False)
    await note(database)
    assert database.replaced == 1, "what was put right may be older"
    await database.close()


async def test_the_driver_leaves_no_thread_behind_when_there_is_no_file(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "nothing.db")
    with pytest.raises(StoreUnavailable):
        await note(database)
    assert not await database.is_there()
    await database.close()
    shutil.rmtree(tmp_path)


def test_a_file_that_is_put_in_place_while_a_connection_is_opened_is_noticed(
    sqlite_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, file = copy_of(sqlite_world.path), DatabaseFile(sqlite_world.path)
    look = os.access

    def replaced_meanwhile(path: Path, mode: int) -> bool:
        if copy.exists():
            copy.replace(path)
        return look(path, mode)

    monkeypatch.setattr("tracker.store.sqlite_file.os.access", replaced_meanwhile)
    with pytest.raises(StoreUnavailable, match="another"), file.opening():
        pytest.fail("the connection may be to either of the two")
    file.notice()
    assert file.replaced == 1
