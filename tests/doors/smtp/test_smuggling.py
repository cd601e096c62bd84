"""Only CRLF.CRLF ends data: the dialogs by which mail was smuggled (SEC Consult, December 2023), and any other."""

from __future__ import annotations

import asyncio

import pytest

from tests.doors.smtp.conftest import Proxies, Proxy, mail

BEGIN = b"EHLO c\r\n", b"MAIL FROM:<a@b.example>\r\n", b"RCPT TO:<anna@example.org>\r\n", b"DATA\r\n"
SECOND = b"MAIL FROM:<admin@b.example>\r\nRCPT TO:<bert@example.org>\r\nDATA\r\nFrom: x\r\n\r\nsmuggled\r\n.\r\n"
ENDS = [
    b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\r.\n", b"\n.\r", b"\r\n\0.\r\n",
    b"\r\n.\0\r\n", b"\r\n. \r\n",
]  # fmt: skip


@pytest.mark.parametrize("end", ENDS, ids=[repr(end) for end in ENDS])
async def test_what_only_looks_like_an_end_smuggles_nothing(proxy: Proxy, end: bytes) -> None:
    said = await proxy.dialog(*BEGIN, b"Subject: x\r\n\r\nfirst" + end + SECOND)
    assert said.count(b"\r\n250 ") <= 4
    assert [taken.recipients for taken in proxy.sink.taken if "bert@example.org" in taken.recipients] == []
    bare = end.replace(b"\r\n", b"")
    if b"\r" in bare or b"\n" in bare:
        assert said.endswith(b"CRLF\r\n")
        assert b"\r\n554 5.6.0 " in said
        assert not proxy.sink.taken, "nothing of it goes on, since the next hop may read it otherwise"
    else:
        assert b"smuggled" in proxy.sink.taken[0].octets, "it is text, and stays text"


async def test_data_may_come_in_any_pieces_and_commands_right_behind_it(proxy: Proxy) -> None:
    """PIPELINING (RFC 2920)."""
    two = b"".join(BEGIN[1:]) + mail() + b".\r\n" + b"".join(BEGIN[1:]) + mail("<p>2</p>") + b".\r\nQUIT\r\n"
    for size in (1, 7, 10_000):
        proxy.sink.taken.clear()
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(BEGIN[0])
        for at in range(0, len(two), size):
            writer.write(two[at : at + size])
            await writer.drain()
            await asyncio.sleep(0)
        said = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        assert said.endswith(b"221 Bye\r\n")
        assert [taken.below_received for taken in proxy.sink.taken] == [mail(), mail("<p>2</p>")]


async def test_a_client_that_closes_its_side_behind_quit_hears_the_answers(proxy: Proxy) -> None:
    """As Exim does: it takes a connection that ends without them for a failure, and sends the message once more."""
    proxy.sink.hold = asyncio.Event()
    came = asyncio.Event()
    proxy.sink.before_answer = lambda command: came.set() if command[:4] == "DATA" else None
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"".join(BEGIN) + mail() + b".\r\nQUIT\r\n")
    writer.write_eof()
    await asyncio.wait_for(came.wait(), 20)
    proxy.sink.hold.set()
    said = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    assert b"\r\n354 " in said
    assert said.split(b"\r\n354 ")[1].split(b"\r\n")[1][:4] == b"250 "
    assert said.endswith(b"221 Bye\r\n")
    assert len(proxy.sink.taken) == 1


async def test_a_client_that_closes_its_side_without_quit_is_let_go(proxy: Proxy) -> None:
    for said_before in (b"", BEGIN[0], BEGIN[0] + BEGIN[1], b"EHL", b"".join(BEGIN) + mail()):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(said_before)
        writer.write_eof()
        said = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        assert b"451" not in said, "nothing failed on our side"
    assert not proxy.sink.taken


async def test_commands_behind_a_large_message_keep_their_order(proxy: Proxy) -> None:
    large = b"x" * 76 + b"\r\n"
    first = b"Subject: 1\r\n\r\n" + large * 3_000
    two = b"".join(BEGIN[1:]) + first + b".\r\n" + b"".join(BEGIN[1:]) + large * 8_000 + b".\r\nQUIT\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(BEGIN[0] + two)
    said = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    assert said.endswith(b"221 Bye\r\n")
    assert [taken.below_received for taken in proxy.sink.taken] == [first, large * 8_000]


async def test_an_empty_message_is_a_message(proxy: Proxy) -> None:
    await proxy.dialog(*BEGIN, b".\r\n")
    assert proxy.sink.taken[0].below_received == b""


async def test_a_message_beyond_the_limit_is_refused_after_its_end(proxies: Proxies) -> None:
    proxy = await proxies(largest=100_000)
    body = b"x" * 70 + b"\r\n"
    said = await proxy.dialog(*BEGIN, body * 10_000 + b".\r\n", *BEGIN[1:], mail() + b".\r\n")
    assert b"\r\n552 5.3.4 " in said
    assert len(proxy.sink.taken) == 1, "the dialog goes on"


async def test_a_size_beyond_the_limit_is_refused_before(proxies: Proxies) -> None:
    proxy = await proxies(largest=100_000)
    said = await proxy.dialog(BEGIN[0], b"MAIL FROM:<a@b.example> SIZE=100001\r\n")
    assert b"\r\n552 5.3.4 " in said
    assert b"250-SIZE 100000\r\n" in said


async def test_a_line_beyond_the_limit_is_refused(proxy: Proxy) -> None:
    said = await proxy.dialog(*BEGIN, b"x" * 70_000 + b"\r\n.\r\n")
    assert b"\r\n554 5.6.0 A line" in said


async def test_without_memory_a_message_waits_outside(proxies: Proxies, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracker.doors.smtp.session.PATIENCE_FOR_ROOM", 0.05)
    proxy = await proxies(room=1_000_000)
    with proxy.office.budget.to_pass_on() as room:
        await room.resize(1_000_000, 1)
        said = await proxy.dialog(*BEGIN)
        assert b"\r\n452 4.3.1 " in said
    assert (await proxy.send(mail(), "anna@example.org"))[0] == 250
    assert proxy.office.budget.held == 0
