"""A rounded count is near the true one, and tells nothing of a few people or of all but a few."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tracker.core.rounding import STEP, part_of, rounded

COUNTS = st.integers(0, 10_000)


@given(COUNTS)
def test_a_rounded_count_is_the_nearest_multiple(count: int) -> None:
    assert rounded(count) % STEP == 0
    assert abs(rounded(count) - count) <= STEP // 2


@given(COUNTS, COUNTS)
def test_few_people_and_all_but_few_look_alike(part: int, rest: int) -> None:
    told = part_of(part + rest, part)
    assert (told is None) == (part < STEP or rest < STEP)
    assert told is None or told == rounded(part)
