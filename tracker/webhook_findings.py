"""Examines whether the system that webhooks go to takes them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from tracker.config import Settings
from tracker.core.calendar import day_of, instant_of
from tracker.core.webhook import Backlog, is_end
from tracker.findings import Finding
from tracker.store.store import Store

LATE: Final = timedelta(hours=2)
"""So long after their hour has turned events have been told, unless something is wrong."""
LATE_END: Final = timedelta(hours=1)
"""So long after the end of a consent it has been told."""
PAGE: Final = 200
"""Ends of consents that are looked at."""


async def webhooks_taken(store: Store, settings: Settings, now: datetime) -> list[Finding]:
    """What is to be said NOW of webhooks on STORE under SETTINGS; nothing where there are none.

    Raises StoreUnavailable.
    """
    what = "the other system takes webhooks"
    backlog = await store.webhook_backlog(day_of(now))
    if settings.webhook_source is None:
        why = (
            f"{_events(backlog.waiting)} for a system that the settings no longer name: name it again, or they go with "
            "their last day"
        )
        return [Finding(what, fine=True, why=why, note=True)] if backlog.waiting else []
    since = await _oldest_end(store, settings.webhook_source, now)
    found = []
    late_end = since is not None and now - since > LATE_END
    if late_end:
        found.append(f"that a consent ended has been waiting to be told since {since:%Y-%m-%d %H:%M} UTC")
    late = backlog.oldest is not None and now - instant_of(backlog.oldest) > timedelta(hours=1) + LATE
    if late or backlog.refused:
        found.append(_waits(backlog))
    if found:
        found.append(
            "is `tracker serve` running, and does webhook_url answer 2xx within ten seconds? "
            "`tracker_webhooks_total` counts what was refused"
        )
    return [Finding(what, fine=not (late or late_end), why="; ".join(found), note=bool(found))]


async def _oldest_end(store: Store, source: str, now: datetime) -> datetime | None:
    """When the first consent ended of which SOURCE is still to be told."""
    told_until = await store.consents_told_until()
    if told_until is None:  # no server has run yet since webhooks were set up
        return None
    page = await store.changes(source, told_until, day_of(now), PAGE)
    return min((change.at for change in page.changes if is_end(change) and change.at is not None), default=None)


def _waits(backlog: Backlog) -> str:
    since = "" if backlog.oldest is None else f", the first since {instant_of(backlog.oldest):%Y-%m-%d %H:%M} UTC"
    return f"{_events(backlog.waiting)} to be told{since}; {backlog.refused} of them were tried, and not taken"


def _events(count: int) -> str:
    return "1 event waits" if count == 1 else f"{count} events wait"
