"""The door for figures: what became of messages, and what people did, as far as a rep may know it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from aiohttp import web

from tracker.doors.api_access import Gate
from tracker.doors.api_bodies import parsed_query, read_json
from tracker.doors.api_headers import owner_of_caller
from tracker.doors.message_export import CSV, instant, links_json, message_json, streamed
from tracker.doors.schemas import Export, MessagesQuery, RecipientsBody
from tracker.flows.report import Figures, Listing
from tracker.model import ApiKey, Engagement, InvalidField, Moment, PersonFigures, Scope


class StatsDoor:
    """Answers `/v1/stats/…`; whose figures they are is said by the key or by Tracker-Owner, never by the URL."""

    def __init__(self, figures: Figures, gate: Gate, clock: Callable[[], datetime]) -> None:
        self._figures = figures
        self._gate = gate
        self._clock = clock

    async def messages(self, request: web.Request) -> web.StreamResponse:
        """One page of messages; or all of them, as a table or as one document.

        Raises InvalidField, AddressInValue, ForeignOwner, StoreUnavailable and Problem.
        """
        key = await self._gate(request, Scope.STATS)
        logins = _logins(request, key)
        query = parsed_query(request, MessagesQuery)
        export = query.format or (Export.CSV if request.headers.get("Accept", "").startswith(CSV) else None)
        listing = Listing(
            logins,
            order=query.order,
            limit=query.limit,
            after=query.after,
            label=query.label,
            campaign=query.campaign,
            first_day=query.first_day,
            last_day=query.last_day,
            engaged=query.engaged,
            source=key.name,
        )
        if export is None:
            page = await self._figures.messages(listing, self._clock())
            return web.json_response({"messages": [message_json(each) for each in page.messages], "next": page.next})
        if query.model_fields_set & {"limit", "after"}:
            raise InvalidField("format: gives all that fits, without limit and after")
        return await streamed(request, self._figures.every_message(listing, self._clock()), export, {})

    async def message(self, request: web.Request) -> web.Response:
        """One message, with when it was touched. Raises NotFound, also for another owner's; else as `messages`."""
        key = await self._gate(request, Scope.STATS)
        logins = _logins(request, key)
        message_id, now = request.match_info["id"], self._clock()
        figures = await self._figures.message(message_id, logins, now, source=key.name)
        moments = await self._figures.timeline(message_id, logins, now)
        return web.json_response({**message_json(figures), "timeline": [_moment(each) for each in moments]})

    async def recipients(self, request: web.Request) -> web.Response:
        """What people did, in the order in which they were named; null for a reference that is not known."""
        key = await self._gate(request, Scope.STATS)
        logins = _logins(request, key)
        body = await read_json(request, RecipientsBody)
        now = self._clock()
        people: tuple[PersonFigures | None, ...]
        if body.addresses is not None:
            people = await self._figures.recipients(body.addresses, logins, now)
        else:
            people = await self._figures.references(body.references or (), key.name, logins, now)
        return web.json_response({"recipients": [person and person_json(person) for person in people]})


def person_json(figures: PersonFigures) -> dict[str, Any]:
    """FIGURES as the API says them; who it is the caller knows."""
    return {
        "purposes": sorted(figures.purposes),
        "messages": [_engagement(each) for each in figures.messages],
    }


def _logins(request: web.Request, key: ApiKey) -> frozenset[str] | None:
    owner = owner_of_caller(request.headers, key)
    return None if owner is None else frozenset({owner})


def _engagement(engagement: Engagement) -> dict[str, Any]:
    return {
        "id": engagement.message.hex(),
        "label": engagement.label,
        "sent": instant(engagement.sent),
        "measurable": sorted(engagement.measurable),
        "opened": engagement.opened and instant(engagement.opened),
        "clicked": engagement.clicked and instant(engagement.clicked),
        "machines": engagement.machines,
        "links": links_json(engagement.links),
    }


def _moment(moment: Moment) -> dict[str, Any]:
    return {
        "from": instant(moment.hour),
        "opened": moment.opened,
        "clicked": moment.clicked,
        "machines": moment.machines,
    }
