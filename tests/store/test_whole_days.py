"""On PostgreSQL a day that has passed is folded once and dropped whole; nobody waits, and a crash costs nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.postgres import Cluster, Plain
from tests.store.conftest import on_postgres
from tests.store.test_folding import GROUP, figures_on, sent_to, sweep
from tests.store.world import RETENTION, World, at, on, opened
from tracker.core.calendar import hour_of
from tracker.model import MessageFigures, StoreUnavailable
from tracker.store import past_copies

PAST = RETENTION + 1
"""The day after the last one of what was sent today."""

pytestmark = pytest.mark.postgres


@pytest.fixture
async def few(cluster: Cluster, fresh_on_postgres: str) -> AsyncIterator[World]:
    """A store in which three people are a group."""
    async with on_postgres(cluster, fresh_on_postgres, minimum_group=GROUP) as world:
        yield world


def tables(world: World, *, attached: bool = True) -> set[str]:
    """The tables of the day that is about to pass."""
    sign = "" if attached else "NOT"
    found = world.rows(f"SELECT relname FROM pg_class WHERE relname ~ '_{on(RETENTION)}$' AND {sign} relispartition")
    return {name for (name,) in found} & {f"{table}_{on(RETENTION)}" for table in ("events", "tracked", "deliveries")}


async def some_mail(world: World) -> MessageFigures:
    """Four people, all of whom opened, and one who was sent the same a day later; the figures on the last day."""
    for number in range(4):
        assert await world.store.record(opened(await sent_to(world, number)), on(0))
    assert await world.store.record(opened(await sent_to(world, 4, 1), hour=hour_of(at(1))), on(1))
    return await figures_on(world, RETENTION)


async def test_a_day_goes_with_its_partitions_and_no_other(few: World) -> None:
    before = await some_mail(few)
    assert len(tables(few)) == 3
    swept = await few.store.sweep(on(PAST), at(PAST), 1095)
    assert (swept["events"], swept["tracked"], swept["deliveries"]) == (4, 8, 4)
    assert tables(few) == tables(few, attached=False) == set()
    assert few.rows("SELECT * FROM folded_days") == []
    assert (few.count("deliveries"), few.count("events")) == (1, 1)
    assert await figures_on(few, PAST) == before


@pytest.mark.parametrize("done", range(3))
async def test_a_crash_between_two_steps_is_finished_by_the_next_sweep(
    few: World, monkeypatch: pytest.MonkeyPatch, done: int
) -> None:
    before = await some_mail(few)
    drop = past_copies.drop
    dropped: list[str] = []

    async def killed(database: Any, name: str, **more: Any) -> bool:
        if len(dropped) == done:
            raise KeyboardInterrupt
        dropped.append(name)
        return await drop(database, name, **more)

    with monkeypatch.context() as patch:
        patch.setattr(past_copies, "drop", killed)
        with pytest.raises(KeyboardInterrupt):
            await sweep(few, PAST)
    assert len(tables(few)) == 3 - done
    assert few.rows("SELECT day FROM folded_days") == [(on(RETENTION),)]
    assert await figures_on(few, PAST) == before
    await sweep(few, PAST)
    assert tables(few) == set()
    assert await figures_on(few, PAST) == before


async def test_what_somebody_detached_is_dropped_too(few: World) -> None:
    before = await some_mail(few)
    few.rows(f"ALTER TABLE events DETACH PARTITION events_{on(RETENTION)}")
    assert len(tables(few, attached=False)) == 1
    await sweep(few, PAST)
    assert tables(few) == tables(few, attached=False) == set()
    figures = await figures_on(few, PAST)
    assert (figures.measurable, figures.tracked) == (before.measurable, before.tracked)


async def test_a_server_that_takes_over_meanwhile_is_looked_at_anew(
    few: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await some_mail(few)
    fold = past_copies._fold_day

    async def replaced_meanwhile(*given: Any) -> Any:
        few.store._database._replaced += 1  # type: ignore[attr-defined]
        return await fold(*given)

    with monkeypatch.context() as patch:
        patch.setattr(past_copies, "_fold_day", replaced_meanwhile)
        with pytest.raises(StoreUnavailable):
            await sweep(few, PAST + 1)
    assert tables(few) == set()
    assert few.count("deliveries") == 1, "the other day was found at the server of before"


async def test_nobody_waits_while_a_long_reader_keeps_the_day(few: World) -> None:
    before = await some_mail(few)
    with Plain(few.url) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM events")
        sweeping = asyncio.create_task(sweep(few, PAST))
        number = 10
        while not sweeping.done():
            sent = await sent_to(few, number, PAST)
            assert await asyncio.wait_for(few.store.record(opened(sent, hour=hour_of(at(PAST))), on(PAST)), 2)
            number += 1
        await sweeping
        assert number > 11
        assert len(tables(few)) == 3, "the reader has them: they are for the next sweep"
        reader.execute("ROLLBACK")
    more = number - 10
    figures = await figures_on(few, PAST)
    assert (figures.opened, figures.tracked) == (before.opened + more, before.tracked + more)
    await sweep(few, PAST)
    assert tables(few) == set()
    assert await figures_on(few, PAST) == figures


async def test_nothing_is_counted_twice_between_folding_and_dropping(few: World) -> None:
    """Grants that end meanwhile, or a no, find copies that were folded already."""
    for number in range(4):
        assert await few.store.record(opened(await sent_to(few, number, days=RETENTION + number)), on(0))
    await sent_to(few, 4, 5)
    before = await figures_on(few, RETENTION)
    with Plain(few.url) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM events")
        await sweep(few, PAST)
        assert await figures_on(few, PAST) == before
        await sweep(few, PAST + 2)
        assert await figures_on(few, PAST + 2) == before
        reader.execute("ROLLBACK")
    await sweep(few, PAST + 2)
    assert await figures_on(few, PAST + 2) == before
    assert few.rows("SELECT people, measured FROM folded WHERE purpose = 'o'") == [(4, 4)]


async def test_hits_of_other_days_go_on_while_one_is_dropped(few: World) -> None:
    await some_mail(few)
    sent = await sent_to(few, 9, 9)

    async def hits() -> int:
        for hour in range(60):
            assert await few.store.record(opened(sent, hour=hour_of(at(10)) + hour), on(10))
        return 60

    _, written = await asyncio.gather(sweep(few, PAST), hits())
    assert written == 60
    assert tables(few) == set()


async def test_a_table_that_is_locked_is_for_the_next_sweep(few: World) -> None:
    await some_mail(few)
    with Plain(few.url) as other:
        other.execute("BEGIN")
        other.execute(f"LOCK TABLE deliveries_{on(RETENTION)} IN ACCESS SHARE MODE")
        await sweep(few, PAST)
        assert f"deliveries_{on(RETENTION)}" in tables(few)
        other.execute("ROLLBACK")
    await sweep(few, PAST)
    assert tables(few) == set()
