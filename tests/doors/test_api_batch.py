"""POST /v1/rewrite/batch at its door: what is refused before the first line, and how lines are streamed."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import pytest

from tests.doors.api_fakes import CANARY, MAX_MESSAGE, Api, Reply
from tests.doors.wire import serving
from tracker.doors import api_batch
from tracker.doors.schemas import MOST_COPIES
from tracker.flows.send import CHUNK, Addressee, Answer
from tracker.model import Envelope, InvalidAddress, Language, Purpose, Reason

UNKNOWN = "has an unknown field; known are"
MESSAGE = b"From: a@b.example\r\n\r\nGr\xc3\xbc\xc3\x9fe"


def encoded(message: bytes = MESSAGE) -> str:
    return base64.b64encode(message).decode()


def body(*people: str, **more: object) -> dict[str, object]:
    return {"message": encoded(), "recipients": [{"address": one} for one in people or (CANARY,)], **more}


class Batches:
    """A sender's `batch` that answers what it is told to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Envelope, Sequence[Addressee], bytes]] = []
        self.error: Exception | None = None
        self.fails_at = -1
        self.made = 0
        self.ended = asyncio.Event()
        self.reply: Callable[[bytes], Answer] = lambda message: Answer(message, Reason.NO_GRANT)

    async def __call__(
        self, envelope: Envelope, people: Sequence[Addressee], message: bytes, clock: Callable[[], datetime]
    ) -> AsyncGenerator[Answer, None]:
        self.asked.append((envelope, people, message))
        if self.error:
            raise self.error
        return self._answers(people, message)

    async def _answers(self, people: Sequence[Addressee], message: bytes) -> AsyncGenerator[Answer, None]:
        try:
            for _ in people:
                if self.made == self.fails_at:
                    raise RuntimeError(CANARY)
                self.made += 1
                yield self.reply(message)
        finally:
            self.ended.set()


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with Api() as made:
        made.sender.batch = Batches()  # type: ignore[method-assign]
        yield made


def batches(api: Api) -> Batches:
    found: Any = api.sender.batch
    assert isinstance(found, Batches)
    return found


async def ask(api: Api, json: object, key: str | None = "all") -> Reply:
    return await api.ask("POST", "/v1/rewrite/batch", json=json, key=key)


def lines(reply: Reply) -> list[dict[str, str]]:
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "application/x-ndjson"
    return [json.loads(line) for line in reply.body.splitlines()]


async def test_a_line_for_each_recipient_in_order(api: Api) -> None:
    batches(api).reply = lambda message: (
        Answer(message, Reason.NO_GRANT)
        if batches(api).made % 2
        else Answer(message + b"tracked", None, frozenset({Purpose.OPEN}))
    )
    told = lines(await ask(api, body("a@b.example", "\u00e4@b.example", "c@b.example")))
    assert told == [
        {"address": "a@b.example", "outcome": "untouched", "reason": "no-grant", "message": encoded()},
        {"address": "\u00e4@b.example", "outcome": "tracked", "message": encoded(MESSAGE + b"tracked")},
        {"address": "c@b.example", "outcome": "untouched", "reason": "no-grant", "message": encoded()},
    ]
    assert [reason for reason, _ in api.meter.copies] == [Reason.NO_GRANT, None, Reason.NO_GRANT]


async def test_a_line_says_how_many_of_other_peoples_pixels_were_removed(api: Api) -> None:
    found = {"pixel": 1}
    batches(api).reply = lambda message: Answer(b"less", Reason.NO_GRANT, foreign=found, pixels_removed=1)
    (told,) = lines(await ask(api, body("a@b.example")))
    reason = {"outcome": "untouched", "reason": "no-grant", "removed": 1}
    assert told == {"address": "a@b.example", **reason, "message": encoded(b"less")}
    assert (api.meter.trackers, api.meter.removed) == (found, 1)


async def test_what_is_said_of_all_copies_reaches_the_flow(api: Api) -> None:
    people = [{"address": CANARY, "reference": "crm:1"}, {"address": "b@b.example"}]
    said = {"label": " Autumn ", "campaign": "c-1", "owner": "jonas", "language": "fr"}
    await ask(api, {"message": encoded(), "recipients": people, **said})
    ((envelope, persons, message),) = batches(api).asked
    assert envelope == Envelope("", "crm", True, "Autumn", "c-1", None, "jonas", Language.FR)
    assert persons == [Addressee(CANARY, "crm:1"), Addressee("b@b.example")]
    assert message == MESSAGE


async def test_wrapped_base64_is_read_too(api: Api) -> None:
    await ask(api, body(message=base64.encodebytes(b"x" * 300).decode().replace("\n", "\r\n")))
    assert batches(api).asked[0][2] == b"x" * 300


async def test_a_key_made_for_one_owner_allows_no_other(api: Api) -> None:
    await ask(api, body(), key="anna")
    assert batches(api).asked[0][0].owner == "Anna@sales.example"
    reply = await ask(api, body(owner="jonas"), key="anna")
    assert (reply.status, reply.slug) == (403, "foreign-owner")


@pytest.mark.parametrize(("key", "status"), [(None, 401), ("unknown", 401), ("consent", 403), ("rewrite", 200)])
async def test_only_who_may_rewrite(api: Api, key: str | None, status: int) -> None:
    assert (await ask(api, body(), key=key)).status == status


@pytest.mark.parametrize(
    ("wrong", "detail"),
    [
        ([], "the body needs a JSON object"),
        ({}, "message is missing; recipients is missing"),
        (body(message=None), "message needs a text"),
        (body(message="!!!!"), "message needs base64 (RFC 4648, section 4)"),
        (body(message="QUJD-_=="), "message needs base64 (RFC 4648, section 4)"),
        (body(message="\u00e4"), "message needs base64 (RFC 4648, section 4)"),
        (body(recipients=[]), "recipients is empty"),
        (body(recipients=[CANARY]), "recipients.0 needs a JSON object"),
        (body(recipients=[{"address": "a@b.example"}, {"reference": "r"}]), "recipients.1.address is missing"),
        (body(recipients=[{"address": "x", CANARY: 1}]), f"recipients.0 {UNKNOWN} address, reference"),
        (body(recipients=[{"address": "a"}] * (MOST_COPIES + 1)), "recipients holds more than 10000"),
        (body(label="a\nb"), "label: control characters"),
        (body(campaign="x" * 201), "campaign: more than 200 characters"),
        (body(language="es"), "language needs 'de', 'en', 'fr' or 'it'"),
        (body(single=True), f"the body {UNKNOWN} message, recipients, label, campaign, owner, language"),
    ],
)
async def test_a_body_at_fault_is_refused_and_says_where(api: Api, wrong: object, detail: str) -> None:
    reply = await ask(api, wrong)
    assert (reply.status, reply.slug) == (422, "invalid-field")
    assert reply.json["detail"] == detail
    assert not batches(api).asked


async def test_what_the_flow_refuses_is_a_problem_before_the_first_line(api: Api) -> None:
    batches(api).error = InvalidAddress("recipients.17.address")
    reply = await ask(api, body())
    assert (reply.status, reply.slug, reply.json["detail"]) == (422, "invalid-address", "recipients.17.address")


async def test_other_content_and_other_methods_are_refused(api: Api) -> None:
    reply = await api.ask("POST", "/v1/rewrite/batch", b"x", Content_Type="message/rfc822")
    assert (reply.status, reply.slug) == (415, "wrong-content-type")
    reply = await api.ask("POST", "/v1/rewrite/batch", b"{", Content_Type="application/json")
    assert (reply.status, reply.slug) == (400, "bad-json")
    assert (await api.ask("GET", "/v1/rewrite/batch")).status == 405


async def test_a_body_over_its_limit_is_refused(api: Api) -> None:
    at_most = (MAX_MESSAGE + 2) // 3 * 4 + api_batch.ROOM
    reply = await api.ask(
        "POST", "/v1/rewrite/batch", io.BytesIO(b" " * (at_most + 1)), Content_Type="application/json"
    )
    assert (reply.status, reply.slug) == (413, "body-too-large")


async def test_ten_thousand_long_addresses_fit(api: Api) -> None:
    people = [{"address": f"{number:0>200}@b.example", "reference": "r" * 64} for number in range(MOST_COPIES)]
    content = io.BytesIO(json.dumps({"message": encoded(), "recipients": people}).encode())
    reply = await api.ask("POST", "/v1/rewrite/batch", content, Content_Type="application/json")
    assert len(lines(reply)) == MOST_COPIES


async def test_a_fault_in_between_cuts_the_answer_so_that_nobody_takes_it_for_a_whole_one(api: Api) -> None:
    batches(api).fails_at = 2
    async with serving(api.app) as wire:
        content = json.dumps(body(*[CANARY] * 5)).encode()
        answer = await wire.post(
            "/v1/rewrite/batch", content, content_type="application/json", authorization="Bearer all"
        )
    assert not answer.raw.endswith(b"0\r\n\r\n")
    assert "batch was cut short: RuntimeError" in "\n".join(api.log.lines)


def door_of(api: Api) -> api_batch.BatchDoor:
    handlers: list[Any] = [route.handler for route in api.app.router.routes()]
    owners = (getattr(handler, "__self__", None) for handler in handlers)
    return next(owner for owner in owners if isinstance(owner, api_batch.BatchDoor))


@asynccontextmanager
async def asking(port: int, content: bytes) -> AsyncIterator[asyncio.StreamReader]:
    """A caller that has sent a batch and reads the answer as it pleases."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**16)
    fields = "Host: x\r\nAuthorization: Bearer all\r\nContent-Type: application/json"
    writer.write(f"POST /v1/rewrite/batch HTTP/1.1\r\n{fields}\r\nContent-Length: {len(content)}\r\n\r\n".encode())
    writer.write(content)
    await writer.drain()
    try:
        yield reader
    finally:
        writer.transport.abort()


async def test_who_leaves_stops_the_work(api: Api) -> None:
    batches(api).reply = lambda message: Answer(b"x" * 20_000, None)
    content = json.dumps(body(*[CANARY] * 5_000)).encode()
    async with serving(api.app) as wire:
        async with asking(wire.port, content) as reader:
            await reader.readexactly(100_000)
        await asyncio.wait_for(batches(api).ended.wait(), 10)
    assert batches(api).made < 3 * CHUNK


async def test_who_reads_nothing_is_cut_off(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_of(api), "_stalled", 0.1)
    batches(api).reply = lambda message: Answer(b"x" * 20_000, None)
    content = json.dumps(body(*[CANARY] * 5_000)).encode()
    async with serving(api.app) as wire, asking(wire.port, content):
        await asyncio.wait_for(batches(api).ended.wait(), 10)
    assert batches(api).made < 3 * CHUNK
