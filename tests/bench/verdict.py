"""Judges rows of the bench: what was measured against what is aimed at."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from enum import StrEnum
from math import inf

Row = tuple[str, ...]
"""What is measured, the figure, its yardstick, the aim; a heading has no figure."""


class Verdict(StrEnum):
    """What a row says of its aim."""

    REACHED = "reached"
    MISSED = "missed"
    UNMEASURED = "not measured"
    NO_AIM = "no aim"


_FIGURE = re.compile(r"(\d+(?:\.\d+)?)(?:/(\d+(?:\.\d+)?))?(?: ([A-Za-z]+))?")
_LIMIT = re.compile(r"(>=|<=) (.+)")
_RANGE = re.compile(r"(.+) to (.+)")


def unmeasured(why: str) -> str:
    """What stands in place of a figure that was not measured, and WHY."""
    return f"{Verdict.UNMEASURED}: {why}"


def verdict(measured: str, aim: str) -> Verdict:
    """Whether MEASURED reaches AIM; as both are printed, so that nobody reads `0.65`, wants 0.65 and finds it missed.

    MEASURED begins with its figure: `0.98 (0.91-1.04)`, `1/45`, `13.1 ms`. AIM is empty or `>= 0.65`, `<= 1/20`,
    `<= 20 ms`, `0.75 to 1.25`. Raises ValueError for any other, and where the two have not the same unit.
    """
    if measured.startswith(unmeasured("")):
        return Verdict.UNMEASURED
    if not aim:
        return Verdict.NO_AIM
    least, most, unit = _bounds(aim)
    figure, its = _figure(measured)
    if unit and unit != its:
        raise ValueError(f"{measured!r} is not in {unit}, as its aim {aim!r} is")
    return Verdict.REACHED if least <= figure <= most else Verdict.MISSED


def line(row: Row) -> str:
    """ROW as it is printed: its verdict, the figure, the aim; then what they are of, which may be long."""
    what, measured, yardstick, aim = row
    whole = f"{what}{yardstick and f', against {yardstick}'}"
    if not measured:
        return f"  {whole}"
    figure = measured.removeprefix(unmeasured(""))
    return f"  {verdict(measured, aim):12}  {figure:20}  {aim and f'aim {aim}':16}  {whole}"


def summary(rows: Sequence[tuple[str, Row]]) -> Iterator[str]:
    """Lines on all ROWS, each with the title of its table: those that were not reached, and how many there are."""
    judged = [(title, row, verdict(row[1], row[3])) for title, row in rows if row[1]]
    for sort in (Verdict.UNMEASURED, Verdict.MISSED):
        for title, (what, *more), its in judged:
            if its is sort:
                yield line((f"{title}: {what}", *more))
    count = Counter(its for _, _, its in judged)
    aims = f"{count[Verdict.REACHED]} reached, {count[Verdict.MISSED]} missed"
    yield f"Aims: {aims}; rows not measured: {count[Verdict.UNMEASURED]}"


def is_complete(rows: Sequence[tuple[str, Row]]) -> bool:
    """Whether every one of ROWS was measured, and reaches its aim where it has one."""
    return all(verdict(row[1], row[3]) in (Verdict.REACHED, Verdict.NO_AIM) for _, row in rows if row[1])


def _bounds(aim: str) -> tuple[float, float, str]:
    """The least and the most that reaches AIM, and their unit."""
    if limit := _LIMIT.fullmatch(aim):
        figure, unit = _figure(limit[2])
        return (figure, inf, unit) if limit[1] == ">=" else (0.0, figure, unit)
    if both := _RANGE.fullmatch(aim):
        (least, _), (most, unit) = _figure(both[1]), _figure(both[2])
        return least, most, unit
    raise ValueError(f"{aim!r} is no aim that can be judged: write '>= 0.65', '<= 20 ms' or '0.75 to 1.25'")


def _figure(text: str) -> tuple[float, str]:
    """The figure that TEXT begins with, and its unit."""
    found = _FIGURE.match(text)
    if found is None:
        raise ValueError(f"{text!r} does not begin with a figure, as in '0.65', '1/20' or '20 ms'")
    whole, part, unit = found.groups()
    if part is None:
        return float(whole), unit or ""
    return float(whole) / float(part) if float(part) else inf, unit or ""
