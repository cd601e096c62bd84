"""The door for one message to many: JSON in, a line for each copy out, streamed in the order of the recipients.

The law: what is wrong with a call is said before its first line; after that every recipient has a line, and who
leaves in between leaves at most one chunk of copies recorded and not sent.
"""

from __future__ import annotations

import asyncio
import json
import logging
from binascii import Error as BadBase64
from binascii import a2b_base64, b2a_base64
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from datetime import datetime
from time import perf_counter
from typing import Final

from aiohttp import web

from tracker.doors.api_access import Gate
from tracker.doors.api_bodies import JSON, Incoming, check_body, parsed
from tracker.doors.api_headers import bound_owner, checked
from tracker.doors.api_rewrite import PATIENCE_FOR_KEY, CopyCounter
from tracker.doors.budget import Budget
from tracker.doors.schemas import BatchBody
from tracker.doors.server import cut, place
from tracker.flows.send import CHUNK, Addressee, Answer, Sender
from tracker.model import ApiKey, Envelope, InvalidField, Scope, StoreUnavailable

NDJSON: Final = "application/x-ndjson"
ROOM: Final = 4 * 2**20
"""Octets of a body beyond its message: 10,000 recipients, each with a long address and a reference."""
STALLED: Final = 60.0
"""Seconds for which a caller may read nothing."""
TIMES_BODY: Final = 7
"""The octets that a batch takes, in those of its body: its message surveyed, one copy, and that copy in base64.

Measured: up to 6.9."""
PATIENCE_FOR_ROOM: Final = 10.0
"""Seconds for there to be that much memory."""
SLOWEST_BODY: Final = 60.0
"""Seconds for a body to arrive."""
TURN: Final = 2**16
"""Octets after which other requests have their turn."""
_LOOK_AGAIN: Final = 0.002
"""Seconds between two looks at whether all that was written has been sent."""
_log = logging.getLogger("tracker.http")


class BatchDoor:
    """Answers `POST /v1/rewrite/batch`."""

    def __init__(
        self,
        sender: Sender,
        gate: Gate,
        counter: CopyCounter,
        clock: Callable[[], datetime],
        max_message: int,
        budget: Budget,
        stalled: float = STALLED,
    ) -> None:
        self._sender = sender
        self._gate = gate
        self._counter = counter
        self._clock = clock
        self._limit = (max_message + 2) // 3 * 4 + ROOM
        self._budget = budget
        self._stalled = stalled

    async def rewrite(self, request: web.Request) -> web.StreamResponse:
        """A line for each recipient: its address, the outcome, a reason when untouched, and the copy in base64.

        Raises Problem and what flows/send raises for a request that is not in order; nothing once a line has left.
        """
        key = await self._caller(request)
        check_body(request, JSON, self._limit)
        with self._budget.to_pass_on() as room:
            body = Incoming(request, JSON, self._limit)
            await body.arrive(room, lambda octets: TIMES_BODY * octets, PATIENCE_FOR_ROOM, SLOWEST_BODY)
            return await self._rewrite(request, body, key)

    async def _rewrite(self, request: web.Request, body: Incoming, key: ApiKey) -> web.StreamResponse:
        envelope, people, message = _understood(parsed(BatchBody, body.whole()), key)
        copies = await self._sender.batch(envelope, people, message, self._clock)
        response = web.StreamResponse(headers={"Content-Type": NDJSON})
        await response.prepare(request)
        try:
            async with aclosing(copies):
                await self._stream(request, response, people, copies, message)
        except (ConnectionError, TimeoutError):
            cut(request)  # the caller has gone, or reads nothing: the rest is neither looked up nor recorded
        except Exception as error:
            _log.error("a batch was cut short: %s", place(error))
            cut(request)
        return response

    async def _caller(self, request: web.Request) -> ApiKey:
        try:
            async with asyncio.timeout(PATIENCE_FOR_KEY):
                return await self._gate(request, Scope.REWRITE)
        except TimeoutError:
            raise StoreUnavailable from None

    async def _stream(
        self,
        request: web.Request,
        response: web.StreamResponse,
        people: Sequence[Addressee],
        copies: AsyncGenerator[Answer, None],
        message: bytes,
    ) -> None:
        as_it_came: bytes | None = None
        written = number = 0
        began = perf_counter()
        async for answer in copies:
            self._counter.rewrote(answer.reason, answer.left, perf_counter() - began)
            self._counter.foreign(answer.foreign, answer.pixels_removed)
            self._counter.unsigned(answer.signatures_removed)
            if answer.message is message:  # most copies, perhaps: encoded once
                encoded = as_it_came = as_it_came or _base64(message)
            else:
                encoded = _base64(answer.message)
            line = b'%b, "message": "%b"}\n' % (_said_of(people[number].address, answer), encoded)
            async with asyncio.timeout(self._stalled):
                await response.write(line)
                written += len(line)
                number += 1
                if number % CHUNK == 0:
                    await _sent(request)
                elif written > TURN:
                    written = 0
                    await asyncio.sleep(0)
            began = perf_counter()
        await response.write_eof()


def _understood(body: BatchBody, key: ApiKey) -> tuple[Envelope, list[Addressee], bytes]:
    """What BODY says, for whoever holds KEY. Raises InvalidField and ForeignOwner."""
    envelope = Envelope(
        recipient="",
        source=key.name,
        single=True,
        label=checked(body.label, "label"),
        campaign=checked(body.campaign, "campaign"),
        owner=bound_owner(checked(body.owner, "owner"), key, "owner"),
        language=body.language,
    )
    text = body.message
    if "\n" in text:  # wrapped, as many tools write it
        text = text.replace("\r", "").replace("\n", "")
    try:
        message = a2b_base64(text, strict_mode=True)
    except (BadBase64, ValueError):
        raise InvalidField("message needs base64 (RFC 4648, section 4)") from None
    return envelope, [Addressee(one.address, one.reference) for one in body.recipients], message


def _said_of(address: str, answer: Answer) -> bytes:
    """The beginning of a line, up to the message."""
    said: dict[str, str | int] = {
        "address": address,
        "outcome": "tracked" if answer.reason is None else "untouched",
    }
    if answer.reason is not None:
        said["reason"] = answer.reason
    if answer.pixels_removed:
        said["removed"] = answer.pixels_removed
    return json.dumps(said)[:-1].encode("ascii")


def _base64(message: bytes) -> bytes:
    return b2a_base64(message, newline=False)


async def _sent(request: web.Request) -> None:
    """Wait until all that was written has left this process. Raises ConnectionResetError when the caller has gone."""
    await asyncio.sleep(0)
    while (transport := request.transport) is not None and not transport.is_closing():
        if not isinstance(transport, asyncio.WriteTransport) or not transport.get_write_buffer_size():
            return
        await asyncio.sleep(_LOOK_AGAIN)
    raise ConnectionResetError
