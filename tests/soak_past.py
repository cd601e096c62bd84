"""Days that have passed, filled in before a soak so that its sweeps have work, and what must be left of them."""

from __future__ import annotations

import sqlite3
from typing import Final

from tests.bench.filling import EVENTS_OF_A_COPY, Filling
from tests.postgres import Plain
from tracker.core.calendar import later
from tracker.core.rounding import rounded
from tracker.model import Day
from tracker.store.pace import LEAST

SECONDS_OF_A_DAY: Final = 20.0
"""Of the run, for each day that is filled in: on SQLite a sweep takes some transactions for it, and rests for seconds
after each while hits come in."""
FEWEST: Final = 3
"""Days, however short the run is."""
COPIES: Final = 2 * LEAST
"""Of each day, and of its campaign: LEAST is what one transaction takes at least."""
GO: Final = ("events", "tracked", "deliveries", "messages")
STAY: Final = {"recipients": "id", "ledger": "entry", "ledger_contents": "entry", "grants": "recipient"}
"""What is not past its day, each with the column that holds the number of a person who was filled in."""
COUNTED: Final = ("sent", "tracked", "open_measured", "click_measured")
"""Columns of what is left of a message: each counts its copies."""


class Past:
    """Days before TODAY for a run of so many SECONDS, each with the copies of a campaign."""

    def __init__(self, seconds: float, today: Day) -> None:
        days = max(FEWEST, int(seconds / SECONDS_OF_A_DAY))
        self.filling = Filling(days * COPIES * EVENTS_OF_A_COPY, later(today, -days), days, most=COPIES)
        self._today = today

    def gone(self, database: sqlite3.Connection | Plain) -> int:
        """How many of the events are not in DATABASE any more: they go first."""
        return self._filled("events") - self._overdue(database, "events")

    def faults(self, database: sqlite3.Connection | Plain) -> list[str]:
        """What is not as a sweep that came to its end must leave it: rows that stayed or went, counts that are lost."""
        found = [
            f"{rows} rows of {table} are past their day" for table in GO if (rows := self._overdue(database, table))
        ]
        for table, column in STAY.items():
            lost = self._filled(table) - _count(database, f"{table} WHERE {column} <= {self.filling.people}")
            if lost:
                found.append(f"{lost} rows of {table} went that were not past their day")
        campaigns = range(self.filling.campaigns)
        expected = sum(rounded(len(self.filling.copies_of(campaign))) for campaign in campaigns)
        for column in COUNTED:
            kept = _one(database, f"SELECT coalesce(sum({column}), 0) FROM totals")
            if kept != expected:
                found.append(f"{expected} copies that went are to go on counting as {column}, {kept} do")
        return found

    def _filled(self, table: str) -> int:
        return sum(1 for _ in self.filling.rows(table))

    def _overdue(self, database: sqlite3.Connection | Plain, table: str) -> int:
        return _count(database, f"{table} WHERE last_day < {self._today}")


def _count(database: sqlite3.Connection | Plain, those: str) -> int:
    return _one(database, f"SELECT count(*) FROM {those}")


def _one(database: sqlite3.Connection | Plain, query: str) -> int:
    ((number,),) = database.execute(query).fetchall()
    return int(number)
