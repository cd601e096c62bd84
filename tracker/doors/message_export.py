"""Sends figures of many messages in one answer, as a table or as a JSON document, with one of them in memory."""

from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

from aiohttp import web

from tracker.core import message_table
from tracker.core.calendar import instant_of
from tracker.doors.schemas import Export
from tracker.doors.server import cut, place
from tracker.model import MAIL_PURPOSES, Hour, LinkFigures, MessageFigures

CSV: Final = "text/csv"
_log = logging.getLogger("tracker.http")


async def streamed(
    request: web.Request, messages: AsyncIterator[MessageFigures], export: Export, headers: Mapping[str, str]
) -> web.StreamResponse:
    """All of MESSAGES, as a download with HEADERS. Raises what the first of them raises."""
    first = await anext(messages, None)
    kind = CSV if export is Export.CSV else "application/json"
    response = web.StreamResponse(
        headers={
            **headers,
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


def message_json(figures: MessageFigures) -> dict[str, Any]:
    """FIGURES as the API says them."""
    return {
        "id": figures.message.hex(),
        "label": figures.label,
        "references": list(figures.references),
        "first_sent": instant(figures.first_sent),
        "last_sent": instant(figures.last_sent),
        "last_engaged": figures.last_engaged and instant(figures.last_engaged),
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
        "links": links_json(figures.links),
        "left": dict(sorted(figures.left.items())),
        "untouched": dict(sorted(figures.untouched.items())),
    }


def links_json(links: Sequence[LinkFigures]) -> list[dict[str, Any]]:
    """LINKS as the API says them."""
    return [{"host": each.host, "path": each.path, "people": each.people, "machines": each.machines} for each in links]


def instant(hour: Hour) -> str:
    """The beginning of HOUR."""
    return instant_of(hour).isoformat().replace("+00:00", "Z")


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
