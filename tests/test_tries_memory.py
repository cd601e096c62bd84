"""Whoever tries passwords at several workers of a server is counted once, however the tries fall together."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tracker.core.tries import Tried, Tries
from tracker.tries_memory import shared_tries, tries_in

WORKERS, EACH = 4, 2_000


def work(memory: int) -> None:
    """What a worker does: it counts one more, again and again."""
    tries = tries_in(memory)
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(EACH):
        with tries.locked():
            tried = tries.of("rita") or Tried(0, 0.0)
            tries.remember("rita", Tried(tried.count + 1, float(number)))


def test_no_try_is_lost_between_processes() -> None:
    memory = shared_tries()
    assert memory is not None
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.test_tries_memory", str(memory)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=(memory,),
        )
        for _ in range(WORKERS)
    ]  # fmt: skip
    try:
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        for worker in workers:
            worker.communicate(timeout=60)
            assert worker.returncode == 0
        counted = tries_in(memory).of("rita")
        assert counted is not None
        assert counted.count == WORKERS * EACH
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
        os.close(memory)


def test_who_dies_while_counting_holds_up_nobody() -> None:
    memory = shared_tries()
    assert memory is not None
    tries = tries_in(memory)
    code = (
        "import os, sys; from tracker.tries_memory import tries_in\n"
        "with tries_in(int(sys.argv[1])).locked(): os.kill(os.getpid(), 9)"
    )
    dead = subprocess.run([sys.executable, "-c", code, str(memory)], pass_fds=(memory,), timeout=60, check=False)
    assert dead.returncode == -9
    with tries.locked():
        tries.remember("rita", Tried(1, 1.0))
    os.close(memory)


def test_each_memory_has_a_key_of_its_own() -> None:
    memories = [shared_tries() for _ in range(2)]
    tags = {tries_in(memory)._tag("rita") for memory in (*memories, None)}
    assert len(tags) == 3
    for memory in memories:
        assert memory is not None
        os.close(memory)


def test_where_there_is_no_such_memory_each_worker_counts_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    assert shared_tries() is None
    one, other = tries_in(None), tries_in(None)
    one.remember("rita", Tried(1, 1.0))
    assert isinstance(other, Tries)
    assert other.of("rita") is None


if __name__ == "__main__":
    work(int(sys.argv[1]))
