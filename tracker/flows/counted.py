"""Remembers in memory which untouched copies were counted today, so that a mail system's retry counts once."""

from __future__ import annotations

from typing import Final

from tracker.model import Day, DeliveryId

MOST: Final = 200_000
"""Copies that are remembered; beyond that all are forgotten, and a retry may count again."""


class Counted:
    """Copies of one day. Nothing of it is stored: after a restart a retry counts again."""

    def __init__(self) -> None:
        self._day: Day | None = None
        self._copies: set[DeliveryId] = set()

    def is_news(self, copy: DeliveryId, day: Day) -> bool:
        """Whether COPY was not asked about before on DAY."""
        if day != self._day or len(self._copies) >= MOST:
            self._day, self._copies = day, set()
        if copy in self._copies:
            return False
        self._copies.add(copy)
        return True
