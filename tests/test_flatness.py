"""What grows with the work is told from caches that are full and from what is measured unevenly."""

from __future__ import annotations

import random

from tests.flatness import LEAK, MIB, SHORT, Memory

TEN_MINUTES = 600.0
RATE = 300
"""Hits a second."""
CACHES, FULL_AFTER = 20 * MIB, 200
"""Octets, and seconds."""


def run(seconds: float = TEN_MINUTES, rate: int = RATE, leak: float = 0.0, step: int = 0) -> Memory:
    """A run whose hits leave LEAK octets behind each; in the middle of the rest it grows by STEP octets for good."""
    memory, noise = Memory(seconds), random.Random(1)
    for second in range(int(seconds)):
        caches = CACHES * min(1.0, second / FULL_AFTER)
        later = step if second > 0.7 * seconds else 0
        octets = 130 * MIB + caches + leak * rate * second + later + noise.randint(0, MIB)
        memory.add(second, rate * second, int(octets))
    return memory


def test_caches_that_are_full_after_the_warm_up_are_no_fault() -> None:
    assert run().faults() == []
    assert run(step=MIB).faults() == [], "nor is what is needed once"


def test_a_hundred_octets_for_each_hit_are() -> None:
    (fault,) = run(leak=100).faults()
    assert fault.startswith("memory grew by 8.6 MiB after the warm-up")


def test_a_run_of_many_hits_may_have_more_caches_to_fill_and_sees_a_leak_all_the_same() -> None:
    assert run(rate=5 * RATE, step=5 * MIB).faults() == []
    assert run(step=5 * MIB).faults() != []
    assert run(rate=5 * RATE, leak=30).faults() != []


def test_a_run_with_too_few_hits_to_see_that_says_so() -> None:
    (fault,) = run(rate=50).faults()
    assert "too few" in fault
    assert run(seconds=SHORT - 1, rate=1).faults() == [], "a run of seconds is not meant to see it"


def test_a_short_run_sees_what_is_large() -> None:
    assert run(seconds=10.0, leak=LEAK).faults() == []
    assert run(seconds=10.0, leak=20_000).faults()


def test_the_table_says_what_was_found_and_what_was_allowed() -> None:
    assert "allowed: 4 MiB" in run().table()["growth after the warm-up"]
