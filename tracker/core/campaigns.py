"""Adds up the figures of messages that have the same label, so that campaigns can be compared."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tracker.model import Hour, MessageFigures, Purpose, Reason


@dataclass(frozen=True, slots=True)
class LabelFigures:
    """What became of all messages with one label; counts are of distinct deliveries."""

    label: str
    messages: int
    last_sent: Hour
    sent: int
    measured: int
    measurable: Mapping[Purpose, int]
    opened: int
    clicked: int
    machines_only: int
    """Copies that only machines touched."""
    untouched: Mapping[Reason, int]


def by_label(figures: Iterable[MessageFigures]) -> tuple[LabelFigures, ...]:
    """FIGURES of messages that have a label, added up by it; what was sent last comes first."""
    groups: dict[str, list[MessageFigures]] = defaultdict(list)
    for one in figures:
        if one.label is not None:
            groups[one.label].append(one)
    added = [_added(label, group) for label, group in groups.items()]
    return tuple(sorted(added, key=lambda one: (-one.last_sent, one.label)))


def _added(label: str, group: list[MessageFigures]) -> LabelFigures:
    measurable: Counter[Purpose] = Counter()
    untouched: Counter[Reason] = Counter()
    for one in group:
        measurable.update(one.measurable)
        untouched.update(one.untouched)
    return LabelFigures(
        label=label,
        messages=len(group),
        last_sent=max(one.last_sent for one in group),
        sent=sum(one.sent for one in group),
        measured=sum(one.measured for one in group),
        measurable=measurable,
        opened=sum(one.opened for one in group),
        clicked=sum(one.clicked for one in group),
        machines_only=sum(one.machines_only for one in group),
        untouched=untouched,
    )
