"""Shows that work takes time linear in its size, in the thread's own processor time: a busy machine does not matter."""

from __future__ import annotations

from collections.abc import Callable
from time import thread_time

import pytest

LEAST = 0.002
"""Seconds below which a measurement says nothing."""
ATTEMPTS = (1, 3, 6)
"""How many runs are looked at, until they agree."""


def assert_linear(prepare: Callable[[int], Callable[[], object]], small: int, large: int) -> None:
    """Fail unless the work that PREPARE makes for a size grows from SMALL to LARGE by less than the power 1.5."""
    growth = (large / small) ** 1.5
    for runs in ATTEMPTS:
        if _best(prepare(large), runs) <= growth * max(_best(prepare(small), runs), LEAST):
            return
    pytest.fail(f"{large / small:.0f} times the size took more than {growth:.0f} times as long")


def _best(work: Callable[[], object], runs: int) -> float:
    return min(_seconds(work) for _ in range(runs))


def _seconds(work: Callable[[], object]) -> float:
    begun = thread_time()
    work()
    return thread_time() - begun
