"""Writers of one SQLite file queue: fairly, in bounded time, without holding up anything else, whoever dies."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tracker.model import StoreUnavailable
from tracker.store.engine import make_private_file
from tracker.store.lock_file import let_go, open_lock_file, taken
from tracker.store.sqlite import SqliteDatabase
from tracker.store.writer_lock import WriterLock

PATIENCE = 30.0
NO_TIME = 0.05
HOLDER = """
import asyncio, sys
from pathlib import Path
from tracker.store.sqlite import SqliteDatabase
from tracker.store.writer_lock import WriterLock
async def hold():
    async with WriterLock(Path(sys.argv[1]), 10).turn():
        print("held", flush=True)
        await asyncio.Event().wait()
asyncio.run(hold())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "t.db"
    make_private_file(made)
    return made


@contextmanager
def somebody_elses_turn(path: Path) -> Iterator[None]:
    """Another process's turn, as far as locks can tell: on a description of its own."""
    turn = open_lock_file(path, "turn")
    assert taken(turn)
    try:
        yield
    finally:
        os.close(turn)


def is_free(path: Path) -> bool:
    return all(_is_free(open_lock_file(path, name)) for name in ("next", "turn"))


def _is_free(descriptor: int) -> bool:
    try:
        free = taken(descriptor)
        if free:
            let_go(descriptor)
        return free
    finally:
        os.close(descriptor)


async def until_free(path: Path) -> None:
    async with asyncio.timeout(PATIENCE):
        while not is_free(path):
            await asyncio.sleep(0.01)


def test_four_processes_that_write_without_pause_get_equal_shares_and_wait_briefly(path: Path) -> None:
    """Where the machine is busy with other things every wait gets longer; without a queue only some do, and far more.

    `make bench` prints the waits of a machine that does nothing else.
    """
    for _ in range(5):
        waits = [sorted(one) for one in commits(path, processes=4, seconds=1.0)]
        slowest = max(one[len(one) * 99 // 100] for one in waits)
        typical = max(one[len(one) // 2] for one in waits)
        if slowest <= max(20, 20 * typical) and min(map(len, waits)) > max(map(len, waits)) / 2:
            return
    pytest.fail(f"p99 {slowest} ms, p50 {typical} ms, shares {[len(one) for one in waits]}")


def commits(path: Path, processes: int, seconds: float) -> list[list[float]]:
    """How many milliseconds each commit took, by process."""
    command = [sys.executable, "-m", "tests.store.writer", str(path), str(seconds), "0"]
    writers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    try:
        for one in writers:
            assert one.stdout is not None
            assert one.stdout.readline() == "ready\n"
        for one in writers:
            assert one.stdin is not None
            one.stdin.write("\n")
            one.stdin.flush()
        return [[float(word) for word in one.communicate(timeout=PATIENCE)[0].split()] for one in writers]
    finally:
        for one in writers:
            one.kill()
            one.communicate()


async def test_who_waits_too_long_is_told_and_leaves_nothing_locked(path: Path) -> None:
    lock = WriterLock(path, NO_TIME)
    with somebody_elses_turn(path):
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                async with lock.turn():
                    pytest.fail("it was somebody else's turn")
    await until_free(path)
    async with lock.turn():
        assert not is_free(path)
    assert is_free(path)
    lock.close()


async def test_who_comes_after_one_who_gave_up_takes_over_their_place(path: Path) -> None:
    hasty, patient = WriterLock(path, NO_TIME), PATIENCE
    with somebody_elses_turn(path):
        with pytest.raises(StoreUnavailable):
            async with hasty.turn():
                pytest.fail("it was somebody else's turn")
        hasty._seconds = patient
        next_one = asyncio.create_task(_once(hasty))
        await asyncio.sleep(0)
    await asyncio.wait_for(next_one, PATIENCE)
    assert is_free(path)
    hasty.close()


async def test_who_is_cancelled_while_waiting_leaves_nothing_locked(path: Path) -> None:
    lock = WriterLock(path, PATIENCE)
    with somebody_elses_turn(path):
        waiting = asyncio.create_task(_once(lock))
        while lock._waiting is None:
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    await until_free(path)
    lock.close()


async def test_nothing_else_of_the_process_waits_with_the_writer(path: Path) -> None:
    lock = WriterLock(path, PATIENCE)
    with somebody_elses_turn(path):
        waiting = asyncio.create_task(_once(lock))
        while lock._waiting is None:
            await asyncio.sleep(0)
        await asyncio.sleep(0.001)  # returns only if the loop runs
        assert not waiting.done()
    await waiting
    lock.close()


async def test_a_database_that_others_write_to_is_away_for_a_while_and_then_back(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracker.store.sqlite.QUEUE_SECONDS", NO_TIME)
    database = SqliteDatabase(path)
    with somebody_elses_turn(path), pytest.raises(StoreUnavailable):
        async with database.write():
            pytest.fail("it was somebody else's turn")
    monkeypatch.setattr(database._lock, "_seconds", PATIENCE)
    async with database.write():
        assert not is_free(path)
    await database.close()


async def test_the_turn_of_a_killed_process_is_over(path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        assert not is_free(path)
        lock = WriterLock(path, PATIENCE)
        waiting = asyncio.create_task(_once(lock))
        while lock._waiting is None:
            await asyncio.sleep(0)
        holder.send_signal(signal.SIGKILL)
        await waiting
        lock.close()
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()


async def test_without_its_lock_files_the_store_is_away(path: Path, tmp_path: Path) -> None:
    (tmp_path / "t.db-turn").mkdir()
    database = SqliteDatabase(path)
    with pytest.raises(StoreUnavailable):
        async with database.write():
            pytest.fail("there is no file to lock")
    (tmp_path / "t.db-turn").rmdir()
    async with database.write():
        assert (tmp_path / "t.db-turn").stat().st_mode & 0o777 == 0o600
    await database.close()


def test_lock_files_made_by_root_belong_to_the_owner_of_the_database(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[int, int]] = []
    owner = path.stat()
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("os.fchown", lambda _, user, group: given.append((user, group)))
    os.close(open_lock_file(path, "turn"))
    assert given == [(owner.st_uid, owner.st_gid)]


async def _once(lock: WriterLock) -> None:
    async with lock.turn():
        await asyncio.sleep(0)


async def test_who_holds_the_turn_learns_that_a_task_waits_for_it(path: Path) -> None:
    lock = WriterLock(path, PATIENCE)
    async with lock.turn():
        assert not lock.is_wanted()
        waiting = asyncio.create_task(_take_a_turn(lock))
        await asyncio.sleep(0)
        assert lock.is_wanted()
    await waiting
    assert not lock.is_wanted()
    lock.close()


async def test_who_holds_the_turn_learns_that_another_process_waits_for_it(path: Path) -> None:
    lock = WriterLock(path, PATIENCE, least=0)
    async with lock.turn():
        other = open_lock_file(path, "next")
        assert taken(other)
        assert await asyncio.to_thread(lock.is_wanted)
        let_go(other)
        assert not await asyncio.to_thread(lock.is_wanted)
        os.close(other)
    assert is_free(path)
    lock.close()


async def test_a_turn_that_has_just_begun_is_not_given_up_for_another_process(path: Path) -> None:
    lock = WriterLock(path, PATIENCE, least=PATIENCE)
    async with lock.turn():
        other = open_lock_file(path, "next")
        assert taken(other)
        assert not lock.is_wanted()
        os.close(other)
    lock.close()


async def _take_a_turn(lock: WriterLock) -> None:
    async with lock.turn():
        pass
