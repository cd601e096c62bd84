"""What grows with the work is told from caches that fill and from what is measured unevenly."""

from __future__ import annotations

import random
from math import exp

import pytest

from tests.flatness import LEAK, MIB, SHORT, Memory

TEN_MINUTES = 600.0
RATE = 1_200
"""Hits a second, as a server on SQLite has them on two cores that it shares with those who ask."""
SEEDS = range(20)
"""Of the noise."""


def run(
    *, seconds: float = TEN_MINUTES, rate: int = RATE, leak: float = 0.0, caches: float = 20.0, half_in: float = 60.0,
    step: float = 0.0, uneven: float = 1.0, seed: int = 1,
) -> Memory:  # fmt: skip
    """A run whose hits leave LEAK octets behind each.

    Its CACHES (MiB) are half full HALF_IN seconds after the start, three quarters full after twice that; in its last
    quarter it grows by STEP MiB for good. What is measured is UNEVEN by so many MiB up and down; of a server it is by
    less than a tenth.
    """
    memory, noise = Memory(seconds), random.Random(seed)
    for second in range(int(seconds)):
        cached = caches * (1 - exp(-0.6931 * second / half_in))
        later = step if second > 0.85 * seconds else 0.0
        mib = 130 + cached + later + leak * rate * second / MIB + noise.uniform(-uneven, uneven)
        memory.add(second, rate * second, int(mib * MIB))
    return memory


@pytest.mark.parametrize("seed", SEEDS)
def test_ten_octets_for_each_hit_are_a_leak(seed: int) -> None:
    (fault,) = run(leak=10, seed=seed).faults()
    assert "in the last quarter" in fault


@pytest.mark.parametrize("seed", SEEDS)
def test_noise_is_none(seed: int) -> None:
    assert run(seed=seed).faults() == []


@pytest.mark.parametrize("half_in", [30, 60, 120])
def test_nor_are_caches_that_fill_ever_more_slowly_until_the_end(half_in: float) -> None:
    assert run(half_in=half_in).faults() == []
    assert run(half_in=half_in, leak=10).faults(), "and they hide none"


def test_what_is_needed_once_is_no_leak() -> None:
    assert run(step=1, uneven=0.1).faults() == []
    assert run(step=5).faults()


def test_more_hits_make_no_more_memory_right() -> None:
    assert run(rate=10 * RATE).faults() == []
    assert run(rate=10 * RATE, leak=1).faults()


def test_a_run_with_too_few_hits_to_see_a_hundred_octets_for_each_says_so() -> None:
    (fault,) = run(rate=50).faults()
    assert "too few" in fault
    assert run(rate=200, leak=LEAK).faults()
    assert run(seconds=SHORT - 1, rate=1).faults() == [], "a run of seconds is not meant to see it"


def test_a_short_run_sees_what_is_large_of_each_process() -> None:
    assert run(seconds=10.0, caches=0, leak=LEAK).faults() == []
    memory = run(seconds=10.0, caches=0, leak=4_000)
    assert memory.faults()
    memory.processes = 2
    assert memory.faults() == []


def test_the_table_says_what_was_found_and_what_was_allowed() -> None:
    assert "allowed: 1.5 MiB" in run().table()["growth in the last quarter"]
