"""Notes in the audit trail who looked at which kind of page, without what they saw (LAW.md R54)."""

from __future__ import annotations

from datetime import datetime

from tracker.core.access import Deed
from tracker.core.calendar import day_of, hour_of, later
from tracker.core.periods import AUDIT_DAYS
from tracker.model import Hour, StaffSession
from tracker.store.store import Store


class Looks:
    """One line for each browser, kind of page and hour: how often somebody pressed reload is nobody's business."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._hour = Hour(0)
        self._noted: set[tuple[bytes, Deed]] = set()

    async def note(self, session: StaffSession, deed: Deed, now: datetime) -> None:
        """Note that whoever has SESSION did DEED. Raises StoreUnavailable: then nothing is to be shown."""
        if hour_of(now) != self._hour:
            self._hour = hour_of(now)
            self._noted.clear()
        if (session.digest, deed) in self._noted:
            return
        async with self._store.staff() as book:
            last_day = later(day_of(now), AUDIT_DAYS)
            await book.audit(at=now, actor=session.account.actor, action=deed.value, last_day=last_day)
        self._noted.add((session.digest, deed))
