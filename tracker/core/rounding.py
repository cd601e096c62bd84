"""Rounds counts of people so that two looks do not give away one of them.

The law: what is told of a group is rounded to 5, and not told at all where it, or all but it, is fewer than 5.
"""

from __future__ import annotations

from typing import Final

STEP: Final = 5


def rounded(count: int) -> int:
    """COUNT to the nearest multiple of 5."""
    return (count + STEP // 2) // STEP * STEP


def told(count: int) -> int | None:
    """COUNT, rounded; None where it is fewer than 5."""
    return None if count < STEP else rounded(count)


def part_of(whole: int, part: int) -> int | None:
    """PART of WHOLE, rounded; None where it or the rest is fewer than 5."""
    return None if min(part, whole - part) < STEP else rounded(part)
