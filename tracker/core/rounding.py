"""Makes totals of which nobody can be told apart: rounded, and empty where few people are on one side or the other."""

from __future__ import annotations

from typing import Final

STEP: Final = 5
"""What figures are rounded to, and the fewest people that one is told of."""


def rounded(count: int, of: int | None = None) -> int | None:
    """COUNT to the nearest multiple of STEP; None where fewer than STEP are counted, or of those OF are not counted."""
    if count < STEP or (of is not None and of - count < STEP):
        return None
    return STEP * ((2 * count + STEP) // (2 * STEP))
