"""The door for mail systems: one copy of a message in, the same copy out, rewritten or as it came.

The law: once a caller's request is in order its message comes back with 200, whatever fails inside (promise 2).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from time import perf_counter
from typing import Final, Protocol

from aiohttp import web

from tracker.doors.api_access import Gate
from tracker.doors.api_bodies import Incoming, check_body
from tracker.doors.api_headers import envelope_of
from tracker.doors.api_problems import Problem
from tracker.doors.budget import TIMES_MESSAGE, Budget, Room
from tracker.doors.server import cut, place
from tracker.flows.send import Answer, Sender
from tracker.flows.surveys import LARGE
from tracker.model import ApiKey, BadRequest, Envelope, Left, NoRoom, Reason, Scope, StoreUnavailable

MESSAGE: Final = "message/rfc822"
HARD_LIMIT: Final = 4
"""Times max_message; what is larger is refused before it is read."""
PATIENCE: Final = 4.2
"""Seconds for a copy: callers wait 5 s in all and then send what they have."""
PATIENCE_FOR_KEY: Final = 0.5
"""Seconds for looking up who calls."""
PATIENCE_FOR_ROOM: Final = 0.5
"""Seconds for there to be the memory to rewrite a message."""
PATIENCE_FOR_RETURN: Final = 3.5
"""Seconds for there to be the memory to give it back."""
SLOWEST_MESSAGE: Final = 10.0
"""Seconds for a message to arrive, or to be taken back; what takes longer than 5 the caller does not wait for."""
TIMES_LOOKED_AT: Final = 4
"""The octets that it takes to look at a message, or at the part of a larger one that is looked at, beside it."""
TIMES_ANSWER: Final = 2
"""The octets that an answer takes, in its own, when all that led to it is gone."""
AT_ONCE: Final = 2**16
"""Octets up to which an answer is written at once, whether or not the caller reads it."""
_log = logging.getLogger("tracker.http")


class CopyCounter(Protocol):
    """Counts copies for the operator."""

    def rewrote(self, reason: Reason | None, left: Mapping[Left, int], seconds: float) -> None:
        """One copy was answered SECONDS after it was read: tracked, with links LEFT, or untouched for REASON."""

    def unsigned(self, removed: int) -> None:
        """A tracked copy left without so many DKIM signatures of our own, which were REMOVED."""

    def foreign(self, found: Mapping[str, int], removed: int) -> None:
        """A copy came with so many of other people's trackers in it: FOUND by kind; so many pixels were REMOVED."""


class RewriteDoor:
    """Answers `POST /v1/rewrite`."""

    def __init__(
        self,
        sender: Sender,
        gate: Gate,
        counter: CopyCounter,
        clock: Callable[[], datetime],
        max_message: int,
        budget: Budget,
        patience: float = PATIENCE,
    ) -> None:
        self._sender = sender
        self._gate = gate
        self._counter = counter
        self._clock = clock
        self._limit = HARD_LIMIT * max_message
        self._max_message = max_message
        self._budget = budget
        self._patience = patience

    async def rewrite(self, request: web.Request) -> web.StreamResponse:
        """The copy in the body of REQUEST, and in headers what was done with it (LAW.md R61: ASCII only).

        Where there is not the memory to rewrite it, it goes back as it came. Raises Problem and BadRequest for a
        request that is not in order, NoRoom when there is not the memory for it at all; nothing else.
        """
        envelope = await self._envelope(request)
        check_body(request, MESSAGE, self._limit)
        body = Incoming(request, MESSAGE, self._limit)
        with self._budget.to_work() as room:
            try:
                await body.arrive(room, self._need, PATIENCE_FOR_ROOM, SLOWEST_MESSAGE)
            except NoRoom:
                room.widen()
                return await self._returned(request, body, room)
            return await self._worked_on(request, envelope, body, room)

    async def _worked_on(
        self, request: web.Request, envelope: Envelope | Reason, body: Incoming, room: Room
    ) -> web.StreamResponse:
        began = perf_counter()
        answer = await self._answer(envelope, body.whole())
        self._counter.rewrote(answer.reason, answer.left, perf_counter() - began)
        self._counter.foreign(answer.foreign, answer.pixels_removed)
        self._counter.unsigned(answer.signatures_removed)
        if len(answer.message) <= AT_ONCE:
            return web.Response(body=answer.message, content_type=MESSAGE, headers=said_of(answer))
        await room.resize(min(room.held, TIMES_ANSWER * len(answer.message)), 0)  # the caller may take its time
        return await sent_in_pieces(request, said_of(answer), [answer.message])

    async def _returned(self, request: web.Request, body: Incoming, room: Room) -> web.StreamResponse:
        """BODY as it came, which takes no more memory than itself."""
        try:
            await body.arrive(room, int, PATIENCE_FOR_RETURN, SLOWEST_MESSAGE)
        except NoRoom as error:
            raise Problem(error, {"Retry-After": "1"}) from None
        self._counter.rewrote(Reason.TOO_LARGE, {}, 0.0)
        return await sent_in_pieces(request, said_of(Answer(b"", Reason.TOO_LARGE)), body.chunks)

    def _need(self, octets: int) -> int:
        """The memory that it takes to work on a message of no more than OCTETS."""
        looked_at = min(octets, self._max_message)
        return max(TIMES_MESSAGE * looked_at, octets + TIMES_LOOKED_AT * looked_at)

    async def _envelope(self, request: web.Request) -> Envelope | Reason:
        """What the caller says about the copy; a reason when that cannot be told just now."""
        try:
            return envelope_of(request.headers, await self._caller(request))
        except (Problem, BadRequest):
            raise
        except Exception as error:
            # Without the store nobody's key is known: whoever it is gets their own bytes back, and mail flows.
            return _reason(error)

    async def _caller(self, request: web.Request) -> ApiKey:
        try:
            async with asyncio.timeout(PATIENCE_FOR_KEY):
                return await self._gate(request, Scope.REWRITE)
        except TimeoutError:
            raise StoreUnavailable from None

    async def _answer(self, envelope: Envelope | Reason, message: bytes) -> Answer:
        if isinstance(envelope, Reason):
            return Answer(message, envelope)
        patience = asyncio.timeout(self._patience)
        try:
            async with patience:
                return await self._sender.rewrite(envelope, message, self._clock())
        except BadRequest:
            raise
        except Exception as error:
            # A small message is surveyed here and at once: what it waits for is the store, each time not for too long.
            away = isinstance(error, TimeoutError) and patience.expired() and len(message) <= LARGE
            return Answer(message, _reason(StoreUnavailable().with_traceback(error.__traceback__) if away else error))


async def sent_in_pieces(request: web.Request, said: Mapping[str, str], parts: list[bytes]) -> web.StreamResponse:
    """The answer that consists of PARTS, written no faster than the caller reads; what was written is let go."""
    response = web.StreamResponse(headers={"Content-Type": MESSAGE, **said})
    response.content_length = sum(map(len, parts))
    await response.prepare(request)
    try:
        async with asyncio.timeout(SLOWEST_MESSAGE):
            parts.reverse()
            while parts:
                part = memoryview(parts.pop())
                for at in range(0, len(part), AT_ONCE):
                    await response.write(part[at : at + AT_ONCE])
            await response.write_eof()
    except (ConnectionError, TimeoutError):
        cut(request)  # the caller has gone, or reads nothing
    return response


def said_of(answer: Answer) -> dict[str, str]:
    """The Tracker-* headers for ANSWER."""
    said = {"Tracker-Foreign": _counts(_foreign(answer))} if answer.foreign else {}
    if answer.reason is not None:
        return {"Tracker-Outcome": "untouched", "Tracker-Reason": answer.reason, **said}
    said |= {
        "Tracker-Outcome": "tracked",
        "Tracker-Purposes": ", ".join(sorted(answer.purposes)),
        "Tracker-Links": f"{answer.links_tracked}/{answer.links_found}",
    }
    if answer.left:
        said["Tracker-Left"] = _counts(answer.left)
    if answer.signatures_removed:
        said["Tracker-Signatures-Removed"] = str(answer.signatures_removed)
    if answer.message_key is not None:
        said["Tracker-Message"] = answer.message_key.hex()
    return said


def _foreign(answer: Answer) -> dict[str, int]:
    """Other people's trackers that came with the copy, and how many of the pixels it has no longer."""
    removed = {"removed": answer.pixels_removed} if answer.pixels_removed else {}
    return {**answer.foreign, **removed}


def _counts(of: Mapping[Left, int] | Mapping[str, int]) -> str:
    return ", ".join(f"{what}={count}" for what, count in sorted(of.items()))


def _reason(error: Exception) -> Reason:
    away = isinstance(error, StoreUnavailable)
    _log.log(logging.WARNING if away else logging.ERROR, "a copy left untouched: %s", place(error))
    return Reason.STORE_UNAVAILABLE if away else Reason.ERROR
