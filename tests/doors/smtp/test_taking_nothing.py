"""A client that takes nothing of what it is told is ended all the same; a slow one gets what it was told first."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.certificate import Certificate
from tests.doors.smtp.conftest import Proxies, Proxy, mail
from tests.doors.smtp.test_handing_over import BEGIN, BYE, END, LONG, SHORT, client
from tracker.doors.smtp import office
from tracker.doors.smtp.session import SmtpSession

MANY = 5_000
"""Times HELP: the door reads them all ahead; the answers are more than the buffers here hold."""
MUCH = 2**24
"""Octets that no machine holds for a connection whose other side takes none."""


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not is_so():
            await asyncio.sleep(0)


def session_of(proxy: Proxy) -> SmtpSession:
    (session,) = proxy.office._sessions
    assert isinstance(session, SmtpSession)
    return session


@asynccontextmanager
async def deaf(proxy: Proxy) -> AsyncIterator[socket.socket]:
    """A client that says HELP very often, and takes nothing of the answers."""
    loop = asyncio.get_running_loop()
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        one.setblocking(False)
        await loop.sock_connect(one, ("127.0.0.1", proxy.port))
        await loop.sock_recv(one, 4_096)
        session = session_of(proxy)
        session._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        await loop.sock_sendall(one, b"HELP\r\n" * MANY)
        await until(lambda: unsent(session) > 2**16)  # it waits for the client
        yield one


def unsent(session: SmtpSession) -> int:
    return session._writer.transport.get_write_buffer_size()


async def has_gone(proxy: Proxy, session: SmtpSession) -> None:
    """Neither its place nor its connection is held any more."""
    await until(lambda: not proxy.office._sessions)
    await until(lambda: session.transport is None)


async def test_a_client_that_takes_nothing_is_gone_when_it_was_idle_for_too_long(proxies: Proxies) -> None:
    proxy = await proxies(idle_seconds=SHORT, last_words_seconds=SHORT, most=1)
    async with deaf(proxy):
        await has_gone(proxy, session_of(proxy))
        async with client(proxy) as newcomer:
            assert (await newcomer.say(BEGIN[0]))[:3] == b"250"


async def test_a_client_that_takes_nothing_is_gone_when_it_is_dismissed(proxies: Proxies) -> None:
    proxy = await proxies(last_words_seconds=SHORT)
    async with deaf(proxy):
        session = session_of(proxy)
        session.dismiss()
        await has_gone(proxy, session)


async def test_a_client_that_takes_nothing_keeps_no_room_for_its_message(proxies: Proxies) -> None:
    proxy = await proxies(idle_seconds=2.0, last_words_seconds=SHORT)
    async with client(proxy) as one:
        await one.say(*BEGIN[:-1])
        session = session_of(proxy)
        transport = session._writer.transport
        transport.set_write_buffer_limits(high=2 * MUCH)
        one._reader._transport.pause_reading()  # type: ignore[attr-defined]
        transport.write(bytes(MUCH))
        transport.set_write_buffer_limits(high=0)
        one.tell(BEGIN[-1])
        await until(lambda: proxy.office.budget.held)
        await has_gone(proxy, session)
        assert proxy.office.budget.held == 0


async def test_a_client_that_takes_nothing_and_goes_is_not_waited_for_either(proxies: Proxies) -> None:
    proxy = await proxies(last_words_seconds=SHORT)
    async with client(proxy) as one:
        await one.say(BEGIN[0])
        session = session_of(proxy)
        transport = session._writer.transport
        transport.set_write_buffer_limits(high=2 * MUCH)  # so that goodbye does not wait
        one._reader._transport.pause_reading()  # type: ignore[attr-defined]
        transport.write(bytes(MUCH))
        one.tell(b"QUIT\r\n")
        await has_gone(proxy, session)


async def test_a_slow_client_gets_all_it_was_told_before_it_was_hung_up_on(proxies: Proxies) -> None:
    proxy = await proxies(last_words_seconds=LONG)
    loop = asyncio.get_running_loop()
    async with deaf(proxy) as one:
        session = session_of(proxy)
        session.dismiss()
        said = b""
        while piece := await asyncio.wait_for(loop.sock_recv(one, 2**16), 20):
            said += piece
            if said.endswith(BYE):
                break
        assert set(said.splitlines(keepends=True)) == {said.splitlines(keepends=True)[0], BYE}
        assert len(said) > 2**16
        await has_gone(proxy, session)


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return Certificate.made(tmp_path)


def ours(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.chain, certificate.key)
    return context


@pytest.mark.parametrize("by", ["idle", "goodbye"])
@pytest.mark.parametrize("at_once", [True, False])
async def test_in_tls_too_a_client_that_takes_nothing_is_gone(
    proxies: Proxies, certificate: Certificate, at_once: bool, by: str
) -> None:
    idle = {"idle_seconds": 2.0} if by == "idle" else {}
    proxy = await proxies(tls=at_once, certificate=ours(certificate), last_words_seconds=SHORT, **idle)
    theirs = ssl.create_default_context(cafile=certificate.chain)
    first, name = (theirs, "127.0.0.1") if at_once else (None, None)
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port, ssl=first, server_hostname=name)
    await reader.readline()
    if not at_once:
        writer.write(b"STARTTLS\r\n")
        await reader.readline()
        await writer.start_tls(theirs, server_hostname="127.0.0.1")
    session = session_of(proxy)
    await until(lambda: session._tls_protocol)
    transport = session._writer.transport
    transport.set_write_buffer_limits(high=2 * MUCH)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    transport.write(bytes(MUCH))
    if by == "goodbye":
        writer.write(b"QUIT\r\n")
    await has_gone(proxy, session)
    writer.transport.abort()


async def test_a_connection_that_is_lost_while_tls_greets_gives_its_place_back(
    proxies: Proxies, certificate: Certificate
) -> None:
    proxy = await proxies(certificate=ours(certificate))
    loop = asyncio.get_running_loop()
    with socket.socket() as one:
        one.setblocking(False)
        await loop.sock_connect(one, ("127.0.0.1", proxy.port))
        await loop.sock_recv(one, 4_096)
        await loop.sock_sendall(one, b"STARTTLS\r\n")
        await loop.sock_recv(one, 4_096)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # the end is a reset
    await until(lambda: not proxy.office._sessions)


async def test_a_client_that_is_sent_away_while_tls_greets_gives_its_place_back(
    proxies: Proxies, certificate: Certificate
) -> None:
    proxy = await proxies(certificate=ours(certificate))
    async with client(proxy) as one:
        assert (await one.say(b"STARTTLS\r\n"))[:3] == b"220"
        session_of(proxy).dismiss()
        await until(lambda: not proxy.office._sessions)


async def test_whose_message_the_next_hop_has_for_too_long_at_a_stop_is_told_to_come_again(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(office, "GRACE_OF_BEGUN", SHORT)
    monkeypatch.setattr(office, "GRACE", office.PARTING + 2 * SHORT)
    proxy.sink.hold = asyncio.Event()
    came = asyncio.Event()
    proxy.sink.before_answer = lambda command: came.set() if command[:4] == "DATA" else None
    async with client(proxy) as one:
        await one.say(*BEGIN)
        one.tell(mail() + END)
        await asyncio.wait_for(came.wait(), 20)
        await asyncio.wait_for(proxy.door.close(), 20)
        assert await one.rest() == BYE
        proxy.sink.hold.set()
