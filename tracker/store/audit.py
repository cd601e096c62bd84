"""Keeps the audit trail: who did what on whose behalf, without content; no person and no address stands in it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.core.ledger import instant_text
from tracker.model import Day
from tracker.store.schema import audit


async def write_audit(
    connection: AsyncConnection, *, at: datetime, actor: str, action: str, case: str | None, last_day: Day
) -> None:
    """Note that ACTOR did ACTION at AT; CASE is the controller's own number of the matter."""
    line = {"at": instant_text(at), "actor": actor, "action": action, "case_number": case, "last_day": last_day}
    await connection.execute(insert(audit).values(**line))
