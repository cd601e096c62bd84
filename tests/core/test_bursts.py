"""Bursts over the links of a copy give a scanner away, whichever worker saw which hit; people are slower."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.core.bursts import HASTE, Bursts, memory_size
from tracker.core.calendar import hour_at
from tracker.model import DeliveryId, Hour, LinkNumber

NOON = datetime(2026, 11, 28, 12, 0, 30, tzinfo=UTC).timestamp()
ANNA, BERT = DeliveryId(b"a" * 16), DeliveryId(b"b" * 16)
WORKERS = 4
GIVE_WAY = 0.001
"""Seconds: times are floats since 1970."""


def at(seconds: float) -> float:
    return NOON + seconds


def link(number: int) -> LinkNumber:
    return LinkNumber(2**47 - number)


def seen(hits: Sequence[tuple[int, int, float]], delivery: DeliveryId = ANNA) -> list[Bursts]:
    """Workers after HITS: who saw which link when."""
    workers = Bursts.of_workers(WORKERS)
    for worker, number, seconds in hits:
        workers[worker].followed(delivery, link(number), at(seconds))
    return workers


sweeps = st.lists(st.tuples(st.integers(0, WORKERS - 1), st.floats(0, HASTE[0][1] - GIVE_WAY)), min_size=2, max_size=12)
"""For each link: who saw it, and when."""


@given(sweeps)
def test_a_sweep_is_seen_by_all_workers_however_it_is_spread(sweep: list[tuple[int, float]]) -> None:
    """PAINS 15: also where no worker saw two of its hits."""
    workers = seen([(worker, number, seconds) for number, (worker, seconds) in enumerate(sweep)])
    assert [worker.struck(ANNA, hour_at(NOON)) for worker in workers] == [True] * WORKERS


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.floats(0.55, 600)), max_size=30))
def test_a_person_who_needs_half_a_second_for_each_link_never_is_one(steps: list[tuple[int, int, float]]) -> None:
    now, hits = 0.0, []
    for worker, number, pause in steps:
        now += pause
        hits.append((worker, number, now))
    assert not any(worker.struck(ANNA, hour_at(at(second))) for worker in seen(hits) for _, _, second in hits)


@pytest.mark.parametrize(("links", "span"), HASTE)
def test_the_limits_are_met_exactly(links: int, span: float) -> None:
    step = (span - GIVE_WAY) / (links - 1)
    assert seen([(0, number, number * step) for number in range(links)])[1].struck(ANNA, hour_at(NOON))
    step = (span + GIVE_WAY) / (links - 1)
    assert not seen([(0, number, number * step) for number in range(links)])[1].struck(ANNA, hour_at(NOON))


@given(
    st.lists(
        st.tuples(st.integers(0, WORKERS - 1), st.floats(0, HASTE[0][1] - GIVE_WAY), st.booleans()),
        min_size=2,
        max_size=6,  # of more a worker alone forgets the first
    )
)
def test_a_sweep_of_which_a_part_came_too_soon_is_seen_and_one_that_came_too_soon_altogether_strikes_nobody(
    sweep: list[tuple[int, float, bool]],
) -> None:
    """In whatever order its hits come in; what came too soon is a program's by itself."""
    workers = Bursts.of_workers(WORKERS)
    for number, (worker, second, soon) in enumerate(sweep):
        workers[worker].followed(ANNA, link(number), at(second), soon=soon)
    expected = not all(soon for _, _, soon in sweep)
    assert [worker.struck(ANNA, hour_at(NOON)) for worker in workers] == [expected] * WORKERS


def test_a_link_that_came_too_soon_and_again_is_one() -> None:
    workers = Bursts.of_workers(2)
    workers[0].followed(ANNA, link(1), at(0), soon=True)
    workers[1].followed(ANNA, link(1), at(0.1))
    assert not workers[0].struck(ANNA, hour_at(NOON))
    workers[0].followed(ANNA, link(2), at(0.04), soon=True)
    assert workers[1].struck(ANNA, hour_at(NOON)), "the first link's second hit is a part, however near its first is"


def test_one_link_again_and_again_is_no_burst() -> None:
    assert not seen([(number % WORKERS, 7, number / 100) for number in range(50)])[0].struck(ANNA, hour_at(NOON))


def test_what_others_get_is_their_own() -> None:
    workers = seen([(0, 1, 0), (1, 2, 0.01)])
    workers[2].followed(BERT, link(1), at(0.02))
    assert not workers[2].struck(BERT, hour_at(NOON))
    assert not workers[0].struck(ANNA, Hour(hour_at(NOON) + 1)), "another hour is another matter"


def test_a_burst_over_the_end_of_an_hour_is_one_of_both_hours() -> None:
    end = 3_570 - 0.05
    workers = seen([(0, 1, end), (1, 2, end + 0.1)])
    hour = hour_at(NOON)
    assert [workers[2].struck(ANNA, Hour(hour + more)) for more in (-1, 0, 1, 2)] == [False, True, True, False]


def test_a_burst_is_still_known_at_the_end_of_the_hour_after_many_others() -> None:
    workers = seen([(0, 1, 0), (1, 2, 0.01)])
    for number in range(3_000):
        other = DeliveryId(number.to_bytes(16, "big")[::-1])
        for n, worker in enumerate(workers):
            worker.followed(other, link(n), at(10 + number + n / 100))
    assert workers[3].struck(ANNA, hour_at(NOON))


def test_memory_is_bounded_and_new_hits_overwrite_the_oldest() -> None:
    """It keeps neither address nor device, and nothing for long."""
    bursts = Bursts.alone()
    numbers = count()

    def another() -> DeliveryId:
        return DeliveryId((next(numbers) * 4_096).to_bytes(4, "big") + bytes(12))  # all in one bucket

    bursts.followed(ANNA, link(1), at(0))
    for _ in range(100):
        bursts.followed(another(), link(1), at(1))
    delivery = another()
    bursts.followed(delivery, link(1), at(2))
    bursts.followed(delivery, link(2), at(2.1))
    assert bursts.struck(delivery, hour_at(NOON))


def test_a_clock_that_was_set_back_breaks_nothing() -> None:
    before = [(0, number, number * 10.0) for number in range(9)]
    workers = seen([*before, (0, 1, -7_200), (0, 2, -7_199.9)])
    assert workers[0].struck(ANNA, hour_at(at(-7_200)))
    assert not workers[0].struck(ANNA, hour_at(NOON))


@pytest.mark.parametrize(("size", "worker"), [(memory_size(2) - 1, 0), (memory_size(2), 2), (memory_size(2), -1)])
def test_too_little_memory_is_refused_at_once(size: int, worker: int) -> None:
    with pytest.raises(ValueError, match="memory"):
        Bursts(bytearray(size), worker, 2)
