"""A door that hands over, or stops, ends what was begun; who is sent away is told so, and nobody is served twice."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.certificate import Certificate
from tests.doors.smtp.conftest import Proxies, Proxy, answer_of, mail
from tracker.doors.smtp import office
from tracker.doors.smtp.session import SmtpSession

BEGIN = (b"EHLO c\r\n", b"MAIL FROM:<a@b.example>\r\n", b"RCPT TO:<anna@example.org>\r\n", b"DATA\r\n")
END = b".\r\n"
LONG, SHORT = 60.0, 0.1
BYE = b"421 4.3.2 Closing; please try again in a moment\r\n"


class Client:
    """One that says things and hears the answers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def tell(self, octets: bytes) -> None:
        self._writer.write(octets)

    async def hear(self) -> bytes:
        return await asyncio.wait_for(answer_of(self._reader), 20)

    async def say(self, *lines: bytes) -> bytes:
        """The answer to the last of LINES."""
        said = b""
        for line in lines:
            self.tell(line)
            said = await self.hear()
        return said

    async def rest(self) -> bytes:
        """What comes until the other side closes."""
        return await asyncio.wait_for(self._reader.read(), 20)


@asynccontextmanager
async def client(proxy: Proxy) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    await reader.readline()
    try:
        yield Client(reader, writer)
    finally:
        writer.close()


@pytest.fixture(autouse=True)
def nobody_arrives_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has its clients before it hands over."""
    monkeypatch.setattr(office, "ARRIVING", 0.0)


@asynccontextmanager
async def handing_over(proxy: Proxy, seconds: float) -> AsyncIterator[asyncio.Task[None]]:
    """While PROXY hands over, for so many SECONDS; at the end that is waited for."""
    going = asyncio.create_task(proxy.door.hand_over(seconds))
    await asyncio.sleep(0)  # it has begun
    yield going
    await asyncio.wait_for(going, 20)


def taken(proxy: Proxy) -> list[bytes]:
    return [one.below_received for one in proxy.sink.taken]


@pytest.mark.parametrize("before", range(1, len(BEGIN) + 1))
async def test_a_transaction_is_ended_from_wherever_it_stood(proxy: Proxy, before: int) -> None:
    """From after EHLO on: who has come for something and not had it yet may have it."""
    async with client(proxy) as one:
        await one.say(*BEGIN[:before])
        async with handing_over(proxy, LONG):
            if BEGIN[before:]:
                assert (await one.say(*BEGIN[before:]))[:3] == b"354"
            assert (await one.say(mail() + END))[:3] == b"250"
            assert (await one.say(b"QUIT\r\n"))[:3] == b"221"
    assert taken(proxy) == [mail()]


async def test_one_that_is_half_there_gets_its_250(proxy: Proxy) -> None:
    async with client(proxy) as one:
        await one.say(*BEGIN)
        one.tell(mail()[:40])
        async with handing_over(proxy, LONG):
            assert (await one.say(mail()[40:] + END))[:3] == b"250"
            assert await one.say(b"NOOP\r\n") == BYE
    assert taken(proxy) == [mail()]


@pytest.mark.parametrize("next_command", [b"NOOP\r\n", b"RSET\r\n", b"EHLO c\r\n", BEGIN[1]])
async def test_who_had_something_taken_is_told_to_come_again_with_the_next_command(
    proxy: Proxy, next_command: bytes
) -> None:
    async with client(proxy) as one:
        await one.say(*BEGIN, mail() + END)
        async with handing_over(proxy, LONG) as going:
            assert await one.say(next_command) == BYE
            assert await one.rest() == b""
            await asyncio.wait_for(going, 20)
    assert taken(proxy) == [mail()]


async def test_goodbye_is_answered_as_ever(proxy: Proxy) -> None:
    """A client that is told something else in its place may take that for the answer to its message."""
    async with client(proxy) as one:
        await one.say(*BEGIN, mail() + END)
        async with handing_over(proxy, LONG):
            assert (await one.say(b"QUIT\r\n"))[:3] == b"221"


async def test_who_says_nothing_is_told_to_come_again_when_the_time_is_over(proxy: Proxy) -> None:
    async with client(proxy) as one, client(proxy) as other:
        await one.say(BEGIN[0])
        await other.say(*BEGIN, mail() + END)
        async with handing_over(proxy, SHORT):
            assert await one.rest() == BYE
            assert await other.rest() == BYE


async def test_a_message_that_takes_longer_to_come_is_not_taken_at_all(proxy: Proxy) -> None:
    async with client(proxy) as one:
        await one.say(*BEGIN)
        one.tell(mail()[:40])
        async with handing_over(proxy, SHORT):
            assert await one.rest() == BYE
    await proxy.door.close()
    assert proxy.sink.taken == []
    assert not [command for command in proxy.sink.commands if command.startswith("DATA")]


async def test_what_the_next_hop_has_is_answered_however_long_it_takes(proxy: Proxy) -> None:
    hold = proxy.sink.hold = asyncio.Event()
    came = asyncio.Event()
    proxy.sink.before_answer = lambda command: came.set() if command[:4] == "DATA" else None
    async with client(proxy) as one, client(proxy) as idle:
        await one.say(*BEGIN)
        one.tell(mail() + END)
        await asyncio.wait_for(came.wait(), 20)
        async with handing_over(proxy, SHORT) as going:
            assert await idle.rest() == BYE  # the time is over
            assert not going.done()
            hold.set()
            assert (await one.hear())[:3] == b"250"
            assert (await one.say(b"QUIT\r\n"))[:3] == b"221"
    assert taken(proxy) == [mail()]


async def test_a_connection_that_was_taken_just_before_and_has_yet_to_greet_in_tls_is_served(
    proxies: Proxies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(office, "ARRIVING", 1.0)
    certificate = Certificate.made(tmp_path)
    ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ours.load_cert_chain(certificate.chain, certificate.key)
    proxy = await proxies(tls=True, certificate=ours)
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    async with handing_over(proxy, LONG):
        await writer.start_tls(ssl.create_default_context(cafile=certificate.chain), server_hostname="127.0.0.1")
        one = Client(reader, writer)
        assert (await one.hear())[:3] == b"220"
        assert (await one.say(*BEGIN, mail() + END))[:3] == b"250"
        assert (await one.say(b"QUIT\r\n"))[:3] == b"221"
        writer.close()
    assert taken(proxy) == [mail()]


async def test_a_message_whose_end_comes_in_the_moment_its_client_is_sent_away_is_not_taken_either(
    proxy: Proxy,
) -> None:
    async with client(proxy) as one:
        await one.say(*BEGIN)
        (session,) = proxy.office._sessions
        assert isinstance(session, SmtpSession)
        session.data_received(mail() + END)
        proxy.office._dismiss()
        assert await one.rest() == BYE
    await proxy.door.close()
    assert proxy.sink.taken == []


async def test_nobody_is_waited_for_when_all_have_gone(proxy: Proxy) -> None:
    async with client(proxy) as one:
        await one.say(b"QUIT\r\n")
    async with handing_over(proxy, LONG):
        pass
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", proxy.port)


async def test_a_stop_too_lets_a_message_come_in_and_begins_nothing(proxy: Proxy) -> None:
    async with client(proxy) as one, client(proxy) as idle:
        await one.say(*BEGIN)
        await idle.say(BEGIN[0])
        one.tell(mail()[:40])
        going = asyncio.create_task(proxy.door.close())
        await asyncio.sleep(0)
        assert await idle.say(BEGIN[1]) == BYE
        assert (await one.say(mail()[40:] + END))[:3] == b"250"
        assert (await one.say(b"QUIT\r\n"))[:3] == b"221"
        await asyncio.wait_for(going, 20)
    assert taken(proxy) == [mail()]


async def test_a_stop_lets_who_was_answered_a_moment_ago_say_goodbye(proxy: Proxy) -> None:
    async with client(proxy) as one:
        await one.say(*BEGIN, mail() + END)
        going = asyncio.create_task(proxy.door.close())
        await asyncio.sleep(0)
        assert (await one.say(b"QUIT\r\n"))[:3] == b"221"
        await asyncio.wait_for(going, 20)


async def test_a_stop_waits_for_no_message_that_does_not_come(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(office, "GRACE_OF_BEGUN", SHORT)
    async with client(proxy) as one:
        await one.say(*BEGIN)
        one.tell(mail()[:40])
        await asyncio.wait_for(proxy.door.close(), 20)
        assert await one.rest() == BYE
    assert proxy.sink.taken == []


async def test_a_stop_has_what_the_next_hop_has_answered(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the message had not ended to come in when the stop began."""
    monkeypatch.setattr(office, "GRACE_OF_BEGUN", SHORT)
    hold = proxy.sink.hold = asyncio.Event()
    came = asyncio.Event()
    proxy.sink.before_answer = lambda command: came.set() if command[:4] == "DATA" else None
    async with client(proxy) as one, client(proxy) as idle:
        await one.say(*BEGIN)
        going = asyncio.create_task(proxy.door.close())
        await asyncio.sleep(0)
        one.tell(mail() + END)
        await asyncio.wait_for(came.wait(), 20)
        assert await idle.rest() == BYE
        assert not going.done()
        hold.set()
        assert (await one.hear())[:3] == b"250"
        assert (await one.say(b"QUIT\r\n"))[:3] == b"221"
        await asyncio.wait_for(going, 20)
    assert taken(proxy) == [mail()]
