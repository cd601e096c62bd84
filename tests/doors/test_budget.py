"""Bodies take no more memory than there is for them; mail goes back unchanged where none is left to work on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import pytest

from tests.doors.api_fakes import CANARY, MAX_MESSAGE, Api
from tracker.doors.budget import Budget, Tally
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
    async with Api(bodies_in_flight=12 * MAX_MESSAGE) as api:
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
    slow = [await connect(api) for _ in range(4)]
    for _, writer in slow:  # take what is left
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
    assert api.budget.held == 0


async def test_what_came_of_a_message_is_counted_when_there_is_no_room_for_the_rest(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its length is not said: it is let in for little, and goes back as it came when it is more."""
    monkeypatch.setattr("tracker.doors.api_bodies.FIRST", 100)
    connection = await connect(api)
    connection[1].write(head(CHUNKED) + b"1\r\nx\r\n")
    await until(lambda: api.budget.held > 0)
    with api.budget.to_pass_on() as others:
        await others.resize(api.budget.octets - api.budget.held, 0)
        connection[1].write(b"%x\r\n%b\r\n" % (299, b"y" * 299))
        await until(lambda: api.budget.held < api.budget.octets)
        assert api.budget.held - others.held == 300
        connection[1].write(b"0\r\n\r\n")
        answer = await connection[0].readuntil(b"yyy")
    assert b"Tracker-Reason: too-large" in answer
    connection[1].close()


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0)


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
    with suppress(ValueError), budget.to_pass_on() as room:
        await room.resize(80, 0)
        raise ValueError
    assert budget.held == 0
    with budget.to_pass_on() as room:
        await room.resize(100, 0)
        waiting = asyncio.create_task(budget.take(50, budget.alone, 10))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert budget.held == 0
    with budget.to_pass_on() as room:
        await room.resize(100, 0)
        waiting = asyncio.create_task(budget.take(50, budget.alone, 10))
        await asyncio.sleep(0)
        await room.resize(20, 0)
        assert budget.held == 70, "the turn has come"
        waiting.cancel()  # and is not taken any more
        await asyncio.gather(waiting, return_exceptions=True)
        assert budget.held == 20


async def test_small_bodies_pass_by_large_ones_that_wait() -> None:
    budget = Budget(100)
    with budget.to_pass_on() as first, budget.to_pass_on() as waiting, budget.to_pass_on() as small:
        await first.resize(60, 0)
        turn = asyncio.create_task(waiting.resize(70, 10))
        await asyncio.sleep(0)
        await small.resize(20, 0)
        assert not turn.done()
        await first.resize(0, 0)
        await small.resize(0, 0)
        await turn
        assert budget.held == 70


async def test_a_body_is_never_let_in_for_less_than_it_needs() -> None:
    """Where it can be given back it is not worked on at all, and nobody waits for what cannot be."""
    budget = Budget(100)
    with budget.to_work() as room:
        with pytest.raises(NoRoom):
            await room.resize(81, 1_000)
        assert budget.held == 0
        room.widen()
        await room.resize(81, 0)
        assert budget.held == 81


async def test_a_fifth_is_left_for_what_only_has_to_be_given_back() -> None:
    budget = Budget(100)
    with budget.to_work() as one, budget.to_pass_on() as other, budget.to_work() as returned:
        await one.resize(50, 0)
        await other.resize(30, 0)
        for full in (one, other):
            with pytest.raises(NoRoom):
                await full.resize(full.held + 1, 0.01)
        returned.widen()
        await returned.resize(14, 0)
        with pytest.raises(NoRoom):
            await returned.resize(15, 0.01)
        assert budget.held == 94


async def test_what_is_given_back_takes_all_that_nobody_works_with_but_leaves_some_for_small_bodies() -> None:
    budget = Budget(100)
    with budget.to_work() as returned, budget.to_work() as small, budget.to_work() as waiting:
        await returned.resize(50, 0)
        returned.widen()
        await returned.resize(94, 0)
        await small.resize(6, 0)
        assert budget.held == 100
        turn = asyncio.create_task(waiting.resize(60, 10))
        await asyncio.sleep(0)
        await returned.resize(34, 0)
        await turn
        assert budget.held == 100


async def test_what_must_be_passed_on_and_needs_more_than_there_is_waits_until_it_is_alone() -> None:
    budget = Budget(100)
    with budget.to_work() as small, budget.to_pass_on() as large:
        await small.resize(1, 0)
        with pytest.raises(NoRoom):
            await large.resize(1_000, 0.01)
        turn = asyncio.create_task(large.resize(1_000, 10))
        await asyncio.sleep(0)
        await small.resize(0, 0)
        await turn
        assert (large.held, budget.held) == (100, 100)
        with pytest.raises(NoRoom):
            await small.resize(1, 0.01)


async def test_the_processes_of_a_server_share_what_there_is() -> None:
    """And whoever waits in one finds out when another gives something back."""
    places = [0] * 4
    one, other = (Budget(100, Tally(places, place)) for place in (0, 1))
    with one.to_work() as first, other.to_work() as second:
        await first.resize(60, 0)
        assert (one.held, other.held) == (60, 60)
        with pytest.raises(NoRoom):
            await second.resize(21, 0.01)
        turn = asyncio.create_task(second.resize(40, 10))
        await asyncio.sleep(0)
        await first.resize(10, 0)
        await turn
        assert places == [10, 0, 40, 0]
    assert places == [0, 0, 0, 0]
