"""A real SMTP server that keeps what it is given, for the tests of mails that the tracker sends itself."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from ssl import SSLContext

from aiosmtpd.smtp import SMTP, Envelope, Session

PATIENCE = 30.0
"""Seconds after which a mail that should have come has failed to."""


@dataclass(frozen=True)
class Received:
    """A mail as it came."""

    sender: str
    recipients: tuple[str, ...]
    octets: bytes
    tls: bool = False
    """Whether nobody in between could read it."""

    @property
    def message(self) -> EmailMessage:
        return message_from_bytes(self.octets, policy=policy.default)

    @property
    def text(self) -> str:
        content: str = self.message.get_content()
        return content

    @property
    def links(self) -> list[str]:
        """The URLs in it, in order."""
        return re.findall(r"https?://\S+", self.text)


@dataclass
class MailServer:
    """Listens on a free loopback port, in a thread of its own; `answer` is what it says to each recipient."""

    answer: str = "250 OK"
    port: int = 0
    _received: list[Received] = field(default_factory=list)
    _asked: int = 0
    _change: threading.Condition = field(default_factory=threading.Condition)

    @property
    def next_hop(self) -> str:
        """For the setting `smtp_next_hop`."""
        return f"127.0.0.1:{self.port}"

    @property
    def received(self) -> list[Received]:
        """The mails that came so far."""
        with self._change:
            return list(self._received)

    @property
    def asked(self) -> int:
        """How many recipients were named so far, whatever the answer."""
        with self._change:
            return self._asked

    def wait_for(self, number: int, timeout: float = PATIENCE) -> list[Received]:
        """All mails, as soon as there are NUMBER of them."""
        with self._change:
            came = self._change.wait_for(lambda: len(self._received) >= number, timeout)
            assert came, f"{len(self._received)} of {number} mails came within {timeout} s"
            return list(self._received)

    def wait_until_asked(self, number: int, timeout: float = PATIENCE) -> None:
        """Return as soon as NUMBER recipients were named, whatever the answer."""
        with self._change:
            assert self._change.wait_for(lambda: self._asked >= number, timeout)

    async def arrived(self, number: int, timeout: float = PATIENCE) -> list[Received]:
        """`wait_for`, for tests in whose event loop the sender runs."""
        return await asyncio.to_thread(self.wait_for, number, timeout)

    # --- what aiosmtpd calls ---

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        with self._change:
            self._asked += 1
            self._change.notify_all()
        if self.answer.startswith("2"):
            envelope.rcpt_tos.append(address)
        return self.answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.original_content, bytes)
        secret = server.transport is not None and server.transport.get_extra_info("ssl_object") is not None
        mail = Received(envelope.mail_from or "", tuple(envelope.rcpt_tos), envelope.original_content, secret)
        with self._change:
            self._received.append(mail)
            self._change.notify_all()
        return "250 OK"


@contextmanager
def mail_server(*, starttls: SSLContext | None = None, tls: SSLContext | None = None) -> Iterator[MailServer]:
    """A running server; with STARTTLS it offers TLS, with TLS it speaks nothing else."""
    mails = MailServer()
    loop = asyncio.new_event_loop()

    async def listen() -> asyncio.Server:
        def protocol() -> SMTP:
            return SMTP(mails, enable_SMTPUTF8=True, loop=loop, tls_context=starttls)

        return await loop.create_server(protocol, "127.0.0.1", 0, ssl=tls)

    # All of it in the thread: this one may have a loop running, such as the browser's.
    thread = threading.Thread(target=loop.run_forever, name="mail server")
    thread.start()
    listening = asyncio.run_coroutine_threadsafe(listen(), loop).result(PATIENCE)
    mails.port = listening.sockets[0].getsockname()[1]

    async def end() -> None:
        listening.close()
        others = asyncio.all_tasks(loop) - {asyncio.current_task(loop)}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    try:
        yield mails
    finally:
        asyncio.run_coroutine_threadsafe(end(), loop).result(PATIENCE)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)
        loop.close()
