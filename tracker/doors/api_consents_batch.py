"""The door for a nightly sync: a consent in each line, and an answer in a line for each, while the rest still comes.

The law: a line that is refused changes nothing for the others; what a caller does not read yet waits here, and is no
more than an answer for each of the lines that one call may hold.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Any, Final

from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError

from tracker.doors.api_access import Gate
from tracker.doors.api_batch import NDJSON, STALLED
from tracker.doors.api_bodies import LARGEST_JSON, body_chunks, check_body, go_on, parsed
from tracker.doors.api_consents import reported_consent, said_of
from tracker.doors.api_problems import TYPE
from tracker.doors.schemas import ConsentBody
from tracker.doors.server import cut, place
from tracker.flows.bulk import CHUNK, Bulk, Line, Result
from tracker.flows.recording import Outcome
from tracker.model import BadRequest, Scope, StoreUnavailable, TrackerError

MOST_LINES: Final = 100_000
LARGEST_BATCH: Final = 256 * 2**20
"""Octets."""
_log = logging.getLogger("tracker.http")

Numbered = tuple[int, Line]
"""A line's number in the body, and what stands there."""


class ConsentsBatchDoor:
    """Answers `POST /v1/consents/batch`."""

    def __init__(self, bulk: Bulk, gate: Gate, clock: Callable[[], datetime], stalled: float = STALLED) -> None:
        self._bulk = bulk
        self._gate = gate
        self._clock = clock
        self._stalled = stalled

    async def record(self, request: web.Request) -> web.StreamResponse:
        """A line for each that holds anything, with its number: state and last day, or a problem.

        Raises Problem for a request that is not in order; nothing once the answer has begun.
        """
        key = await self._gate(request, Scope.CONSENT)
        check_body(request, NDJSON, LARGEST_BATCH)
        await go_on(request)
        response = web.StreamResponse(headers={"Content-Type": NDJSON})
        await response.prepare(request)
        # Answers leave on their own: a caller may send all it has before it reads any, and must not wait for us then.
        answers: asyncio.Queue[bytes | None] = asyncio.Queue()
        writer = asyncio.create_task(_write(response, answers))
        try:
            whole = await self._work(request, key.name, answers)
            answers.put_nowait(None)
            await self._written(writer, answers)
            if not whole:
                response.force_close()  # what is still on its way is not read
            await response.write_eof()
        except (ConnectionError, TimeoutError, ClientPayloadError, HttpProcessingError, web.RequestPayloadError):
            cut(request)  # the caller has gone, or reads nothing: lines that were answered stay recorded
        except Exception as error:
            _log.error("a batch was cut short: %s", place(error))
            cut(request)
        finally:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
        return response

    async def _work(self, request: web.Request, actor: str, answers: asyncio.Queue[bytes | None]) -> bool:
        """Record what REQUEST brings, as it comes; whether all of it was read."""
        away = False
        async for lines in _lines(request, actor):
            for begin in range(0, len(lines), CHUNK):
                chunk = lines[begin : begin + CHUNK]
                results: Sequence[Result] = [StoreUnavailable()] * len(chunk)
                if not away:  # once it is, the rest does not wait for it line by line
                    try:
                        results = await self._bulk.record([line for _, line in chunk], self._clock())
                    except StoreUnavailable:
                        away = True
                answers.put_nowait(
                    b"".join(_answer(number, result) for (number, _), result in zip(chunk, results, strict=True))
                )
        return request.content.at_eof()

    async def _written(self, writer: asyncio.Task[None], answers: asyncio.Queue[bytes | None]) -> None:
        """Wait until all answers have left. Raises what the writer met, TimeoutError when nothing is read any more."""
        while not writer.done():
            before = answers.qsize()
            await asyncio.wait({writer}, timeout=self._stalled)
            if not writer.done() and answers.qsize() == before:
                raise TimeoutError
        await writer


async def _write(response: web.StreamResponse, answers: asyncio.Queue[bytes | None]) -> None:
    while (answer := await answers.get()) is not None:
        await response.write(answer)


async def _lines(request: web.Request, actor: str) -> AsyncIterator[list[Numbered]]:
    """The lines of REQUEST, as many at a time as have come; none after the first that is one too many or too far."""
    number = size = 0
    rest = b""
    too_long = False
    async for chunk in body_chunks(request):
        size += len(chunk)
        if size > LARGEST_BATCH:  # one that names no length is not known to be too large before
            yield [
                (number + 1, BadRequest(f"at most {LARGEST_BATCH} octets; this line and what follows were not read"))
            ]
            return
        *whole, rest = (rest + chunk).split(b"\n")
        lines: list[Numbered] = []
        for text in whole:
            number += 1
            if too_long or text.strip():
                lines.append((number, _line(b"" if too_long else text, actor, number)))
            too_long = False
            if lines and lines[-1][0] > MOST_LINES:
                break
        if len(rest) > LARGEST_JSON:
            rest, too_long = b"", True
        yield lines
        if lines and lines[-1][0] > MOST_LINES:
            return
    if too_long or rest.strip():
        yield [(number + 1, _line(b"" if too_long else rest, actor, number + 1))]


def _line(text: bytes, actor: str, number: int) -> Line:
    """What TEXT, which is empty for a line that was too long to be kept, reports."""
    if number > MOST_LINES:
        return BadRequest(f"at most {MOST_LINES} lines; this one and what follows were not read")
    if not text or len(text) > LARGEST_JSON:
        return BadRequest(f"at most {LARGEST_JSON} octets in a line")
    try:
        body = parsed(ConsentBody, text)
    except BadRequest as error:
        return error
    return reported_consent(body, actor, requested=body.requested)


def _answer(number: int, result: Result) -> bytes:
    said: dict[str, Any] = {"line": number}
    if isinstance(result, Outcome):
        said |= said_of(result.answer)
        if result.mail is not None and result.phone is not None:
            said["phone"] = said_of(result.phone)
    else:
        said |= problem_of(result)
    return json.dumps(said, separators=(",", ":")).encode("ascii") + b"\n"


def problem_of(error: TrackerError) -> dict[str, Any]:
    """ERROR in a line: what happened; what it means and what to do are the same for each of its kind."""
    said = {"type": TYPE + error.slug, "status": error.status, "title": error.title, "detail": error.detail}
    return {name: value for name, value in said.items() if value}
