"""The door for figures: what became of messages, and what people did, as far as a rep may know it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from aiohttp import web

from tracker.core.calendar import instant_of
from tracker.doors.api_access import Gate
from tracker.doors.api_bodies import read_json
from tracker.doors.api_headers import owner_of_caller
from tracker.doors.schemas import RecipientsBody
from tracker.flows.report import Figures
from tracker.model import (
    MAIL_PURPOSES,
    Engagement,
    Hour,
    InvalidField,
    LinkFigures,
    MessageFigures,
    PersonFigures,
    Scope,
)

USUAL_PAGE: Final = 50
LARGEST_PAGE: Final = 200
LONGEST_CURSOR: Final = 200


class StatsDoor:
    """Answers `/v1/stats/…`; whose figures they are is said by the key or by Tracker-Owner, never by the URL."""

    def __init__(self, figures: Figures, gate: Gate, clock: Callable[[], datetime]) -> None:
        self._figures = figures
        self._gate = gate
        self._clock = clock

    async def messages(self, request: web.Request) -> web.Response:
        """One page of messages, newest first. Raises InvalidField, ForeignOwner, StoreUnavailable and Problem."""
        key = await self._gate(request, Scope.STATS)
        owner = owner_of_caller(request.headers, key)
        limit, after = _page(request.query)
        page = await self._figures.messages(owner, self._clock(), limit=limit, after=after)
        return web.json_response({"messages": [message_json(each) for each in page.messages], "next": page.next})

    async def message(self, request: web.Request) -> web.Response:
        """One message. Raises NotFound, also for another owner's; else as `messages`."""
        key = await self._gate(request, Scope.STATS)
        owner = owner_of_caller(request.headers, key)
        figures = await self._figures.message(request.match_info["id"], owner, self._clock())
        return web.json_response(message_json(figures))

    async def recipients(self, request: web.Request) -> web.Response:
        """What people did, in the order in which they were named; null for a reference that is not known."""
        key = await self._gate(request, Scope.STATS)
        owner = owner_of_caller(request.headers, key)
        body = await read_json(request, RecipientsBody)
        now = self._clock()
        people: tuple[PersonFigures | None, ...]
        if body.addresses is not None:
            people = await self._figures.recipients(body.addresses, owner, now)
        else:
            people = await self._figures.references(body.references or (), key.name, owner, now)
        return web.json_response({"recipients": [person and person_json(person) for person in people]})


def message_json(figures: MessageFigures) -> dict[str, Any]:
    """FIGURES as the API says them."""
    return {
        "id": figures.message.hex(),
        "label": figures.label,
        "first_sent": _instant(figures.first_sent),
        "last_sent": _instant(figures.last_sent),
        "sent": figures.sent,
        "tracked": figures.tracked,
        "measurable": {purpose: figures.measurable.get(purpose, 0) for purpose in sorted(MAIL_PURPOSES)},
        "opened": figures.opened,
        "opened_by_machines_only": figures.opened_by_machines_only,
        "clicked": figures.clicked,
        "clicked_by_machines_only": figures.clicked_by_machines_only,
        "links": _links(figures.links),
        "untouched": dict(sorted(figures.untouched.items())),
    }


def person_json(figures: PersonFigures) -> dict[str, Any]:
    """FIGURES as the API says them; who it is the caller knows."""
    return {
        "purposes": sorted(figures.purposes),
        "messages": [_engagement(each) for each in figures.messages],
    }


def _engagement(engagement: Engagement) -> dict[str, Any]:
    return {
        "id": engagement.message.hex(),
        "label": engagement.label,
        "sent": _instant(engagement.sent),
        "measurable": sorted(engagement.measurable),
        "opened": engagement.opened and _instant(engagement.opened),
        "clicked": engagement.clicked and _instant(engagement.clicked),
        "machines": engagement.machines,
        "links": _links(engagement.links),
    }


def _links(links: tuple[LinkFigures, ...]) -> list[dict[str, Any]]:
    return [{"host": each.host, "path": each.path, "people": each.people, "machines": each.machines} for each in links]


def _instant(hour: Hour) -> str:
    return instant_of(hour).isoformat().replace("+00:00", "Z")


def _page(query: Mapping[str, str]) -> tuple[int, str | None]:
    """How many messages, and after which. Raises InvalidField."""
    if not query.keys() <= {"limit", "after"}:
        # An owner in the URL that was silently ignored would show everybody's figures.
        raise InvalidField("the query has an unknown parameter; known are limit, after")
    limit, after = query.get("limit", str(USUAL_PAGE)), query.get("after")
    if not (limit.isascii() and limit.isdecimal() and len(limit) < 4 and 1 <= int(limit) <= LARGEST_PAGE):
        raise InvalidField(f"limit: 1 to {LARGEST_PAGE}")
    if after is not None and not 1 <= len(after) <= LONGEST_CURSOR:
        raise InvalidField("after: what `next` of another page said")
    return int(limit), after
