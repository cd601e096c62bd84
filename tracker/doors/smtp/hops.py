"""Speaks to the next hop for transactions that come in: its answers are passed on, its connections used again."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import aiosmtplib

from tracker.core.smtp_lines import Path
from tracker.doors.next_hop import NextHop, client_of
from tracker.doors.smtp.line import Line, line_of
from tracker.model import Reply

log = logging.getLogger("tracker.smtp")

SECONDS: Final = 30.0
"""For the next hop to be reached and to greet us."""
SECONDS_FOR_COMMAND: Final = 240.0
"""For it to answer a command; a client waits five minutes (RFC 5321, section 4.5.3.2)."""
SECONDS_FOR_DATA: Final = 300.0
"""For it to take a message; a client waits ten minutes (RFC 5321, section 4.5.3.2.6)."""
MOST: Final = 50
"""Connections at a time, which is what Postfix lets one client have; whoever comes then waits for a turn."""
SECONDS_FOR_TURN: Final = 200.0
"""For it to come: with what follows less than the five minutes."""
IDLE_SECONDS: Final = 5.0
BUSY: Final = Reply(451, "4.4.5 Too many messages wait for the next hop; please try again later")
AWAY: Final = Reply(451, "4.4.1 The next hop does not answer; nothing is lost, please try again later")
NO_UTF8: Final = Reply(550, "5.6.7 The next hop takes no addresses with letters beyond ASCII")
_OF_MAIL: Final = {"BODY": "8BITMIME", "SIZE": "SIZE", "RET": "DSN", "ENVID": "DSN", "SMTPUTF8": "SMTPUTF8"}
_OF_RCPT: Final = {"NOTIFY": "DSN", "ORCPT": "DSN"}
CLOSING: Final = 421
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
        self._idle: deque[tuple[float, Line]] = deque()
        """Each with when it was given back, longest ago first."""
        self.turns = asyncio.Semaphore(MOST)
        """For transactions: a thousand connections at once are more than mail servers take."""
        self._asking: asyncio.Task[None] | None = None
        self.known: Offers | None = None
        """What the next hop said last that it can do."""

    async def offers(self) -> Offers:
        """What the next hop can do, as it said last; what servers of today can while it is away."""
        if self.known is None:
            if self._asking is None:
                self._asking = asyncio.create_task(self._ask())
            await asyncio.wait({self._asking})  # one asks for all who greet us at once
        return self.known or Offers()

    def transaction(self) -> HopTransaction:
        """A connection for one transaction, made or found when it begins."""
        return HopTransaction(self)

    def take(self) -> Line | None:
        """A connection that is open, as far as it is known; None where there is none."""
        self._let_go()
        while self._idle:
            _, line = self._idle.pop()
            if line.is_open:
                return line
        return None

    def give(self, line: Line) -> None:
        """Keep LINE, which is between transactions, for the next one."""
        if not line.is_open:
            return
        if len(self._idle) >= MOST:
            line.quit()
            return
        loop = asyncio.get_running_loop()
        self._idle.append((loop.time(), line))
        if len(self._idle) == 1:
            loop.call_later(IDLE_SECONDS, self._look_again)

    async def connect(self) -> Line:
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
        self.known = Offers(frozenset(named), int(size) if size.isdigit() and int(size) else None)
        return line_of(client.transport, pipelining=client.supports_extension("PIPELINING"))

    def close(self) -> None:
        """Let all of them go."""
        for _, line in self._idle:
            line.quit()
        self._idle.clear()

    async def _ask(self) -> None:
        try:
            self.give(await self.connect())
        except (aiosmtplib.SMTPException, OSError):
            log.info("what the next hop can do is not known yet")
        finally:
            self._asking = None

    def _let_go(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._idle and self._idle[0][0] + IDLE_SECONDS <= now:
            self._idle.popleft()[1].quit()

    def _look_again(self) -> None:
        self._let_go()
        if self._idle:
            asyncio.get_running_loop().call_later(IDLE_SECONDS, self._look_again)


class HopTransaction:
    """One transaction with the next hop, as `flows.relay.NextHop` has it."""

    def __init__(self, hops: Hops) -> None:
        self._hops = hops
        self._line: Line | None = None
        self._open = False
        self._has_turn = False

    async def mail(self, sender: Path) -> Reply:
        """Begin, when the turn has come; a connection that was kept and has gone since is replaced."""
        if not self._has_turn:
            try:
                async with asyncio.timeout(SECONDS_FOR_TURN):
                    self._has_turn = await self._hops.turns.acquire()
            except TimeoutError:
                return BUSY
        if self._line is None or not self._line.is_open:
            self._line = self._hops.take()
        reply = AWAY if self._line is None else await self._mail(sender)
        if self._line is None:
            try:
                self._line = await self._hops.connect()
            except aiosmtplib.SMTPResponseException as error:
                log.warning("the next hop refuses us with %d", error.code)
                return _for_now(_passed_on(Reply(error.code, error.message)))
            except (aiosmtplib.SMTPException, OSError) as error:
                log.warning("the next hop cannot be reached: %s", type(error).__name__)
                return AWAY
            reply = await self._mail(sender)
        self._open = reply.is_yes
        return reply

    async def rcpt(self, recipient: Path) -> Reply:
        """Name a recipient."""
        return (await self._said(self._command(b"RCPT TO:", recipient, _OF_RCPT)))[0]

    async def begin(self, sender: Path, recipients: Sequence[Path]) -> Sequence[Reply]:
        """Begin anew: the answers to SENDER and to each of RECIPIENTS, asked at once where the next hop takes that."""
        if self._line is None or not self._line.is_open:
            replies = [await self.mail(sender)]
            for recipient in recipients:
                replies.append(await self.rcpt(recipient) if replies[-1].is_yes else replies[-1])
            return replies
        commands = [self._command(b"RCPT TO:", recipient, _OF_RCPT) for recipient in recipients]
        commands.insert(0, self._command(b"MAIL FROM:", sender, _OF_MAIL))
        if self._open:
            commands.insert(0, b"RSET\r\n")
        self._open = True
        return (await self._said(*commands))[-len(recipients) - 1 :]

    async def data(self, parts: Sequence[bytes]) -> Reply:
        """Hand over a message."""
        (reply,) = await self._said(b"DATA\r\n")
        if self._line is None or reply.code != 354:
            return reply
        try:
            reply = await self._line.hand_over(parts, SECONDS_FOR_DATA)
        except OSError as error:
            return self._gone(error)
        self._open = False
        return _passed_on(reply)

    async def reset(self) -> Reply:
        """End what was begun."""
        self._open = True
        (reply,) = await self._said(b"RSET\r\n")
        self._open = not reply.is_yes
        return reply

    def release(self) -> None:
        """Give the connection back; one in the midst of something is closed, and then nothing of it is delivered."""
        line, self._line = self._line, None
        if line is not None:
            if self._open:
                line.close()
            else:
                self._hops.give(line)
        if self._has_turn:  # after the connection is there for the next one
            self._has_turn = False
            self._hops.turns.release()

    @property
    def _extensions(self) -> frozenset[str]:
        return (self._hops.known or Offers()).extensions

    async def _mail(self, sender: Path) -> Reply:
        if "SMTPUTF8" in sender.parameters and "SMTPUTF8" not in self._extensions:
            return NO_UTF8
        return (await self._said(self._command(b"MAIL FROM:", sender, _OF_MAIL)))[0]

    def _command(self, verb: bytes, path: Path, parameters: Mapping[str, str]) -> bytes:
        said = b"%b<%b>" % (verb, path.address.encode())
        for name, value in path.parameters.items():
            if parameters.get(name) in self._extensions:
                said += f" {name}".encode() if value is None else f" {name}={value}".encode()
        return said + b"\r\n"

    async def _said(self, *commands: bytes) -> Sequence[Reply]:
        """The answers to COMMANDS, as they are passed on."""
        if self._line is None:
            return [AWAY] * len(commands)
        try:
            replies = await self._line.ask(*commands, seconds=SECONDS_FOR_COMMAND)
        except OSError as error:
            return [self._gone(error)] * len(commands)
        if any(reply.code == CLOSING for reply in replies):
            self._line.quit()
            self._line = None
        return list(map(_passed_on, replies))

    def _gone(self, error: Exception) -> Reply:
        log.warning("the connection to the next hop broke: %s", type(error).__name__)
        self._line = None
        self._open = False
        return AWAY


def _passed_on(reply: Reply) -> Reply:
    """REPLY for the client: 421 would end its connection, and what is no answer is one for the time being."""
    if reply.code == CLOSING:
        return Reply(451, reply.text)
    return reply if 200 <= reply.code < 600 and reply.code != 221 else AWAY


def _for_now(reply: Reply) -> Reply:
    """REPLY to our greeting or login: it is not about the message, which is of use once the operator has mended it."""
    return Reply(451, reply.text_as("4")) if reply.is_final else reply
