"""What expires goes on counting in messages of many people and is dropped from those of few; nobody's no is undone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.postgres import Cluster
from tests.store.conftest import Worlds, on_postgres, on_sqlite
from tests.store.world import (
    BLOG,
    JONAS,
    OFFER,
    PROOF,
    RETENTION,
    SHOP,
    World,
    at,
    clicked,
    copy,
    on,
    opened,
    person,
)
from tracker.core.calendar import date_of, hour_of
from tracker.model import (
    MAIL_PURPOSES,
    Agent,
    DeliveryId,
    LinkFigures,
    MessageFigures,
    Purpose,
    Reason,
    Registration,
    UntouchedCopy,
)
from tracker.store import past_copies
from tracker.store.pace import Pace
from tracker.store.totals import Counted, Total, folded, kept_totals

GROUP = 3
OPEN, CLICK = frozenset({Purpose.OPEN}), frozenset({Purpose.CLICK})


@pytest.fixture
async def few(worlds: Worlds) -> AsyncIterator[World]:
    """A store in which three people are a group."""
    async with worlds(minimum_group=GROUP) as world:
        yield world


async def sent_to(world: World, number: int, day: int = 0, *, days: int = 730, last: int | None = None) -> Registration:
    """A copy of the offer to somebody who agrees on DAY for DAYS."""
    await world.give(person(number), now=at(day), days=days)
    sent = copy(
        person(number),
        delivery=DeliveryId(blake2b(f"{number}-{day}".encode(), digest_size=16).digest()),
        sent_hour=hour_of(at(day)),
        last_day=on(day + RETENTION if last is None else last),
    )
    assert await world.store.register(sent, on(day)) == MAIL_PURPOSES
    return sent


async def figures_on(world: World, day: int) -> MessageFigures:
    """All that is counted; the hour in which somebody touched it last goes with the event that it was taken from."""
    found = await world.store.message(OFFER, None, on(day))
    assert found is not None
    return replace(found, last_engaged=None)


async def sweep(world: World, day: int) -> None:
    await world.store.sweep(on(day), at(day), PROOF)


def folded_rows(world: World) -> int:
    return sum(world.count(table) for table in ("folded", "folded_links", "folded_copies"))


async def test_a_day_that_passes_shifts_no_figure_of_a_message_of_many(few: World) -> None:
    for number in range(4):
        sent = await sent_to(few, number)
        assert await few.store.record(opened(sent), on(0))
        if number:
            assert await few.store.record(clicked(sent, SHOP), on(0))
    assert await few.store.record(clicked(sent, BLOG, agent=Agent.MACHINE), on(0))
    machine = await sent_to(few, 4, 1)
    assert await few.store.record(opened(machine, agent=Agent.MACHINE, hour=hour_of(at(1))), on(1))
    before = await figures_on(few, RETENTION)
    assert (before.opened, before.clicked, before.opened_by_machines_only, before.tracked) == (4, 3, 1, 5)
    assert before.links[0] == LinkFigures("shop.example.com", "/a", 3, 0)
    await sweep(few, RETENTION + 1)
    assert few.count("deliveries") == 1
    assert await figures_on(few, RETENTION + 1) == before


async def test_a_grant_that_expires_shifts_no_figure_of_a_message_of_many(few: World) -> None:
    for number in range(4):
        sent = await sent_to(few, number, days=5 + number)
        assert await few.store.record(opened(sent), on(0))
        assert await few.store.record(clicked(sent), on(0))
    before = await figures_on(few, 5)
    for day in range(6, 10):
        await sweep(few, day)
        assert await figures_on(few, day) == before
    assert (few.count("tracked"), few.count("events"), few.count("grants")) == (0, 0, 0)


async def test_a_superseded_notice_shifts_no_figure_of_a_message_of_many(few: World) -> None:
    for number in range(3):
        assert await few.store.record(opened(await sent_to(few, number)), on(0))
    before = await figures_on(few, 0)
    assert await few.store.supersede("2026-1", at(1), PROOF)
    assert await figures_on(few, 1) == before
    assert few.count("events") == 0


async def test_a_copy_that_is_measured_for_two_purposes_is_counted_once(few: World) -> None:
    for number in range(4):
        sent = await sent_to(few, number, days=5)
        if number:
            assert await few.store.record(opened(sent), on(0))
        if number > 1:
            assert await few.store.record(clicked(sent, agent=Agent.MACHINE), on(0))
    await few.give(person(0), CLICK, days=20)
    await few.give(person(3), CLICK, days=20)
    assert await whole(few, 5) == Counted(0, 0, 0)
    await sweep(few, 6)
    assert await whole(few, 6) == Counted(2, 2, 0), "two are measured for something still"
    await sweep(few, 21)
    assert await whole(few, 21) == Counted(4, 2, 1), "an open that expired before the copy says nothing of it any more"
    await sent_to(few, 9, 21)
    await sweep(few, RETENTION + 1)
    assert await whole(few, RETENTION + 1) == Counted(4, 2, 1)


async def whole(world: World, day: int) -> Counted:
    async with world.store._database.read() as connection:
        found = await folded(connection, [OFFER], on(day), GROUP)
    return found[OFFER].measured if found else Counted(0, 0, 0)


async def test_nothing_is_folded_of_a_message_of_few(few: World) -> None:
    for number in range(2):
        assert await few.store.record(opened(await sent_to(few, number, days=5 + number)), on(0))
    await sweep(few, 6)
    assert folded_rows(few) == 0
    figures = await figures_on(few, 6)
    assert (figures.opened, figures.measurable[Purpose.OPEN]) == (1, 1)


async def test_one_person_who_gets_many_copies_is_no_group(few: World) -> None:
    for day in range(5):
        assert await few.store.record(opened(await sent_to(few, 0, day), hour=hour_of(at(day))), on(day))
    await sweep(few, RETENTION + 1)
    assert folded_rows(few) == 0
    assert (await figures_on(few, RETENTION + 1)).opened == 4


async def test_one_person_who_comes_back_after_every_expiry_is_no_group(few: World) -> None:
    """Nobody can know any more that it was the same one, so those who come later are not counted as people."""
    for number in range(3):
        await sent_to(few, number, last=5)
    await sent_to(few, 9, last=60)
    await sweep(few, 6)
    for day in range(10, 50, 10):
        await sent_to(few, 9, day, last=day + 5)
        await sweep(few, day + 6)
    assert few.rows("SELECT DISTINCT people FROM folded") == [(3,)]


async def test_what_was_folded_goes_when_the_others_withdraw(few: World) -> None:
    for number in range(3):
        assert await few.store.record(opened(await sent_to(few, number, days=5 if number == 0 else 730)), on(0))
    await sweep(few, 6)
    assert (await figures_on(few, 6)).opened == 3
    await few.withdraw(person(1), now=at(6))
    figures = await figures_on(few, 6)
    assert (figures.opened, figures.measurable[Purpose.OPEN]) == (1, 1), "two are too few: only who can be measured"
    await sweep(few, 6)
    assert folded_rows(few) == 0


async def test_who_withdraws_before_the_last_day_leaves_no_trace(few: World) -> None:
    kept = [await sent_to(few, number) for number in range(5)]
    gone = await sent_to(few, 7)
    for sent in (*kept, gone):
        assert await few.store.record(opened(sent), on(0))
        assert await few.store.record(clicked(sent, BLOG if sent is gone else SHOP), on(0))
    await few.withdraw(person(7), now=at(1))
    await sweep(few, RETENTION + 1)
    assert few.rows("SELECT opened, open_measured FROM totals") == [(None, 5)]
    assert few.count("folded_links") == 0


async def test_an_erasure_takes_no_totals_of_others_along(few: World) -> None:
    for number in range(3):
        assert await few.store.record(opened(await sent_to(few, number)), on(0))
    await sent_to(few, 3, 5)
    await sweep(few, RETENTION + 1)
    async with few.store.subjects() as book:
        assert await book.erase(
            person(3),
            now=at(RETENTION + 2),
            actor="recipient",
            language=None,
            content_last_day=on(PROOF),
            suppression_last_day=on(PROOF),
            tell_until=on(PROOF),
        )
    figures = await figures_on(few, RETENTION + 2)
    assert (figures.opened, figures.measurable[Purpose.OPEN]) == (3, 3)


async def test_rounded_totals_without_owner_stay_of_a_message_of_many(few: World) -> None:
    """R42: nothing in them leads back to the message, its sender or a person."""
    for number in range(12):
        sent = await sent_to(few, number)
        if number < 6:
            assert await few.store.record(opened(sent), on(0))
        if number < 4:
            assert await few.store.record(clicked(sent), on(0))
    for _ in range(9):
        few.store.count_untouched(UntouchedCopy(JONAS, on(0), Reason.SIGNED, OFFER, False))
    await few.store._untouched.flush()
    await sweep(few, RETENTION + 1)
    assert await few.store.message(OFFER, None, on(RETENTION + 1)) is None
    assert folded_rows(few) == few.count("messages") == few.count("links") == 0
    month = on(1 - date_of(on(0)).day)
    async with few.store._database.read() as connection:
        (total,) = await kept_totals(connection, month)
        assert await kept_totals(connection, on(30)) == ()
    assert total == Total(
        month, sent=20, tracked=10, purposes={Purpose.OPEN: (10, 5, None), Purpose.CLICK: (10, None, None)}
    )


async def test_nothing_stays_of_a_message_of_few(few: World) -> None:
    for number in range(2):
        assert await few.store.record(opened(await sent_to(few, number)), on(0))
    await sweep(few, RETENTION + 1)
    assert folded_rows(few) == few.count("totals") == few.count("messages") == 0


async def test_a_sweep_that_was_killed_goes_on_where_it_stopped(
    sqlite_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = sqlite_world
    for number in range(11):
        assert await few.store.record(opened(await sent_to(few, number)), on(0))
    await sent_to(few, 11, 1)
    before = await figures_on(few, RETENTION)

    class Killed(Pace):
        def __init__(self, *, others_write: Callable[[], bool]) -> None:
            super().__init__(3, 3, others_write=others_write)
            self.turns = 0

        async def rest(self) -> None:
            self.turns += 1
            if self.turns == 2:
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(past_copies, "Pace", Killed)
        with pytest.raises(KeyboardInterrupt):
            await sweep(few, RETENTION + 1)
    assert 1 < few.count("deliveries") < 12
    await sweep(few, RETENTION + 1)
    assert await figures_on(few, RETENTION + 1) == before


PEOPLE = st.integers(0, 5)
STEPS = st.one_of(
    st.tuples(st.just("send"), PEOPLE, st.integers(3, 12)),
    st.tuples(st.just("send"), PEOPLE, st.integers(3, 12)),
    st.tuples(st.just("hit"), PEOPLE, st.sampled_from([opened, clicked]), st.sampled_from(list(Agent))),
    st.tuples(st.just("withdraw"), PEOPLE, st.sampled_from([OPEN, CLICK, MAIL_PURPOSES])),
    st.tuples(st.just("nights"), st.integers(1, 4)),
)


NOT_ANEW = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@given(st.lists(STEPS, min_size=10, max_size=30))
@settings(max_examples=12, deadline=None, suppress_health_check=NOT_ANEW)
async def test_whatever_happens_figures_of_many_stay_and_figures_of_few_go(
    fresh: Path, tmp_path: Path, steps: list[tuple[object, ...]]
) -> None:
    async with on_sqlite(fresh, tmp_path, minimum_group=GROUP) as world:
        await live_through(world, steps)


@pytest.mark.postgres
@given(st.lists(STEPS, min_size=10, max_size=15))
@settings(max_examples=3, deadline=None, suppress_health_check=NOT_ANEW)
async def test_the_same_on_postgresql(
    cluster: Cluster, fresh_on_postgres: str, steps: list[tuple[object, ...]]
) -> None:
    async with on_postgres(cluster, fresh_on_postgres, minimum_group=GROUP) as world:
        await live_through(world, steps)


class Told:
    """What a message's figures must be: told from who was sent what, not from the store's tables."""

    def __init__(self) -> None:
        self.copies: dict[tuple[int, int], Registration] = {}
        self.until: dict[int, int] = {}
        """Person → last day of their grant."""
        self.measured: dict[tuple[int, int, Purpose], int] = {}
        """Person, day of sending and purpose → last day of the copy."""
        self.expired: set[tuple[int, int, Purpose]] = set()

    def people(self, purpose: Purpose, *, expired: bool) -> set[int]:
        gone = {key[0] for key in self.expired if key[2] is purpose} if expired else set()
        return gone | {key[0] for key in self.measured if key[2] is purpose}

    def night(self, day: int) -> bool:
        """Whether something expires in the night after DAY."""
        past = {key for key, last in self.measured.items() if last <= day or self.until[key[0]] <= day}
        self.expired |= past
        for key in past:
            del self.measured[key]
        return bool(past)


async def live_through(world: World, steps: list[tuple[object, ...]]) -> None:
    told, day = Told(), 0
    for step in steps:
        match step:
            case ("send", int(number), int(lasts)):
                if (number, day) in told.copies:
                    continue
                sent = await sent_to(world, number, day, days=lasts, last=day + 6)
                told.copies[number, day] = sent
                told.until[number] = day + lasts
                told.measured |= {(number, day, purpose): day + 6 for purpose in MAIL_PURPOSES}
            case ("hit", int(number), make, Agent() as agent):
                for (who, _), sent in told.copies.items():
                    if who == number:
                        event = make(sent)._replace(agent=agent, hour=hour_of(at(day)))  # type: ignore[operator]
                        await world.store.record(event, on(day))
            case ("withdraw", int(number), frozenset() as purposes):
                await world.withdraw(person(number), purposes, now=at(day))
                told.measured = {
                    key: last for key, last in told.measured.items() if key[0] != number or key[2] not in purposes
                }
            case ("nights", int(count)):
                for _ in range(count):
                    await one_night(world, told, day)
                    day += 1


async def one_night(world: World, told: Told, day: int) -> None:
    await sweep(world, day)
    before = await world.store.message(OFFER, None, on(day))
    many = {purpose for purpose in MAIL_PURPOSES if len(told.people(purpose, expired=False)) >= GROUP}
    few = {purpose for purpose in MAIL_PURPOSES if len(told.people(purpose, expired=True)) < GROUP}
    told.night(day)
    await sweep(world, day + 1)
    after = await world.store.message(OFFER, None, on(day + 1))
    for purpose, *counts in world.rows("SELECT purpose, people, measured FROM folded"):
        assert counts[0] <= len({key[0] for key in told.expired if key[2][0] == purpose})
    if after is None:
        assert before is None or not told.measured
        assert folded_rows(world) == 0
        return
    assert before is not None
    for purpose in MAIL_PURPOSES:
        live = sum(key[2] is purpose for key in told.measured)
        if purpose in many:
            assert of_purpose(after, purpose) == of_purpose(before, purpose)
        if purpose in few:
            assert after.measurable.get(purpose, 0) == live
            assert world.rows("SELECT count(*) FROM folded WHERE purpose = ?", purpose[0]) == [(0,)]


def of_purpose(figures: MessageFigures, purpose: Purpose) -> tuple[object, ...]:
    measured = figures.measurable.get(purpose, 0)
    if purpose is Purpose.OPEN:
        return measured, figures.opened, figures.opened_by_machines_only
    return measured, figures.clicked, figures.clicked_by_machines_only, figures.links
