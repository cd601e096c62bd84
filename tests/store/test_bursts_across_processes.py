"""A sweep that four processes see in parts ends as a program's: they share memory and a database, as workers do."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.store.test_bursts import HOUR, opened_store, rows_in
from tests.store.world import NOW, TODAY, World, clicked, copy, on, person
from tracker.burst_memory import bursts_in, shared_memory
from tracker.model import Agent, DeliveryId, Link, LinkNumber, Registration

WORKERS = 4
LINKS = tuple(Link(LinkNumber(number + 1), "shop.example.com", f"/{number}") for number in range(12))
SWEEPS = (2, 3, 4, 12)
"""Links of each sweep: of the shorter ones hardly any process sees two."""


async def work(path: Path, memory: int, worker: int) -> None:
    """What a worker does: it reads who followed which link, one in each line, and writes each down."""
    bursts = bursts_in(memory, worker, 2 * WORKERS)
    store = await opened_store(path, bursts.struck)
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        name, number = line.split()
        delivery, link = DeliveryId(bytes.fromhex(name)), Link(LinkNumber(int(number)), "", "")
        bursts.followed(delivery, link.number, NOW.timestamp())
        assert await store.record(clicked(replace(copy(), delivery=delivery), link), TODAY)
    await store.close()


async def prepared(path: Path) -> list[Registration]:
    """One copy for each sweep, and one for a person who follows a single link."""
    store = await opened_store(path)
    world = World(store, f"sqlite+aiosqlite:///{path}")
    sent = [await world.send(person(number), links=LINKS, last_day=on(90)) for number in range(len(SWEEPS) + 1)]
    await store.close()
    return sent


def test_a_sweep_over_four_processes_ends_as_a_programs(fresh: Path, tmp_path: Path) -> None:
    """R36: bursts over links, with what was written before the burst was known."""
    path = tmp_path / "tracker.db"
    shutil.copy2(fresh, path)
    sent = asyncio.run(prepared(path))
    memory = shared_memory(2 * WORKERS)
    assert memory is not None
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.store.test_bursts_across_processes", str(path), str(memory), str(number)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=(memory,),
        )
        for number in range(WORKERS)
    ]  # fmt: skip
    try:
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        chance = random.Random(6)
        lines: list[list[str]] = [[] for _ in workers]
        for registration, links in zip(sent, (*SWEEPS, 1), strict=True):
            seen_by = chance.sample(range(WORKERS), WORKERS)
            for number, link in enumerate(LINKS[:links]):
                lines[seen_by[number % WORKERS]].append(f"{registration.delivery.hex()} {link.number}\n")
        for worker, its in zip(workers, lines, strict=True):
            assert worker.stdin is not None
            worker.stdin.write("".join(its))
            worker.stdin.flush()
        for worker in workers:
            worker.communicate(timeout=60)
            assert worker.returncode == 0
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
        os.close(memory)
    for registration, links in zip(sent, SWEEPS, strict=False):
        assert rows_in(path, registration) == {("c", link.number, HOUR, Agent.MACHINE) for link in LINKS[:links]}
    assert rows_in(path, sent[-1]) == {("c", LINKS[0].number, HOUR, Agent.HUMAN)}


def test_where_there_is_no_such_memory_each_process_sees_its_own_hits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    assert shared_memory(8) is None
    delivery = DeliveryId(bytes(16))
    one, other = bursts_in(None, 0, 8), bursts_in(None, 1, 8)
    for link in LINKS[:2]:
        one.followed(delivery, link.number, NOW.timestamp())
    assert (one.struck(delivery, HOUR), other.struck(delivery, HOUR)) == (True, False)


def test_a_worker_beyond_the_places_shares_one() -> None:
    """After several restarts in a row more workers may be leaving than there are places."""
    memory = shared_memory(2)
    assert memory is not None
    first, third = bursts_in(memory, 0, 2), bursts_in(memory, 2, 2)
    os.close(memory)
    delivery = DeliveryId(bytes(16))
    first.followed(delivery, LINKS[0].number, NOW.timestamp())
    third.followed(delivery, LINKS[1].number, NOW.timestamp())
    assert first.struck(delivery, HOUR)


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
