"""Reads the bodies of API requests: of one media type, in bounded memory, refused early where that is possible."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final, TypeVar

from aiohttp import HttpVersion11, web
from pydantic import ValidationError

from tracker.doors.api_problems import Problem
from tracker.doors.budget import Budget, Room
from tracker.doors.schemas import Body, explain
from tracker.model import BadJson, BodyTooLarge, BodyTooSlow, InvalidField, WrongContentType

JSON: Final = "application/json"
LARGEST_JSON: Final = 64 * 1024
"""Octets of a small body, of which no account is kept."""
SLOWEST: Final = 10.0
"""Seconds for a small body to arrive."""
FIRST: Final = 64 * 1024
"""Octets for which there is room at first, where a body's length is not said."""
MOST_FAULTS: Final = 5
"""How many faults of one body are named."""
AnyBody = TypeVar("AnyBody", bound=Body)


def check_body(request: web.Request, media_type: str, limit: int) -> None:
    """Refuse a body by its headers alone. LIMIT: octets. Raises Problem with WrongContentType or BodyTooLarge."""
    if request.content_type != media_type:
        raise Problem(WrongContentType(media_type), {"Accept": media_type})
    if request.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        raise Problem(WrongContentType(f"{media_type} without Content-Encoding"), {"Accept-Encoding": "identity"})
    if (request.content_length or 0) > limit:
        raise _too_large(media_type, limit)


class Incoming:
    """A body on its way, which `check_body` let through."""

    def __init__(self, request: web.Request, media_type: str, limit: int) -> None:
        """LIMIT: octets."""
        self._request = request
        self._media_type = media_type
        self._limit = limit
        self._size = 0
        self._asked_for = False
        self._expected = 0
        """Octets for which there is room."""
        self.chunks: list[bytes] = []
        """What has come."""

    async def arrive(self, room: Room, need: Callable[[int], int], patience: float, seconds: float) -> None:
        """Read to the end what has not come yet, holding in ROOM the memory that it NEEDs, by its octets.

        Raises NoRoom after PATIENCE seconds: then one may go on with less need. BodyTooSlow after SECONDS in all,
        Problem with BodyTooLarge.
        """
        first = self._request.content_length or min(FIRST, self._limit)
        await self._expect(room, max(self._size, first), need, patience)
        try:
            async with asyncio.timeout(seconds):
                if not self._asked_for:
                    self._asked_for = True
                    await go_on(self._request)
                async for chunk in self._request.content.iter_any():
                    self._size += len(chunk)
                    self.chunks.append(chunk)
                    if self._size > self._limit:
                        raise _too_large(self._media_type, self._limit)
                    if self._size > self._expected:
                        await self._expect(room, min(2 * self._size, self._limit), need, patience)
        except TimeoutError:
            raise BodyTooSlow from None

    def whole(self) -> bytes:
        """The body, when it has arrived; the chunks are gone."""
        body = self.chunks[0] if len(self.chunks) == 1 else b"".join(self.chunks)
        self.chunks.clear()
        return body

    async def _expect(self, room: Room, octets: int, need: Callable[[int], int], patience: float) -> None:
        await room.resize(need(octets), patience)
        self._expected = octets


async def read_body(request: web.Request, media_type: str, limit: int) -> bytes:
    """The body of REQUEST, a small one, which `check_body` let through. Raises as `Incoming`, but for NoRoom."""
    with Budget(limit).to_pass_on() as room:
        body = Incoming(request, media_type, limit)
        await body.arrive(room, int, 0, SLOWEST)
        return body.whole()


async def body_chunks(request: web.Request) -> AsyncIterator[bytes]:
    """The body of REQUEST, which `check_body` let through and `go_on` asked for, as it comes."""
    async for chunk in request.content.iter_any():
        yield chunk


async def read_json(request: web.Request, body: type[AnyBody]) -> AnyBody:
    """The BODY, a small one, in REQUEST.

    Raises Problem, BodyTooSlow, BadJson, and InvalidField which names every field that is wrong.
    """
    check_body(request, JSON, LARGEST_JSON)
    return parsed(body, await read_body(request, JSON, LARGEST_JSON))


def parsed(body: type[AnyBody], data: bytes) -> AnyBody:
    """The BODY that is written in DATA. Raises BadJson, and InvalidField which names every field that is wrong."""
    return _valid(body, lambda: body.model_validate_json(data))


def parsed_query(request: web.Request, query: type[AnyBody]) -> AnyBody:
    """The QUERY of REQUEST. Raises InvalidField which names every parameter that is wrong or stands there twice."""
    given = request.query
    if len(given) != len(set(given)):
        raise InvalidField("the query has a parameter twice")
    return _valid(query, lambda: query.model_validate(dict(given)))


def _valid(body: type[AnyBody], validate: Callable[[], AnyBody]) -> AnyBody:
    try:
        return validate()
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
    # Outside of the except block, so that no traceback leads back to an error that holds what was sent.
    if any(fault["type"] == "json_invalid" for fault in faults):
        raise BadJson
    raise InvalidField("; ".join(dict.fromkeys(explain(body, fault) for fault in faults[:MOST_FAULTS])))


async def expect(_: web.Request) -> None:
    """Answer no `Expect` field before the request was looked at: aiohttp would ask for the body, or quote the field."""


async def go_on(request: web.Request) -> None:
    """Ask for the body where the caller waits for that; before any answer has begun."""
    if request.version >= HttpVersion11 and request.headers.get("Expect", "").strip().lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer itself has not begun


def _too_large(media_type: str, limit: int) -> Problem:
    error = BodyTooLarge(f"at most {limit} octets")
    if media_type != JSON:
        return Problem(error)
    return Problem(
        error,
        title="The body is too large to be looked at.",
        meaning="Nothing was changed.",
        remedy="Send less in one request.",
    )
