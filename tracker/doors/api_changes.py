"""The door through which a mail system keeps in step: what changed, in the references that it gave itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from tracker.core.calendar import date_of
from tracker.doors.api_access import Gate
from tracker.doors.api_bodies import parsed_query
from tracker.doors.schemas import ChangesQuery
from tracker.flows.changes import Changes
from tracker.model import Change, Scope


class ChangesDoor:
    """Answers `GET /v1/consents/changes`."""

    def __init__(self, changes: Changes, gate: Gate, clock: Callable[[], datetime]) -> None:
        self._changes = changes
        self._gate = gate
        self._clock = clock

    async def changes(self, request: web.Request) -> web.Response:
        """Up to 1,000 changes since the cursor `since`, oldest first; `next` is the cursor for the next call.

        `more` says that there is a next page already. How long changes can be read back: see flows/changes.
        Raises InvalidField, StoreUnavailable and Problem.
        """
        key = await self._gate(request, Scope.CONSENT)
        page = await self._changes.since(key.name, parsed_query(request, ChangesQuery).since, self._clock())
        return web.json_response(
            {"changes": [change_json(each) for each in page.changes], "next": page.next, "more": page.more}
        )


def change_json(change: Change) -> dict[str, Any]:
    """CHANGE as the API says it; who it is the caller knows by its own reference."""
    said: dict[str, Any] = {"reference": change.reference, "event": change.event}
    if change.purposes:
        said["purposes"] = sorted(change.purposes)
    if change.at is not None:
        said["at"] = change.at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if change.until is not None:
        said["until"] = date_of(change.until).isoformat()
    return said
