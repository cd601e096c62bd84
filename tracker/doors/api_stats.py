"""The door for figures: what became of messages, and what people did, as far as a rep may know it."""

from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Any, Final

from aiohttp import web

from tracker.core import message_table
from tracker.core.calendar import instant_of
from tracker.doors.api_access import Gate
from tracker.doors.api_batch import cut
from tracker.doors.api_bodies import parsed_query, read_json
from tracker.doors.api_headers import owner_of_caller
from tracker.doors.schemas import Export, MessagesQuery, RecipientsBody
from tracker.doors.server import place
from tracker.flows.report import Figures, Listing
from tracker.model import (
    MAIL_PURPOSES,
    ApiKey,
    Engagement,
    Hour,
    InvalidField,
    LinkFigures,
    MessageFigures,
    Moment,
    PersonFigures,
    Scope,
)

CSV: Final = "text/csv"
_log = logging.getLogger("tracker.http")


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
        return await _streamed(request, self._figures.every_message(listing, self._clock()), export)

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


def message_json(figures: MessageFigures) -> dict[str, Any]:
    """FIGURES as the API says them."""
    return {
        "id": figures.message.hex(),
        "label": figures.label,
        "references": list(figures.references),
        "first_sent": _instant(figures.first_sent),
        "last_sent": _instant(figures.last_sent),
        "last_engaged": figures.last_engaged and _instant(figures.last_engaged),
        "sent": figures.sent,
        "tracked": figures.tracked,
        "measured": figures.measured,
        "measurable": {purpose: figures.measurable.get(purpose, 0) for purpose in sorted(MAIL_PURPOSES)},
        "opened": figures.opened,
        "opened_by_machines_only": figures.opened_by_machines_only,
        "clicked": figures.clicked,
        "clicked_by_machines_only": figures.clicked_by_machines_only,
        "engaged": figures.engaged,
        "machines_only": figures.machines_only,
        "links": _links(figures.links),
        "left": dict(sorted(figures.left.items())),
        "untouched": dict(sorted(figures.untouched.items())),
    }


def person_json(figures: PersonFigures) -> dict[str, Any]:
    """FIGURES as the API says them; who it is the caller knows."""
    return {
        "purposes": sorted(figures.purposes),
        "messages": [_engagement(each) for each in figures.messages],
    }


async def _streamed(
    request: web.Request, messages: AsyncIterator[MessageFigures], export: Export
) -> web.StreamResponse:
    """All of MESSAGES in one answer, of which one is in memory at a time. Raises what the first of them raises."""
    first = await anext(messages, None)
    kind = CSV if export is Export.CSV else "application/json"
    response = web.StreamResponse(
        headers={
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Disposition": f'attachment; filename="messages.{export}"',
        }
    )
    await response.prepare(request)
    write = _table if export is Export.CSV else _document
    try:
        async for text in write(first, messages):
            await response.write(text.encode())
        await response.write_eof()
    except ConnectionError:
        cut(request)  # the caller has gone
    except Exception as error:
        _log.error("an export was cut short: %s", place(error))
        cut(request)
    return response


async def _table(first: MessageFigures | None, rest: AsyncIterator[MessageFigures]) -> AsyncIterator[str]:
    yield _line(message_table.COLUMNS)
    if first is not None:
        yield _line(message_table.row(first))
        async for each in rest:
            yield _line(message_table.row(each))


async def _document(first: MessageFigures | None, rest: AsyncIterator[MessageFigures]) -> AsyncIterator[str]:
    yield '{"messages": ['
    if first is not None:
        yield json.dumps(message_json(first))
        async for each in rest:
            yield ",\n" + json.dumps(message_json(each))
    yield "]}\n"


def _line(cells: Sequence[str | int]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue()


def _logins(request: web.Request, key: ApiKey) -> frozenset[str] | None:
    owner = owner_of_caller(request.headers, key)
    return None if owner is None else frozenset({owner})


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


def _moment(moment: Moment) -> dict[str, Any]:
    return {
        "from": _instant(moment.hour),
        "opened": moment.opened,
        "clicked": moment.clicked,
        "machines": moment.machines,
    }


def _links(links: tuple[LinkFigures, ...]) -> list[dict[str, Any]]:
    return [{"host": each.host, "path": each.path, "people": each.people, "machines": each.machines} for each in links]


def _instant(hour: Hour) -> str:
    return instant_of(hour).isoformat().replace("+00:00", "Z")
