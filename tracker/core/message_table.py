"""Writes figures of messages as a table that a spreadsheet may open: no cell begins like a formula (CWE-1236)."""

from __future__ import annotations

from typing import Final

from tracker.core.calendar import instant_of
from tracker.core.cells import harmless
from tracker.model import Hour, MessageFigures, Purpose, Reason

COLUMNS: Final = (
    "id", "label", "references", "first_sent", "last_sent", "last_engaged", "sent", "tracked", "measured",
    "measurable_open", "opened", "opened_by_machines_only", "measurable_click", "clicked", "clicked_by_machines_only",
    "engaged", "machines_only", "links_left", *(f"untouched_{reason}" for reason in Reason),
)  # fmt: skip


def row(figures: MessageFigures) -> tuple[str | int, ...]:
    """The cells about one message, in the order of COLUMNS."""
    return (
        figures.message.hex(),
        harmless(figures.label or ""),
        harmless(" ".join(figures.references)),
        _instant(figures.first_sent),
        _instant(figures.last_sent),
        "" if figures.last_engaged is None else _instant(figures.last_engaged),
        figures.sent,
        figures.tracked,
        figures.measured,
        figures.measurable.get(Purpose.OPEN, 0),
        figures.opened,
        figures.opened_by_machines_only,
        figures.measurable.get(Purpose.CLICK, 0),
        figures.clicked,
        figures.clicked_by_machines_only,
        figures.engaged,
        figures.machines_only,
        sum(figures.left.values()),
        *(figures.untouched.get(reason, 0) for reason in Reason),
    )


def _instant(hour: Hour) -> str:
    return instant_of(hour).isoformat().replace("+00:00", "Z")
