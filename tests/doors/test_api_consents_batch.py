"""A nightly sync: each line has an answer of its own, with its number and without a word of what was sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.doors.api_fakes import CANARY, Api
from tests.doors.test_api_consents import BODY, changed
from tracker.doors import api_consents_batch
from tracker.flows.consent import ReportedConsent
from tracker.flows.recording import Outcome
from tracker.model import ConsentState, Day, StoreUnavailable, Suppressed

NDJSON = "application/x-ndjson"
PATH = "/v1/consents/batch"


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with Api() as api:
        yield api


async def sync(api: Api, body: Any) -> list[dict[str, Any]]:
    reply = await api.ask("POST", PATH, body, Content_Type=NDJSON)
    assert (reply.status, reply.headers["Content-Type"]) == (200, NDJSON)
    assert CANARY not in reply.body.decode()
    return [json.loads(line) for line in reply.body.splitlines()]


def lines(*bodies: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(body).encode() + b"\n" for body in bodies)


async def test_each_line_is_a_report_of_this_key(api: Api) -> None:
    told = await sync(api, lines(changed(address=CANARY, reference="1"), BODY))
    assert told == [{"line": number, "state": "live", "until": "2027-07-01"} for number in (1, 2)]
    first, second = (line for lines in api.bulk.asked for line in lines)
    assert isinstance(first, ReportedConsent)
    assert (first.address, first.reference, first.actor) == (CANARY, "1", "crm")
    assert second.address == "anna@example.org"


async def test_what_became_of_mail_and_of_calls_is_told_apart(api: Api) -> None:
    api.bulk.result = lambda line: Outcome((ConsentState.PENDING, Day(20_000)), (ConsentState.WITHDRAWN, None))
    assert await sync(api, lines(BODY)) == [
        {"line": 1, "state": "pending", "until": "2024-10-04", "phone": {"state": "withdrawn", "until": None}}
    ]


async def test_a_malformed_line_gets_an_error_of_its_own_and_changes_nothing(api: Api) -> None:
    bad = [
        b"{",
        b"\xff",
        json.dumps(changed(purposes=[])).encode(),
        json.dumps(changed(**{CANARY: 1})).encode(),
        b"[]",
        json.dumps(changed(address="x" * 70_000)).encode(),
    ]
    told = await sync(api, lines(BODY) + b"\n".join(bad) + b"\n\r\n" + lines(BODY).rstrip())
    assert [(one["line"], one.get("state"), one.get("status")) for one in told] == [
        (1, "live", None),
        (2, None, 400),
        (3, None, 400),
        (4, None, 422),
        (5, None, 422),
        (6, None, 422),
        (7, None, 400),
        (9, "live", None),
    ]
    assert told[3]["detail"] == "purposes needs one or both of open, click"
    assert told[6]["detail"] == "at most 65536 octets in a line"
    reports = [line for lines in api.bulk.asked for line in lines if isinstance(line, ReportedConsent)]
    assert len(reports) == 2


async def test_a_refusal_of_the_flow_is_a_problem_in_its_line(api: Api) -> None:
    api.bulk.result = lambda line: Suppressed("purposes")
    assert await sync(api, lines(BODY)) == [
        {
            "line": 1,
            "type": "urn:tracker:problem:suppressed",
            "status": 409,
            "title": "The person said no.",
            "detail": "purposes",
        }
    ]


async def test_when_the_store_goes_away_every_line_is_told_so(api: Api) -> None:
    api.bulk.error = StoreUnavailable()
    told = await sync(api, lines(*[BODY] * 600))
    assert {(one["status"], one["type"]) for one in told} == {(503, "urn:tracker:problem:store-unavailable")}
    assert len(told) == 600
    assert len(api.bulk.asked) == 1, "the rest does not wait for it again"


async def test_more_lines_than_a_call_may_hold_are_not_read(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_consents_batch, "MOST_LINES", 3)
    assert [one["line"] for one in await sync(api, lines(*[BODY] * 3) + b"\n\n")] == [1, 2, 3]
    told = await sync(api, lines(*[BODY] * 9))
    assert [one["line"] for one in told] == [1, 2, 3, 4]
    assert told[3]["detail"].startswith("at most 3 lines")


@pytest.mark.parametrize("piece", [b"\n" * 4_000, b"x" * 4_000], ids=["blank lines", "one line"])
async def test_a_body_without_a_length_is_not_read_for_ever(
    api: Api, monkeypatch: pytest.MonkeyPatch, piece: bytes
) -> None:
    monkeypatch.setattr(api_consents_batch, "LARGEST_BATCH", 50_000)
    gone = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield lines(BODY)
        while not gone.is_set():
            yield piece
            await asyncio.sleep(0)

    headers = {"Authorization": "Bearer all", "Content-Type": NDJSON}
    async with asyncio.timeout(20), api.client.post(PATH, data=body(), headers=headers) as response:
        first, last = [json.loads(line) for line in (await response.read()).splitlines()]
        gone.set()
    assert first["state"] == "live"
    assert last["detail"].startswith("at most 50000 octets")


async def test_answers_come_while_the_caller_still_sends(api: Api) -> None:
    """A caller may wait for the answer to one line before it sends the next."""
    answered = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield lines(BODY)
        await answered.wait()
        yield lines(BODY)

    headers = {"Authorization": "Bearer all", "Content-Type": NDJSON}
    async with api.client.post(PATH, data=body(), headers=headers) as response:
        assert json.loads(await response.content.readline())["line"] == 1
        answered.set()
        assert json.loads(await response.content.readline())["line"] == 2
        assert await response.read() == b""


async def test_a_line_may_come_in_any_pieces(api: Api) -> None:
    async def body() -> AsyncIterator[bytes]:
        for octet in lines(BODY, BODY):
            yield bytes([octet])

    assert [one["line"] for one in await sync(api, body())] == [1, 2]


async def test_a_caller_that_goes_away_ends_the_work(api: Api) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield lines(BODY)
        raise ConnectionResetError

    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever the client makes of its own fault
        await api.client.post(PATH, data=body(), headers={"Authorization": "Bearer all", "Content-Type": NDJSON})
    assert (await sync(api, lines(BODY)))[0]["state"] == "live", "the server goes on"


@pytest.mark.parametrize("content_type", ["application/json", "text/plain"])
async def test_another_content_type_is_refused(api: Api, content_type: str) -> None:
    reply = await api.ask("POST", PATH, lines(BODY), Content_Type=content_type)
    assert (reply.status, reply.slug, reply.json["detail"]) == (415, "wrong-content-type", NDJSON)


@pytest.mark.parametrize(("key", "status"), [(None, 401), ("rewrite", 403), ("consent", 200)])
async def test_only_a_key_for_consent_may_report(api: Api, key: str | None, status: int) -> None:
    assert (await api.ask("POST", PATH, lines(BODY), key=key, Content_Type=NDJSON)).status == status


async def test_an_empty_body_has_an_empty_answer(api: Api) -> None:
    assert await sync(api, b"\n") == []
