"""Listens for mail systems, and ends their connections without losing an answer."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Final

from tracker.doors.smtp.office import Office
from tracker.doors.smtp.session import SmtpSession

BACKLOG: Final = 1_024


class SmtpDoor:
    """The listeners; what their connections have in common is the OFFICE."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._servers: list[asyncio.Server] = []

    async def listen(self, where: socket.socket, *, tls: bool = False) -> None:
        """Answer on the socket WHERE, which is bound; in TLS from the first octet if TLS."""
        _silence()
        loop = asyncio.get_running_loop()
        context = self._office.certificate if tls else None
        server = await loop.create_server(lambda: SmtpSession(self._office), sock=where, ssl=context, backlog=BACKLOG)
        self._servers.append(server)

    async def close(self) -> None:
        """Take nothing more, finish what is on its way to the next hop, and hang up."""
        for server in self._servers:
            server.close()
        await self._office.finish()


def _silence() -> None:
    """aiosmtpd logs what clients say: nothing of that goes anywhere, whoever configures logging and how."""
    theirs = logging.getLogger("mail.log")
    theirs.setLevel(logging.CRITICAL + 1)
    theirs.propagate = False


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens at HOST and PORT. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)
