"""Lays out small bar charts: where each bar stands, in units of the picture; how it looks is the page's business."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 720
HEIGHT: Final = 120
BY_HOUR: Final = 72
"""Hours up to which a timeline is told by the hour; a longer one is told by the day."""
_GAP: Final = 0.25
"""Of the room for a group, what is left between it and the next."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle; `series` says which of the figures of its group it stands for."""

    x: float
    y: float
    width: float
    height: float
    series: int


def bars(groups: Sequence[Sequence[int]], *, top: int | None = None) -> tuple[Bar, ...]:
    """A bar for each figure that is not 0, those of a group side by side; TOP: what the highest would stand for."""
    highest = top or max((figure for group in groups for figure in group), default=0)
    room = WIDTH / max(len(groups), 1)
    laid_out = []
    for place, group in enumerate(groups):
        width = min(room * (1 - _GAP), 48) / max(len(group), 1)
        begin = place * room + (room - width * len(group)) / 2
        for series, figure in enumerate(group):
            if figure:
                height = max(HEIGHT * figure / highest, 2)
                laid_out.append(Bar(begin + series * width, HEIGHT - height, width, height, series))
    return tuple(laid_out)
