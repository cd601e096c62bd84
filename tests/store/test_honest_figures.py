"""Whatever happens, no figure is larger than what it is a part of, and who withdraws leaves both sides at once."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.store.conftest import Worlds
from tests.store.world import (
    BLOG,
    JONAS,
    OFFER,
    PROOF,
    SHOP,
    World,
    at,
    clicked,
    copy,
    on,
    opened,
    person,
)
from tracker.core.campaigns import by_label
from tracker.model import MAIL_PURPOSES, Agent, MessageFigures, MessageQuery, Order, Purpose, Reason, UntouchedCopy

PEOPLE = st.integers(0, 3)
PURPOSES = st.frozensets(st.sampled_from(sorted(MAIL_PURPOSES)), min_size=1)
AGENTS = st.sampled_from(list(Agent))
STEPS = st.one_of(
    st.tuples(st.just("give"), PEOPLE, PURPOSES, st.integers(1, 60)),
    st.tuples(st.just("send"), PEOPLE, PURPOSES),
    st.tuples(st.just("open"), PEOPLE, AGENTS),
    st.tuples(st.just("click"), PEOPLE, AGENTS, st.sampled_from([SHOP, BLOG])),
    st.tuples(st.just("untouched"), st.sampled_from([Reason.NO_GRANT, Reason.SIGNED])),
    st.tuples(st.just("wait"), st.integers(1, 40)),
    st.tuples(st.just("sweep")),
    st.tuples(st.just("withdraw"), PEOPLE, PURPOSES),
)


@given(st.lists(STEPS, max_size=30))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_rates_are_rates_after_any_history(worlds: Worlds, steps: list[tuple[object, ...]]) -> None:
    async with worlds() as world:
        await live_through(world, steps)


async def live_through(world: World, steps: list[tuple[object, ...]]) -> None:
    day = 0
    for step in steps:
        before = await figures(world, day)
        match step:
            case ("give", int(number), frozenset() as purposes, int(days)):
                await world.give(person(number), purposes, days=days, now=at(day))
            case ("send", int(number), frozenset() as purposes):
                await world.store.register(copy(person(number), purposes=purposes), on(day))
            case ("open", int(number), Agent() as agent):
                await world.store.record(opened(copy(person(number)), agent=agent), on(day))
            case ("click", int(number), Agent() as agent, link):
                await world.store.record(clicked(copy(person(number)), link, agent=agent), on(day))  # type: ignore[arg-type]
            case ("untouched", Reason() as reason):
                world.store.count_untouched(UntouchedCopy(JONAS, on(day), reason, OFFER, True))
            case ("wait", int(days)):
                day += days
            case ("sweep",):
                await world.store.sweep(on(day), at(day), PROOF)
                assert await figures(world, day) == before, "the sweep takes only what reads left out"
            case ("withdraw", int(number), frozenset() as purposes):
                await world.withdraw(person(number), purposes, now=at(day))
                check_both_sides(before, await figures(world, day), purposes)
        await check(world, day)


async def figures(world: World, day: int) -> MessageFigures | None:
    return await world.store.message(OFFER, None, on(day))


def check_both_sides(before: MessageFigures | None, after: MessageFigures | None, purposes: frozenset[object]) -> None:
    """What one withdrawal may change: at most one copy less, of what it was about, and out of the base with it."""
    if before is None:
        return
    assert after is not None
    for purpose, engaged in ((Purpose.OPEN, ("opened", "opened_by_machines_only")),
                             (Purpose.CLICK, ("clicked", "clicked_by_machines_only"))):  # fmt: skip
        base = before.measurable.get(purpose, 0) - after.measurable.get(purpose, 0)
        parts = sum(getattr(before, name) - getattr(after, name) for name in engaged)
        assert 0 <= parts <= base <= (1 if purpose in purposes else 0)
    assert after.sent == before.sent


async def check(world: World, day: int) -> None:
    found = await figures(world, day)
    listed, _ = await world.store.messages(MessageQuery(frozenset({JONAS}), Order.ENGAGED), on(day))
    assert listed == (() if found is None else (found,))
    if found is None:
        return
    opens, clicks = (found.measurable.get(purpose, 0) for purpose in (Purpose.OPEN, Purpose.CLICK))
    assert found.opened + found.opened_by_machines_only <= opens
    assert found.clicked + found.clicked_by_machines_only <= clicks
    assert max(opens, clicks) <= found.measured <= opens + clicks
    assert max(found.opened, found.clicked) <= found.engaged
    assert found.engaged + found.machines_only <= found.measured <= found.tracked <= found.sent
    assert (found.last_engaged is None) == (found.engaged == 0)
    assert all(link.people <= found.clicked for link in found.links)
    moments = await world.store.timeline(OFFER, on(day))
    assert max((moment.opened for moment in moments), default=0) <= found.opened
    assert bool(moments) == bool(found.engaged or found.machines_only)
    coverage = await world.store.coverage(None, on(-1), on(day))
    assert all(one.measured <= one.sent for one in coverage)
    assert sum(one.measured for one in coverage) == found.measured
    (campaign,) = by_label(listed) or (None,)
    assert campaign is None or (campaign.sent, campaign.measured) == (found.sent, found.measured)
