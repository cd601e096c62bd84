"""The connection to the next hop: several commands at once where it takes that, and never an answer for another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.doors.smtp.conftest import ANNA, BERT, FROM, Proxies, Proxy, mail
from tracker.core.smtp_lines import end_of_data, unstuffed
from tracker.doors.next_hop import NextHop
from tracker.doors.smtp.line import LONGEST_ANSWER, stuffed


@dataclass
class Chunks:
    """A next hop that tells in which pieces it was spoken to, and says at the end of data what a test wants."""

    port: int = 0
    extensions: str = "PIPELINING"
    after_data: bytes = b"250 2.0.0 ok\r\n"
    unasked: bytes = b""
    """Said a moment after that."""
    answers: dict[bytes, bytes] = field(default_factory=dict)
    pieces: list[bytes] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    connections: int = 0

    async def session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.write(b"220 chunks\r\n")
        while piece := await reader.read(2**16):
            self.pieces.append(piece)
            for line in piece.splitlines():
                if line[:4] == b"EHLO":
                    writer.write(b"250-chunks\r\n250 " + self.extensions.encode() + b"\r\n")
                elif line == b"DATA":
                    writer.write(b"354 go on\r\n")
                    self.messages.append(await reader.readuntil(b"\r\n.\r\n"))
                    writer.write(self.after_data)
                    if self.unasked:
                        await writer.drain()
                        writer.write(self.unasked)
                        writer.close()
                        return
                else:
                    found = [answer for start, answer in self.answers.items() if line.startswith(start)]
                    writer.write(found[0] if found else b"250 2.0.0 ok\r\n")
        writer.close()


@pytest.fixture
async def chunks() -> AsyncIterator[Chunks]:
    one = Chunks()
    server = await asyncio.start_server(one.session, "127.0.0.1", 0)
    one.port = server.sockets[0].getsockname()[1]
    yield one
    server.close()


@pytest.fixture
async def proxy(proxies: Proxies, chunks: Chunks) -> Proxy:
    made = await proxies()
    made.hops._next_hop = NextHop("127.0.0.1", chunks.port, tls=False)
    await made.flows.grant(ANNA)
    return made


async def test_a_copy_of_several_begins_in_one_piece(proxy: Proxy, chunks: Chunks) -> None:
    assert (await proxy.send(mail(), ANNA, BERT))[0] == 250
    assert [message.count(b"/c/") > 0 for message in chunks.messages] == [False, True]
    assert b"RSET\r\nMAIL FROM:<%b>\r\nRCPT TO:<%b>\r\n" % (FROM.encode(), BERT.encode()) in chunks.pieces
    assert b"MAIL FROM:<%b>\r\nRCPT TO:<%b>\r\n" % (FROM.encode(), ANNA.encode()) in chunks.pieces


async def test_not_where_the_next_hop_does_not_offer_it(proxy: Proxy, chunks: Chunks) -> None:
    chunks.extensions = "SIZE"
    assert (await proxy.send(mail(), ANNA, BERT))[0] == 250
    assert all(piece.count(b"\r\n") == 1 for piece in chunks.pieces)


async def test_a_refusal_in_a_piece_is_told_and_nothing_is_sent(proxy: Proxy, chunks: Chunks) -> None:
    """Each answer belongs to one command, also where a later one was carried out."""
    chunks.answers[b"RSET"] = b"250-2.0.0 two\r\n250 lines\r\n"

    async with proxy.client() as client:
        await client.mail(FROM)
        for one in (ANNA, BERT):
            await client.rcpt(one)
        chunks.answers[b"MAIL"] = b"452 4.3.1 full\r\n"
        code, text = await client.execute_command(b"DATA")
        assert code == 354
        assert client.protocol is not None
        client.protocol.write(mail() + b".\r\n")
        code, text = await client.protocol.read_response()
    assert (code, text) == (452, "4.3.1 full")
    assert chunks.messages == []


async def test_who_said_goodbye_meanwhile_is_not_asked_again(proxy: Proxy, chunks: Chunks) -> None:
    chunks.unasked = b"421 4.4.2 idle\r\n"
    for _ in range(3):
        assert (await proxy.send(mail(), ANNA))[0] == 250
    assert chunks.connections == 3
    assert len(chunks.messages) == 3


async def test_what_is_answered_before_the_goodbye_is_answered(proxy: Proxy, chunks: Chunks) -> None:
    """The client would send the message once more."""
    chunks.after_data = b"250 2.0.0 ok\r\n421 4.3.2 closing\r\n"
    for _ in range(2):
        assert await proxy.send(mail(), ANNA) == (250, "2.0.0 ok")
    assert chunks.connections == 2


@pytest.mark.parametrize("answer", [b"what?\r\n", b"\xff\xff\xff no\r\n", b"250-" + b"x" * LONGEST_ANSWER])
async def test_what_is_no_answer_is_none(proxy: Proxy, chunks: Chunks, answer: bytes) -> None:
    chunks.after_data = answer
    code, text = await proxy.send(mail(), ANNA)
    assert (code, text[:6]) == (451, "4.4.1 ")


@given(st.lists(st.sampled_from([b".", b"..", b"a", b"\r\n", b".\r\n"]), max_size=12))
def test_what_is_handed_over_arrives_as_it_was(lines: list[bytes]) -> None:
    message = b"".join(lines)
    octets = b"".join(stuffed([b"Received: x\r\n", message]))
    assert end_of_data(octets) == len(octets)
    arrived = unstuffed(octets)
    assert arrived == b"Received: x\r\n" + message + (b"" if not message or message.endswith(b"\r\n") else b"\r\n")
