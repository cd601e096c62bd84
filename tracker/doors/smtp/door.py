"""Listens for mail systems, and ends their connections without losing an answer."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from tracker.doors.smtp.office import Office
from tracker.doors.smtp.session import SmtpSession

BACKLOG: Final = 1_024


class SmtpDoor:
    """The listeners; what their connections have in common is the OFFICE."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._servers: list[asyncio.Server] = []

    async def listen(self, *, tls: bool = False, **where: Any) -> int:
        """Answer at WHERE, in TLS from the first octet if TLS; the port. Raises OSError.

        WHERE: `host` and `port`, or `sock` which is bound, as the event loop's `create_server` takes them.
        """
        _silence()
        loop = asyncio.get_running_loop()
        context = self._office.certificate if tls else None
        server = await loop.create_server(lambda: SmtpSession(self._office), ssl=context, backlog=BACKLOG, **where)
        self._servers.append(server)
        port: int = server.sockets[0].getsockname()[1]
        return port

    async def hand_over(self, seconds: float) -> None:
        """Take no new connection, since others do, and let those there are end: `Office.hand_over`."""
        self._stop_listening()
        await self._office.hand_over(seconds)

    async def close(self) -> None:
        """Take nothing more, finish what was begun, and hang up: `Office.finish`."""
        self._stop_listening()
        await self._office.finish()

    def _stop_listening(self) -> None:
        for server in self._servers:
            server.close()


def _silence() -> None:
    """aiosmtpd logs what clients say: nothing of that goes anywhere, whoever configures logging and how."""
    theirs = logging.getLogger("mail.log")
    theirs.setLevel(logging.CRITICAL + 1)
    theirs.propagate = False
