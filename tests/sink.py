"""A next hop that does as a test tells it: a plain SMTP server which keeps what it takes, octet by octet."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Taken:
    """A message, as it was taken."""

    mail: str
    """What followed `MAIL `."""
    rcpts: tuple[str, ...]
    octets: bytes

    @property
    def recipients(self) -> tuple[str, ...]:
        return tuple(re.findall(r"<(.*?)>", " ".join(self.rcpts)))

    @property
    def below_received(self) -> bytes:
        """The message without the Received line on top."""
        assert self.octets.startswith(b"Received: by "), self.octets[:80]
        return self.octets[re.search(rb"\r\n(?![ \t])", self.octets).end() :]  # type: ignore[union-attr]


@dataclass
class Sink:
    """Answers `250 2.0.0 ok` unless `answers` has something else for a command, or for the recipients of a message."""

    port: int = 0
    extensions: tuple[str, ...] = ("8BITMIME", "SMTPUTF8", "DSN", "SIZE 10000000")
    greeting: str = "220 sink"
    answers: dict[str, str] = field(default_factory=dict)
    """By the start of a command, such as `RCPT TO:<x@y`, or `DATA x@y,z@y` for what was sent to just these."""
    taken: list[Taken] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    connections: int = 0
    before_answer: Callable[[str], object] | None = None
    """Is told each command before it is answered; `DATA x@y` when a message has come."""
    after_taking: Callable[[Taken], object] | None = None
    """Is told each message that was taken, before that is answered."""
    hold: asyncio.Event | None = None
    """While it is not set, no message is answered."""

    @property
    def next_hop(self) -> str:
        return f"127.0.0.1:{self.port}"

    def answer(self, command: str) -> str:
        self.commands.append(command)
        if self.before_answer is not None:
            self.before_answer(command)
        found = [start for start in self.answers if command.startswith(start)]
        return self.answers[max(found, key=len)] if found else "250 2.0.0 ok"

    async def session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1

        def say(text: str) -> None:
            writer.write(text.encode() + b"\r\n")

        mail, rcpts = "", list[str]()
        say(self.greeting)
        try:
            while line := (await reader.readline()).decode().rstrip("\r\n"):
                verb = line[:4].upper()
                if verb == "EHLO":
                    self.commands.append(line)
                    lines = ["sink", *self.extensions]
                    say("\r\n".join(f"250{'-' if n < len(lines) - 1 else ' '}{word}" for n, word in enumerate(lines)))
                elif verb == "DATA":
                    say("354 go on")
                    octets = await reader.readuntil(b"\r\n.\r\n")
                    message = octets[:-3].replace(b"\r\n.", b"\r\n").removeprefix(b".")
                    copy = Taken(mail, tuple(rcpts), message)
                    answer = self.answer(f"DATA {','.join(copy.recipients)}")
                    if self.hold is not None:
                        await self.hold.wait()
                    if answer.startswith("2"):
                        self.taken.append(copy)
                        if self.after_taking is not None:
                            self.after_taking(copy)
                    if answer == "cut":
                        return
                    say(answer)
                    mail, rcpts = "", []
                elif verb == "QUIT":
                    say("221 bye")
                    return
                else:
                    answer = self.answer(line)
                    if answer.startswith("2") and verb == "MAIL":
                        mail, rcpts = line[5:], []
                    if answer.startswith("2") and verb == "RCPT":
                        rcpts.append(line[5:])
                    say(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def sink() -> AsyncIterator[Sink]:
    """A running one, on a free loopback port."""
    one = Sink()
    server = await asyncio.start_server(one.session, "127.0.0.1", 0, limit=2**24)
    one.port = server.sockets[0].getsockname()[1]
    try:
        yield one
    finally:
        server.close()
