"""Hands webhooks to the one system that the settings name, over https, and never to a private address unless allowed.

The law: the address that is checked is the one that is connected to, whatever the DNS says the next time; no redirect
is followed, no proxy asked, no cookie kept, and what the receiver says is not read.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from aiohttp.abc import AbstractResolver

from tracker.core.public_address import is_public
from tracker.model import WebhookNotSent

PATIENCE: Final = ClientTimeout(total=10)


class PrivateAddress(OSError):
    """A connection to an address that is not of the public Internet."""


class WebhookClient:
    """Posts to one URL. To be closed."""

    def __init__(self, url: str, *, private: bool, resolver: AbstractResolver | None = None) -> None:
        """PRIVATE: whether it may be at a private address. RESOLVER: default: the system's."""
        self._url = url
        self._private = private
        self._resolver = resolver
        self._session: ClientSession | None = None

    async def post(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Hand BODY over with HEADERS. Raises WebhookNotSent, which says no more than a status or a kind of error."""
        try:
            async with self._opened().post(
                self._url, data=body, headers=headers, allow_redirects=False, skip_auto_headers=("User-Agent",)
            ) as answer:
                status = answer.status
        except (ClientError, OSError, TimeoutError) as error:
            raise WebhookNotSent(_cause(error)) from None
        if not 200 <= status < 300:
            raise WebhookNotSent(str(status))

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> ClientSession:
        if self._session is None:
            connector = TCPConnector(resolver=self._resolver, use_dns_cache=False, socket_factory=self._socket)
            self._session = ClientSession(
                connector=connector, timeout=PATIENCE, cookie_jar=DummyCookieJar(), trust_env=False
            )
        return self._session

    def _socket(self, where: Any) -> socket.socket:
        """A socket for WHERE, the address that is about to be connected to, as getaddrinfo tells it."""
        family, kind, protocol, _, address = where
        if not self._private and not is_public(str(address[0])):
            raise PrivateAddress("an address of a private network")
        return socket.socket(family=family, type=kind, proto=protocol)


def _cause(error: BaseException) -> str:
    cause = error.__cause__ if error.__cause__ is not None else error
    return type(cause).__name__
