"""Speaks to the next hop for transactions that come in: its answers are passed on, its connections used again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import aiosmtplib

from tracker.core.smtp_lines import Path
from tracker.doors.next_hop import NextHop, client_of
from tracker.model import Reply

log = logging.getLogger("tracker.smtp")

SECONDS: Final = 30.0
"""For the next hop to be reached and to greet us."""
SECONDS_FOR_COMMAND: Final = 240.0
"""For it to answer MAIL or RCPT; a client waits five minutes (RFC 5321, section 4.5.3.2)."""
SECONDS_FOR_DATA: Final = 300.0
"""For it to take a message; a client waits ten minutes (RFC 5321, section 4.5.3.2.6)."""
MOST_IDLE: Final = 32
"""Connections that are kept for the next message."""
IDLE_SECONDS: Final = 5.0
AWAY: Final = Reply(451, "4.4.1 The next hop does not answer; nothing is lost, please try again later")
NO_UTF8: Final = Reply(550, "5.6.7 The next hop takes no addresses with letters beyond ASCII")
_OF_MAIL: Final = {"BODY": "8BITMIME", "SIZE": "SIZE", "RET": "DSN", "ENVID": "DSN", "SMTPUTF8": "SMTPUTF8"}
_OF_RCPT: Final = {"NOTIFY": "DSN", "ORCPT": "DSN"}
PASSED_ON: Final = frozenset({"8BITMIME", "SMTPUTF8", "DSN"})
"""Extensions that are offered where the next hop offers them."""


@dataclass(frozen=True, slots=True)
class Offers:
    """What the next hop said that it can do."""

    extensions: frozenset[str] = PASSED_ON
    size: int | None = None
    """The largest message that it takes, in octets; None where it named no limit."""


class Hops:
    """The connections to the next hop that nobody uses just now."""

    def __init__(self, next_hop: NextHop, name: str) -> None:
        """NAME is who we say that we are."""
        self._next_hop = next_hop
        self._name = name
        self._idle: list[tuple[float, aiosmtplib.SMTP]] = []
        self._offers: Offers | None = None

    async def offers(self) -> Offers:
        """What the next hop can do, as it said last; what servers of today can while it is away."""
        if self._offers is None:
            try:
                self.give(await self.connect())
            except (aiosmtplib.SMTPException, OSError):
                return Offers()
        return self._offers or Offers()

    def transaction(self) -> HopTransaction:
        """A connection for one transaction, made or found when it begins."""
        return HopTransaction(self)

    def take(self) -> aiosmtplib.SMTP | None:
        """A connection that is open, as far as it is known; None where there is none."""
        self._let_go()
        while self._idle:
            _, client = self._idle.pop()
            if client.is_connected:
                return client
        return None

    def give(self, client: aiosmtplib.SMTP) -> None:
        """Keep CLIENT, which is between transactions, for the next one."""
        if not client.is_connected:
            return
        if len(self._idle) >= MOST_IDLE:
            client.close()
            return
        loop = asyncio.get_running_loop()
        self._idle.append((loop.time(), client))
        if len(self._idle) == 1:
            loop.call_later(IDLE_SECONDS, self._look_again)

    async def connect(self) -> aiosmtplib.SMTP:
        """A new connection, greeted and logged in. Raises SMTPException, OSError."""
        client = client_of(self._next_hop, self._name, SECONDS)
        await client.connect()
        if client.is_ehlo_or_helo_needed:
            try:
                await client.ehlo()
            except aiosmtplib.SMTPHeloError:
                await client.helo()
        named = {each: each for each in ("8BITMIME", "SMTPUTF8", "DSN", "SIZE") if client.supports_extension(each)}
        size = client.esmtp_extensions.get("size", "").strip()
        self._offers = Offers(frozenset(named), int(size) if size.isdigit() and int(size) else None)
        return client

    def close(self) -> None:
        """Let all of them go."""
        for _, client in self._idle:
            client.close()
        self._idle.clear()

    def _let_go(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._idle and self._idle[0][0] + IDLE_SECONDS <= now:
            self._idle.pop(0)[1].close()

    def _look_again(self) -> None:
        self._let_go()
        if self._idle:
            asyncio.get_running_loop().call_later(IDLE_SECONDS, self._look_again)


class HopTransaction:
    """One transaction with the next hop, as `flows.relay.NextHop` has it."""

    def __init__(self, hops: Hops) -> None:
        self._hops = hops
        self._client: aiosmtplib.SMTP | None = None
        self._open = False

    async def mail(self, sender: Path) -> Reply:
        """Begin; a connection that was kept and has gone since is replaced."""
        if self._client is None or not self._client.is_connected:
            self._client = self._hops.take()
        reply = AWAY if self._client is None else await self._mail(sender)
        if self._client is None or not self._client.is_connected:  # 421 closes it, too
            try:
                self._client = await self._hops.connect()
            except aiosmtplib.SMTPResponseException as error:
                log.warning("the next hop refuses us with %d", error.code)
                return _for_now(_reply(error.code, error.message))
            except (aiosmtplib.SMTPException, OSError) as error:
                log.warning("the next hop cannot be reached: %s", type(error).__name__)
                return AWAY
            reply = await self._mail(sender)
        self._open = reply.is_yes
        return reply

    async def rcpt(self, recipient: Path) -> Reply:
        """Name a recipient."""
        return await self._command("RCPT TO", recipient, _OF_RCPT)

    async def data(self, parts: Sequence[bytes]) -> Reply:
        """Hand over a message."""
        if self._client is None:
            return AWAY
        try:
            code, text = await self._client.execute_command(b"DATA", timeout=SECONDS_FOR_COMMAND)
            if code == 354 and self._client.protocol is not None:
                # The library's own `data` looks for lone line ends, which are refused at the door, and takes long.
                self._client.protocol.write(_stuffed(b"".join(parts)))
                code, text = await self._client.protocol.read_response(timeout=SECONDS_FOR_DATA)
        except aiosmtplib.SMTPResponseException as error:
            code, text = error.code, error.message
        except (aiosmtplib.SMTPException, OSError) as error:
            return self._gone(error)
        self._open = False
        return _reply(code, text)

    async def reset(self) -> Reply:
        """Begin anew."""
        if self._client is None:
            return AWAY
        self._open = True
        try:
            await self._client.rset()
        except aiosmtplib.SMTPResponseException as error:
            return _reply(error.code, error.message)
        except (aiosmtplib.SMTPException, OSError) as error:
            return self._gone(error)
        self._open = False
        return Reply(250, "2.0.0 Ok")

    def release(self) -> None:
        """Give the connection back; one in the midst of something is closed, and then nothing of it is delivered."""
        client, self._client = self._client, None
        if client is not None:
            if self._open:
                client.close()
            else:
                self._hops.give(client)

    async def _mail(self, sender: Path) -> Reply:
        if "SMTPUTF8" in sender.parameters and "SMTPUTF8" not in (await self._hops.offers()).extensions:
            return NO_UTF8
        return await self._command("MAIL FROM", sender, _OF_MAIL)

    async def _command(self, verb: str, path: Path, parameters: Mapping[str, str]) -> Reply:
        if self._client is None:
            return AWAY
        offered = (await self._hops.offers()).extensions
        words = [
            name if value is None else f"{name}={value}"
            for name, value in path.parameters.items()
            if parameters.get(name) in offered
        ]
        try:
            code, text = await self._client.execute_command(
                f"{verb}:<{path.address}>".encode(), *(word.encode() for word in words), timeout=SECONDS_FOR_COMMAND
            )
        except aiosmtplib.SMTPResponseException as error:
            code, text = error.code, error.message
        except (aiosmtplib.SMTPException, OSError) as error:
            return self._gone(error)
        return _reply(code, text)

    def _gone(self, error: Exception) -> Reply:
        log.warning("the connection to the next hop broke: %s", type(error).__name__)
        if self._client is not None:
            self._client.close()
            self._client = None
        self._open = False
        return AWAY


def _stuffed(message: bytes) -> bytes:
    """MESSAGE, in CRLF, as it follows DATA (RFC 5321, section 4.5.2)."""
    first = b"." if message.startswith(b".") else b""
    last = b".\r\n" if message.endswith(b"\r\n") or not message else b"\r\n.\r\n"
    return b"".join((first, message.replace(b"\r\n.", b"\r\n.."), last))


def _reply(code: int, text: str) -> Reply:
    """What is passed on: 421 would end the client's connection, and what is no answer is one for the time being."""
    if 200 <= code < 600 and code not in (221, 421):
        return Reply(code, text)
    return Reply(451, text) if code == 421 else AWAY


def _for_now(reply: Reply) -> Reply:
    """REPLY to our greeting or login: it is not about the message, which is of use once the operator has mended it."""
    return Reply(451, reply.text_as("4")) if reply.is_final else reply
