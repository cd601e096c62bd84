"""Tells what a privacy officer oversees: where consents stand, who did what, and what was deleted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from tracker.core.calendar import day_of
from tracker.core.oversight import AuditLine, ConsentState, Deletion
from tracker.store.store import Store

PAGE: Final = 50
"""Lines of the audit trail at a time."""


@dataclass(frozen=True, slots=True)
class Trail:
    """Some lines of the audit trail, newest first."""

    lines: tuple[AuditLine, ...]
    next: int | None
    """What to ask for to see what came before them; None at the beginning."""
    names: Mapping[str, str] = field(default_factory=dict)
    """The logins of accounts, by how the trail names these."""


class Oversight:
    """Everything raises StoreUnavailable."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def consents(self, now: datetime) -> ConsentState:
        """Where all people together stand."""
        return await self._store.consent_state(now)

    async def trail(self, now: datetime, before: int | None = None) -> Trail:
        """Lines of the audit trail, from before the line BEFORE on."""
        lines, following = await self._store.audit_page(day_of(now), PAGE, before)
        async with self._store.staff_as_it_is() as book:
            names = {account.actor: account.login for account in await book.all()}
        return Trail(lines, following, names)

    async def deletion(self, now: datetime) -> Deletion:
        """What was deleted on the last days, and what is overdue."""
        today = day_of(now)
        overdue = {table: rows for table, rows in (await self._store.overdue(today)).items() if rows}
        return Deletion(overdue, await self._store.sweeps(today))
