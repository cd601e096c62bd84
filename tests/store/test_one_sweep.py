"""Exactly one sweep of a database runs at a time, whichever process begins it."""

from __future__ import annotations

import asyncio

import pytest

from tests.store.world import World, at, on
from tracker.model import AnotherSweep
from tracker.store import expiry
from tracker.store.alone import SWEEP, until_alone
from tracker.store.databases import database_of

PROOF = 1095


async def test_a_second_sweep_waits_for_the_first(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    running, most, may_end = 0, 0, asyncio.Event()

    async def slow(*_: object, **__: object) -> dict[str, int]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await may_end.wait()
        running -= 1
        return {}

    monkeypatch.setattr(expiry, "sweep", slow)
    sweeps = [asyncio.create_task(world.store.sweep(on(1), at(1), PROOF)) for _ in range(3)]
    while not running:
        assert not any(each.done() for each in sweeps)
        await asyncio.sleep(0)
    may_end.set()
    await asyncio.gather(*sweeps)
    assert most == 1


async def test_who_waits_too_long_is_told_and_deleted_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    other = database_of(world.url)
    async with other.alone(SWEEP):
        with monkeypatch.context() as hasty:
            hasty.setattr(until_alone, "__defaults__", (0.01,))
            with pytest.raises(AnotherSweep):
                await world.store.sweep(on(1), at(1), PROOF)
    await world.store.sweep(on(1), at(1), PROOF)
    async with other.alone(SWEEP):
        pass
    await other.close()


async def test_a_vacuum_is_part_of_a_sweep(world: World) -> None:
    other = database_of(world.url)
    async with other.alone(SWEEP):
        waiting = asyncio.create_task(world.store.vacuum())
        await asyncio.sleep(0.01)
        assert not waiting.done()
    await waiting
    await other.close()


async def test_other_work_does_not_wait_for_a_sweep(world: World) -> None:
    other = database_of(world.url)
    async with other.alone(SWEEP), other.alone("something else"):
        await world.give()
    await other.close()
