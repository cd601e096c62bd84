"""Bodies take no more memory than there is for them; mail goes back unchanged where none is left to work on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from tests.doors.api_fakes import CANARY, MAX_MESSAGE, Api
from tracker.doors.budget import Budget
from tracker.model import NoRoom

HEAD = (
    "POST /v1/rewrite{batch} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer all\r\nConnection: close\r\n"
    f"Content-Type: {{kind}}\r\nTracker-Recipient: {CANARY}\r\n{{length}}\r\n\r\n"
)
LENGTH, CHUNKED = "Content-Length: {}", "Transfer-Encoding: chunked"


@pytest.fixture
async def api(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    """With room for one message of MAX_MESSAGE, which nobody waits for for long."""
    for module, name, seconds in (
        ("api_rewrite", "PATIENCE_FOR_ROOM", 0.02),
        ("api_rewrite", "PATIENCE_FOR_RETURN", 0.1),
        ("api_rewrite", "SLOWEST_MESSAGE", 0.5),
        ("api_batch", "PATIENCE_FOR_ROOM", 0.02),
        ("api_batch", "SLOWEST_BODY", 0.5),
        ("api_bodies", "SLOWEST", 0.2),
    ):
        monkeypatch.setattr(f"tracker.doors.{module}.{name}", seconds)
    async with Api(bodies_in_flight=10 * MAX_MESSAGE) as api:
        yield api


def head(length: str, *, kind: str = "message/rfc822", batch: str = "") -> bytes:
    return HEAD.format(length=length, kind=kind, batch=batch).encode()


async def connect(api: Api) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    assert api.client.port is not None
    return await asyncio.open_connection("127.0.0.1", api.client.port)


async def ended(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> bytes:
    reader, writer = connection
    answer = await reader.readuntil(b"}")
    writer.close()
    await writer.wait_closed()
    return answer


async def busy(api: Api) -> tuple[asyncio.Event, asyncio.Task[object]]:
    """A message that takes all the room there is to work on one, until the event."""
    go_on, arrived = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        arrived.set()
        await go_on.wait()

    api.sender.wait = wait
    task: asyncio.Task[object] = asyncio.create_task(api.rewrite(b"x" * MAX_MESSAGE))
    await arrived.wait()
    api.sender.wait = None
    return go_on, task


@pytest.mark.parametrize("chunked", [False, True])
async def test_beyond_the_budget_mail_comes_back_as_it_is(api: Api, chunked: bool) -> None:
    go_on, first = await busy(api)
    message = b"Subject: y\r\n\r\n" + b"y" * 700
    if chunked:

        async def pieces() -> AsyncIterator[bytes]:
            for at in range(0, len(message), 100):
                yield message[at : at + 100]
                await asyncio.sleep(0)

        reply = await api.rewrite(pieces())  # type: ignore[arg-type]
    else:
        reply = await api.rewrite(message)
    assert (reply.status, reply.body) == (200, message)
    assert (reply.headers["Tracker-Outcome"], reply.headers["Tracker-Reason"]) == ("untouched", "too-large")
    go_on.set()
    await first
    assert (await api.rewrite(message)).headers["Tracker-Reason"] == "no-grant", "there is room again"


async def test_where_it_cannot_even_be_given_back_the_caller_is_told_at_once_to_send_it(api: Api) -> None:
    go_on, first = await busy(api)
    slow = [await connect(api) for _ in range(5)]
    for _, writer in slow:  # take the other half
        writer.write(head(LENGTH.format(MAX_MESSAGE)) + b"x")
    await asyncio.sleep(0.05)
    reply = await api.rewrite(b"z" * MAX_MESSAGE)
    assert (reply.status, reply.slug, reply.headers["Retry-After"]) == (503, "no-room", "1")
    assert "as you have it" in reply.json["remedy"]
    for connection in slow:
        assert b" 408 " in (await ended(connection)).splitlines()[0]
    go_on.set()
    await first
    assert (await api.rewrite(b"z" * MAX_MESSAGE)).headers["Tracker-Reason"] == "no-grant"


@pytest.mark.parametrize(
    ("kind", "batch"), [("message/rfc822", ""), ("application/json", "/batch"), ("application/json", "/../consents")]
)
@pytest.mark.parametrize("length", [LENGTH.format(100), CHUNKED])
async def test_a_body_that_does_not_arrive_is_not_waited_for(api: Api, kind: str, batch: str, length: str) -> None:
    connection = await connect(api)
    path = head(length, kind=kind, batch=batch).replace(b"/v1/rewrite/../consents", b"/v1/consents")
    connection[1].write(path + (b"1\r\nx\r\n" if length == CHUNKED else b"x"))
    answer = await ended(connection)
    assert b" 408 " in answer.splitlines()[0]
    assert b"body-too-slow" in answer


async def test_a_batch_waits_for_room_and_is_told_when_there_is_none(api: Api) -> None:
    go_on, first = await busy(api)
    body = {"message": "QQ==" * 300, "recipients": [{"address": CANARY}]}
    reply = await api.ask("POST", "/v1/rewrite/batch", json=body)
    assert (reply.status, reply.slug) == (503, "no-room")
    go_on.set()
    await first


async def test_who_leaves_or_fails_gives_back_what_was_taken() -> None:
    budget = Budget(100)
    with suppress(ValueError), budget.room() as room:
        await room.resize(80, 0)
        raise ValueError
    assert budget.held == 0
    with budget.room() as room:
        await room.resize(100, 0)
        waiting = asyncio.create_task(budget.take(50, 10))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert budget.held == 0
    with budget.room() as room:
        await room.resize(100, 0)
        waiting = asyncio.create_task(budget.take(50, 10))
        await asyncio.sleep(0)
        await room.resize(20, 0)
        assert budget.held == 70, "the turn has come"
        waiting.cancel()  # and is not taken any more
        await asyncio.gather(waiting, return_exceptions=True)
        assert budget.held == 20


async def test_a_body_larger_than_the_budget_is_let_in_alone_and_small_ones_pass_by_large_ones_that_wait() -> None:
    budget = Budget(100)
    with budget.room() as large:
        await large.resize(1_000, 0)
        assert (large.held, budget.held) == (100, 100)
        with budget.room() as other, pytest.raises(NoRoom):
            await other.resize(1, 0.01)
        await large.resize(60, 0)
        with budget.room() as waiting, budget.room() as small:
            turn = asyncio.create_task(waiting.resize(90, 10))
            await asyncio.sleep(0)
            await small.resize(40, 0)
            assert not turn.done()
            await large.resize(0, 0)
            await small.resize(0, 0)
            await turn
            assert budget.held == 90
