"""One connection to the next hop between its login and its end: whole messages in one write, commands in groups.

The library connects and logs in; from there on its own commands would take longer than all else that happens to a
message: a lock, a timer and several passes over the octets for each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, cast

from tracker.model import Reply

LONGEST_ANSWER: Final = 2**16
"""Octets of an answer that is still read."""


class Line(asyncio.Protocol):
    """Asks, and hears the answers. What comes unasked ends it: `421`, as a rule, for having been idle too long."""

    def __init__(self, transport: asyncio.Transport, *, pipelining: bool) -> None:
        """TRANSPORT is connected and logged in; PIPELINING: the other side takes several commands at once."""
        self.pipelining = pipelining
        self._transport = transport
        self._said = bytearray()
        self._replies: list[Reply] = []
        self._lines: list[str] = []
        self._wanted = 0
        self._answered: asyncio.Future[list[Reply]] | None = None
        transport.set_protocol(self)

    @property
    def is_open(self) -> bool:
        """As far as it is known."""
        return not self._transport.is_closing()

    async def ask(self, *commands: bytes, seconds: float) -> list[Reply]:
        """The answers to COMMANDS, which end with CRLF; they are sent at once where that may be.

        Raises ConnectionError, TimeoutError after SECONDS without all answers; then the line is closed.
        """
        if self.pipelining or len(commands) == 1:
            return await self._asked(commands, len(commands), seconds)
        return [reply for command in commands for reply in await self._asked((command,), 1, seconds)]

    async def hand_over(self, parts: Sequence[bytes], seconds: float) -> Reply:
        """The answer to the message that PARTS, in CRLF, make; `DATA` was answered with 354. Raises as `ask`."""
        (reply,) = await self._asked(stuffed(parts), 1, seconds)
        return reply

    def quit(self) -> None:
        """Say goodbye and close, without waiting for an answer."""
        if self.is_open:
            self._transport.write(b"QUIT\r\n")
            self._transport.close()

    def close(self) -> None:
        """Cut it off: a transaction that is under way is not to be carried out."""
        self._transport.abort()

    async def _asked(self, octets: Sequence[bytes], answers: int, seconds: float) -> list[Reply]:
        if not self.is_open:
            raise ConnectionResetError
        loop = asyncio.get_running_loop()
        self._answered = loop.create_future()
        self._wanted = answers
        self._replies = []
        self._transport.writelines(octets)
        timer = loop.call_later(seconds, self._late)
        try:
            return await self._answered
        except BaseException:
            self.close()
            raise
        finally:
            timer.cancel()
            self._answered = None

    def _late(self) -> None:
        self._fail(TimeoutError())

    def _fail(self, error: Exception) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(error)

    # --- what the event loop calls --------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Something was said."""
        if self._answered is None or self._answered.done():
            self.close()
            return
        self._said += data
        try:
            self._read()
        except ValueError:
            self._fail(ConnectionAbortedError())
            return
        if len(self._said) > LONGEST_ANSWER:
            self._fail(ConnectionAbortedError())
        elif len(self._replies) >= self._wanted:
            self._answered.set_result(self._replies[: self._wanted])
            if len(self._replies) > self._wanted:  # what was asked is answered, and then it says goodbye
                self.quit()

    def eof_received(self) -> bool:
        """The other side hangs up."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """It has gone."""
        self._fail(ConnectionResetError())

    def _read(self) -> None:
        """Take whole answers out of what was said. Raises ValueError for what is none."""
        at = 0
        while (end := self._said.find(b"\n", at)) >= 0:
            line = bytes(self._said[at:end])
            at = end + 1
            self._lines.append(line[4:].rstrip(b"\r").decode("utf-8", "surrogateescape"))
            if line[3:4] != b"-":
                self._replies.append(Reply(int(line[:3]), "\n".join(self._lines)))
                self._lines = []
        del self._said[:at]


def stuffed(parts: Sequence[bytes]) -> list[bytes]:
    """What follows DATA (RFC 5321, section 4.5.2) for the message that PARTS make; all but the last end with CRLF."""
    whole = parts
    if any(b"\r\n." in part or part.startswith(b".") for part in parts):
        message = b"".join(parts).replace(b"\r\n.", b"\r\n..")
        whole = [b"." + message if message.startswith(b".") else message]
    last = next((part for part in reversed(whole) if part), b"\r\n")
    return [*whole, b".\r\n" if last.endswith(b"\r\n") else b"\r\n.\r\n"]


def line_of(transport: asyncio.BaseTransport | None, *, pipelining: bool) -> Line:
    """A line over TRANSPORT, of which the library lets go. Raises ConnectionError when it has gone already."""
    if transport is None or transport.is_closing():
        raise ConnectionResetError
    return Line(cast(asyncio.Transport, transport), pipelining=pipelining)  # uvloop's own are no subclass
