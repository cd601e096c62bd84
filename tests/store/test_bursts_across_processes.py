"""A sweep that four processes see in parts ends as a program's: they share memory and a database, as workers do."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from dataclasses import replace

import pytest

from tests.store.test_bursts import EVENTS, HOUR, follow, opened_store, rows
from tests.store.world import NOW, TODAY, World, copy, on, person
from tracker.burst_memory import bursts_in, shared_memory
from tracker.model import Agent, DeliveryId, Link, LinkNumber

WORKERS = 4
LINKS = tuple(Link(LinkNumber(number + 1), "shop.example.com", f"/{number}") for number in range(12))
SWEEPS = 10 * (2, 3, 4, 12)
"""Links of each sweep: of the shorter ones hardly any process sees two."""
SLOW = """
    CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_sleep(random() * 0.02); RETURN NULL; END'
"""
"""Commits take as long as on a busy disk, so that others' fall between."""


async def work(url: str, memory: int, worker: int) -> None:
    """What a worker does: it reads who followed which link, one in each line, and writes each down."""
    bursts = bursts_in(memory, worker, 2 * WORKERS)
    store = await opened_store(url, bursts.struck)
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        name, number = line.split()
        sent = replace(copy(), delivery=DeliveryId(bytes.fromhex(name)))
        assert await store.record(follow(bursts, sent, int(number), 0.0), TODAY)
    await store.close()


def worked(url: str, memory: int, lines: list[list[str]]) -> None:
    """Have a process for each list of LINES work on them, all at once."""
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.store.test_bursts_across_processes", url, str(memory), str(number)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=(memory,),
        )
        for number in range(len(lines))
    ]  # fmt: skip
    try:
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
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


async def test_a_sweep_over_four_processes_ends_as_a_programs(world: World) -> None:
    """R36: bursts over links, with what was written before the burst was known; one person follows a single link."""
    sent = [await world.send(person(number), links=LINKS, last_day=on(90)) for number in range(len(SWEEPS) + 1)]
    if world.on_postgres:
        with world.connected() as plain:
            plain.execute(SLOW)
            plain.execute(
                f"CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON events_{on(90)} DEFERRABLE INITIALLY DEFERRED"
                " FOR EACH ROW EXECUTE FUNCTION slow()"
            )
    chance = random.Random(6)
    lines: list[list[str]] = [[] for _ in range(WORKERS)]
    for registration, links in zip(sent, (*SWEEPS, 1), strict=True):
        seen_by = chance.sample(range(WORKERS), WORKERS)
        for number in range(links):
            lines[seen_by[number % WORKERS]].append(f"{registration.delivery.hex()} {number}\n")
    memory = shared_memory(2 * WORKERS)
    assert memory is not None
    try:
        await asyncio.to_thread(worked, world.url, memory, lines)
    finally:
        os.close(memory)
    found = world.rows(EVENTS)
    for registration, links in zip(sent, SWEEPS, strict=False):
        assert rows(found, registration) == {("c", link.number, HOUR, Agent.MACHINE) for link in LINKS[:links]}
    assert rows(found, sent[-1]) == {("c", LINKS[0].number, HOUR, Agent.HUMAN)}


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
    asyncio.run(work(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
