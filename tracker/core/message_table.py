"""Writes figures of messages as a table that a spreadsheet may open: no cell begins like a formula (CWE-1236)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Final

from tracker.core.calendar import instant_of
from tracker.core.cells import harmless
from tracker.model import Hour, MessageFigures, Purpose, Reason

COLUMNS: Final = (
    "id", "label", "references", "first_sent", "last_sent", "last_engaged", "sent", "tracked", "measured",
    "measurable_open", "opened", "opened_by_machines_only", "measurable_click", "clicked", "clicked_by_machines_only",
    "engaged", "machines_only", "links_left", *(f"untouched_{reason}" for reason in Reason),
)  # fmt: skip


def head() -> str:
    """The line with the names of the columns."""
    return _line(COLUMNS)


def line(figures: MessageFigures) -> str:
    """The line about one message."""
    return _line(
        (
            figures.message.hex(),
            figures.label or "",
            " ".join(figures.references),
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
    )


def _line(cells: Iterable[str | int]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow([harmless(cell) if isinstance(cell, str) else cell for cell in cells])
    return out.getvalue()


def _instant(hour: Hour) -> str:
    return instant_of(hour).isoformat().replace("+00:00", "Z")
