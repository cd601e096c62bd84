"""Whatever people, senders and days do, nothing is held that no live grant permits, and figures agree with the rows."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.store.conftest import Worlds
from tests.store.world import OFFER, PROOF, World, at, clicked, copy, on, opened, person
from tracker.model import MAIL_PURPOSES, Purpose

PEOPLE = st.integers(0, 2)
PURPOSES = st.frozensets(st.sampled_from(sorted(MAIL_PURPOSES)), min_size=1)
STEPS = st.one_of(
    st.tuples(st.just("give"), PEOPLE, PURPOSES, st.integers(1, 40)),
    st.tuples(st.just("withdraw"), PEOPLE, PURPOSES),
    st.tuples(st.just("send"), PEOPLE, PURPOSES),
    st.tuples(st.just("hit"), PEOPLE, st.sampled_from([opened, clicked])),
    st.tuples(st.just("wait"), st.integers(1, 30)),
    st.tuples(st.just("sweep")),
)


@given(st.lists(STEPS, max_size=25))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_the_store_holds_only_what_live_grants_permit(worlds: Worlds, steps: list[tuple[object, ...]]) -> None:
    async with worlds() as world:
        await live_through(world, steps)


async def live_through(world: World, steps: list[tuple[object, ...]]) -> None:
    day = 0
    granted: dict[tuple[int, Purpose], int] = {}
    """Person and purpose, to the last day of the grant."""

    def live(number: int) -> set[Purpose]:
        return {purpose for (who, purpose), last in granted.items() if who == number and last >= day}

    for step in steps:
        match step:
            case ("give", int(number), frozenset() as purposes, int(days)):
                await world.give(person(number), purposes, days=days, now=at(day))
                granted |= {(number, purpose): day + days for purpose in purposes}
            case ("withdraw", int(number), frozenset() as purposes):
                await world.withdraw(person(number), purposes, now=at(day))
                granted = {key: last for key, last in granted.items() if key[0] != number or key[1] not in purposes}
            case ("send", int(number), frozenset() as purposes):
                tracked = await world.store.register(copy(person(number), purposes=purposes), on(day))
                assert tracked == purposes & live(number)
            case ("hit", int(number), make):
                event = make(copy(person(number)))  # type: ignore[operator]
                if await world.store.record(event, on(day)):
                    assert event.purpose in live(number)
            case ("wait", int(days)):
                day += days
            case ("sweep",):
                await world.store.sweep(on(day), at(day), PROOF)
        for number in range(3):
            assert await world.store.grants_of(person(number), on(day)) == live(number)
    await check(world, day)


async def check(world: World, day: int) -> None:
    figures = await world.store.message(OFFER, None, on(day))
    await world.store.sweep(on(day), at(day), PROOF)
    assert await world.store.message(OFFER, None, on(day)) == figures, "the sweep takes only what reads left out"
    assert not any((await world.store.overdue(on(day))).values())
    assert await world.store.broken_entry(on(day)) is None
    if not world.on_postgres:
        assert world.rows("PRAGMA foreign_key_check") == []
    with world.plain() as sql:
        sql.execute("DELETE FROM grants")
        assert sql.execute("SELECT count(*) FROM events").fetchone() == (0,)
