"""What bodies take is counted once for all workers of a server, however they fall together; the dead hold nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tracker.bodies_memory import bodies_in, forget_bodies, shared_bodies
from tracker.doors.budget import WORK, Share

ALL = Share(WORK, 100, 100)
WORKERS, EACH, ROOM = 4, 2_000, 3
"""There is no room for one of so many workers while all others hold something."""
CHECKED = """
import sys
from tracker.bodies_memory import bodies_in
from tracker.doors.budget import WORK, Share
tally = bodies_in(int(sys.argv[1]), int(sys.argv[2]))
share = Share(WORK, int(sys.argv[4]), int(sys.argv[4]))
print("ready", flush=True)
sys.stdin.readline()
most = taken = 0
for _ in range(int(sys.argv[3])):
    if tally.take(1, share):
        taken += 1
        most = max(most, tally.total)
        tally.give(1, share.kind)
print(most, taken)
"""
DYING = """
import os, sys
from tracker.bodies_memory import bodies_in
from tracker.doors.budget import GIVING_BACK, WORK, Share
tally = bodies_in(int(sys.argv[1]), 1)
tally.take(70, Share(WORK, 100, 100))
tally.take(5, Share(GIVING_BACK, 100, 100))
with tally._locked():
    os.kill(os.getpid(), 9)
"""


@pytest.fixture
def memory() -> Iterator[int]:
    descriptor = shared_bodies()
    assert descriptor is not None
    yield descriptor
    os.close(descriptor)


def test_together_they_never_hold_more_than_there_is(memory: int) -> None:
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", CHECKED, *map(str, (memory, number, EACH, ROOM))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=(memory,),
        )
        for number in range(WORKERS)
    ]  # fmt: skip
    try:
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        found = [tuple(map(int, worker.communicate(timeout=60)[0].split())) for worker in workers]
        assert all(most <= ROOM for most, _ in found), found
        assert sum(taken for _, taken in found) > EACH, "one that is held up may find none, but not all of them"
        assert bodies_in(memory, 0).total == 0, "and all of it is given back"
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


def test_who_dies_holds_nothing_and_holds_up_nobody(memory: int) -> None:
    tally = bodies_in(memory, 0)
    assert tally.take(10, ALL)
    dead = subprocess.run([sys.executable, "-c", DYING, str(memory)], pass_fds=(memory,), timeout=60, check=False)
    assert dead.returncode == -9
    assert tally.total == 85
    assert not tally.take(16, ALL)
    forget_bodies(memory, 1)
    assert tally.total == 10
    assert tally.take(90, ALL)


def test_where_there_is_no_such_memory_each_worker_counts_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    assert shared_bodies() is None
    one, other = bodies_in(None, 0), bodies_in(None, 1)
    assert one.take(100, ALL)
    assert other.take(100, ALL)
    forget_bodies(None, 0)
