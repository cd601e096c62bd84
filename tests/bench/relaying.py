"""Passing mail through: messages per second of the SMTP proxy, against the sink itself and against a stock relay."""

from __future__ import annotations

import asyncio
import email
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parseaddr
from pathlib import Path
from time import perf_counter
from typing import cast

import aiosmtplib
import uvloop
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.bench.messages import samples
from tests.harness import Installation, free_port

CONNECTIONS = 8
SECONDS = 3.0
HEADER = b"X-Campaign: "
"""What differs between two messages: here a field of the header, as between copies of one campaign,"""
LINK = b"utm_source"
"""and here a link, so that nothing that was seen in one is of use for another."""
IDLE = 200
"""Connections whose memory is measured."""


def table() -> list[tuple[str, ...]]:
    """The rows: what, ratio, yardstick, aim."""
    message = samples()[1].message
    sender = parseaddr(str(email.message_from_bytes(message)["From"]))[1]
    sink = free_port()
    with _process("sink", sink), _process("stock", stock := free_port(), sink), tempfile.TemporaryDirectory() as folder:
        proxy = free_port()
        with Installation.made(
            Path(folder) / "tracker",
            TRACKER_SMTP_LISTEN=f"127.0.0.1:{proxy}",
            TRACKER_SMTP_NEXT_HOP=f"127.0.0.1:{sink}",
            TRACKER_SENDER_DOMAINS=sender.rpartition("@")[2],
        ) as tracker:
            assert tracker.grant("bench@example.org").status == 201
            nobody, granted = "nobody@example.org", "bench@example.org"
            rates: dict[str, list[float]] = {"direct": [], "stock": [], "untouched": [], "tracked": [], "unlike": []}
            for _ in range(3):  # in turns, since the machine is not alone
                rates["direct"].append(rate(sink, message, sender, nobody))
                rates["stock"].append(rate(stock, message, sender, nobody))
                rates["untouched"].append(rate(proxy, message, sender, nobody))
                rates["tracked"].append(rate(proxy, message, sender, granted))
                rates["unlike"].append(rate(proxy, message, sender, granted, LINK))
            metrics = tracker.api("GET", "/metrics").body
            assert b'tracker_copies_total{outcome="tracked",reason=""} 0.0' not in metrics
            memory = asyncio.run(_memory(tracker.pid, proxy))
    direct, plain, untouched, tracked, unlike = (sorted(each)[1] for each in rates.values())
    return [
        ("27 kB messages through the proxy, no grant", f"{untouched / plain:.2f}", "aiosmtpd and aiosmtplib", ">= 2"),
        (
            "27 kB messages through the proxy, every one rewritten",
            f"{tracked / plain:.2f}",
            "aiosmtpd and aiosmtplib",
            ">= 1",
        ),
        (
            "27 kB messages through the proxy, no two with the same links",
            f"{unlike / plain:.2f}",
            "aiosmtpd and aiosmtplib",
            "",
        ),
        ("27 kB messages through the proxy, no grant", f"{untouched / direct:.2f}", "straight to the sink", ""),
        ("memory of a connection", f"{memory:.0f} kB", "one that waits", ""),
    ]


def rate(port: int, message: bytes, sender: str, recipient: str, mark: bytes = HEADER) -> float:
    """Messages a second to PORT, over CONNECTIONS at a time, each message another one behind each MARK in it."""
    return asyncio.run(_rate(port, message, sender, recipient, mark))


async def _rate(port: int, message: bytes, sender: str, recipient: str, mark: bytes) -> float:
    end = perf_counter() + SECONDS
    done = await asyncio.gather(*(_sending(port, message, sender, recipient, mark, end) for _ in range(CONNECTIONS)))
    return sum(done) / SECONDS


async def _sending(port: int, message: bytes, sender: str, recipient: str, mark: bytes, end: float) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await reader.readline()
    await _said(reader, writer, b"EHLO bench\r\n", b"250")
    done = 0
    assert mark in message
    stuffed = message.replace(b"\r\n.", b"\r\n..")
    while perf_counter() < end:
        another = mark + os.urandom(8).hex().encode()
        await _said(reader, writer, f"MAIL FROM:<{sender}>\r\n".encode(), b"250")
        await _said(reader, writer, f"RCPT TO:<{recipient}>\r\n".encode(), b"250")
        await _said(reader, writer, b"DATA\r\n", b"354")
        await _said(reader, writer, stuffed.replace(mark, another) + b".\r\n", b"250")
        done += 1
    writer.close()
    return done


async def _said(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, octets: bytes, code: bytes) -> None:
    writer.write(octets)
    while True:
        line = await reader.readline()
        assert line.startswith(code), line
        if line[3:4] != b"-":
            return


async def _memory(pid: int, port: int) -> float:
    """What a connection that has been greeted takes, in kB."""
    before = _resident(pid)
    writers = []
    for _ in range(IDLE):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await reader.readline()
        await _said(reader, writer, b"EHLO bench\r\n", b"250")
        writers.append(writer)
    after = _resident(pid)
    for writer in writers:
        writer.close()
    return max(0.0, (after - before) / IDLE)


def _resident(pid: int) -> float:
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return float(line.split()[1])


@contextmanager
def _process(*words: object) -> Iterator[None]:
    """`python -m tests.bench.relaying WORDS`, which says when it listens."""
    command = [sys.executable, "-m", "tests.bench.relaying", *map(str, words)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline()
        yield
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


class _Sink(asyncio.Protocol):
    """Takes everything and keeps nothing."""

    _transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's own are no subclass
        self._data = False
        self._buffer = bytearray()
        self._transport.write(b"220 sink\r\n")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            end = self._buffer.find(b"\r\n.\r\n" if self._data else b"\r\n")
            if end < 0:
                return
            verb = bytes(self._buffer[:4])
            del self._buffer[: end + (5 if self._data else 2)]
            if self._data or verb != b"DATA":
                self._data = False
                self._transport.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")
            else:
                self._data = True
                self._transport.write(b"354 go on\r\n")


class _Stock:
    """Relays as the two libraries' own documentation does."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        await aiosmtplib.send(
            envelope.content, sender=envelope.mail_from, recipients=envelope.rcpt_tos,
            hostname="127.0.0.1", port=self._port, start_tls=False,
        )  # fmt: skip
        return "250 OK"


async def _listen(kind: str, port: int, sink: int) -> None:
    loop = asyncio.get_running_loop()
    handler = _Stock(sink)
    factory = _Sink if kind == "sink" else lambda: SMTP(handler, hostname="stock", loop=loop)
    server = await loop.create_server(factory, "127.0.0.1", port)
    print("listening", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_listen(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if sys.argv[3:] else 0))
