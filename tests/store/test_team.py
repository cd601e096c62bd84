"""Two looks at a team's totals are the same, whoever withdrew in between, and no cell is of few people."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.store.world import JONAS, MARIA, SHOP, TODAY, World, clicked, copy, on, opened, person
from tracker.core.rounding import part_of
from tracker.model import Agent, DeliveryId, Hour, MessageKey, Reason, Registration, TeamTotals, UntouchedCopy

PEOPLE = 12


def sent_to(number: int, day: int = 0) -> Registration:
    """What person NUMBER got of one of the reps on a day."""
    who = person(number)
    hour = Hour(on(day) * 24 + 9)
    key = MessageKey(bytes([number % 3 + 1, day]) * 8)
    owner = (JONAS, MARIA)[number % 2]
    delivery = DeliveryId(bytes([number, day]) * 8)
    return replace(copy(who), delivery=delivery, message=key, owner=owner, sent_hour=hour, last_day=on(90 + day))


async def a_day(world: World) -> None:
    """Twelve people can be measured, seven open and five of them click; eight copies left untouched."""
    for number in range(PEOPLE):
        await world.give(person(number))
        assert await world.store.register(sent_to(number), TODAY)
    hour = Hour(TODAY * 24 + 15)
    for number in range(7):
        assert await world.store.record(opened(sent_to(number), hour=hour), TODAY)
    for number in range(5):
        assert await world.store.record(clicked(sent_to(number), SHOP, hour=hour), TODAY)
    assert await world.store.record(opened(sent_to(8), hour=hour, agent=Agent.MACHINE), TODAY)
    for _ in range(5):
        world.store.count_untouched(UntouchedCopy(JONAS, TODAY, Reason.NO_GRANT, None, False))
    for _ in range(3):
        world.store.count_untouched(UntouchedCopy(MARIA, TODAY, Reason.SIGNED, sent_to(1).message, True))


TOLD = TeamTotals(TODAY, sent=20, measurable=10, open_base=10, opened=5, click_base=10, clicked=5)


async def look(world: World, day: int = 1) -> tuple[TeamTotals, ...]:
    await world.store.put_team_totals_on_file(on(day))
    return await world.store.team_totals(on(-30), on(day - 1))


@pytest.mark.parametrize("leaver", range(PEOPLE))
async def test_two_looks_do_not_give_away_who_left(world: World, leaver: int) -> None:
    """DESIGN, Figures: a day that is on file never changes."""
    await a_day(world)
    before = await look(world)
    assert before == (TOLD,)
    await world.withdraw(person(leaver))
    for day in (1, 2, 9):
        assert await look(world, day) == before


async def test_nothing_is_told_of_a_day_that_is_not_over(world: World) -> None:
    await a_day(world)
    assert await look(world, 0) == ()
    assert await world.store.team_totals(on(-30), on(30)) == ()
    await world.withdraw(person(0))
    assert (await look(world))[0].measurable == 10


async def test_who_left_before_the_day_was_over_is_on_neither_side(world: World) -> None:
    await a_day(world)
    for number in range(5):
        await world.withdraw(person(number))
    (told,) = await look(world)
    assert told == TeamTotals(TODAY, sent=20, measurable=5, open_base=5, opened=None, click_base=5, clicked=None)


async def test_what_happened_after_the_day_is_not_counted_in_it(world: World) -> None:
    await a_day(world)
    for number in range(7, 12):
        assert await world.store.record(opened(sent_to(number), hour=Hour(on(1) * 24)), on(1))
    assert await look(world) == (TOLD,)


async def test_a_day_on_which_few_were_mailed_is_not_told_of(world: World) -> None:
    for number in range(4):
        await world.give(person(number))
        assert await world.store.register(sent_to(number), TODAY)
    assert await look(world) == ()


async def test_copies_of_a_campaign_count_on_the_day_on_which_they_left(world: World) -> None:
    for day in (0, 1):
        for number in range(10 if day else 20):
            await world.give(person(number))
            sent = replace(sent_to(number, day), message=MessageKey(b"c" * 16), owner=JONAS)
            assert await world.store.register(sent, on(day))
        for _ in range(5):
            world.store.count_untouched(UntouchedCopy(JONAS, on(day), Reason.NO_GRANT, MessageKey(b"c" * 16), True))
    assert [(told.day, told.sent, told.measurable) for told in await look(world, 2)] == [
        (on(0), 25, 20),
        (on(1), 15, 10),
    ]


async def test_what_is_on_file_names_nobody(world: World) -> None:
    await a_day(world)
    await look(world)
    (row,) = world.rows("SELECT * FROM team_totals WHERE sent IS NOT NULL")
    assert row == (TODAY, 20, 10, 10, 5, 10, 5)


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_no_cell_and_no_complement_is_of_few_people(count: int, others: int) -> None:
    told = part_of(count + others, count)
    if told is None:
        assert min(count, others) < 5
    else:
        assert min(count, others) >= 5
        assert told % 5 == 0
        assert abs(told - count) <= 2
