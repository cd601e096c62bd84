"""Answers whose octets are made once: hits get them as they are, any other way makes a response of them."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from time import time
from typing import Final, Self

from aiohttp import web
from aiohttp.helpers import rfc822_formatted_time

from tracker.doors.server import NAME

_END: Final = b"\r\n"
_LAST: Final = b"Connection: close\r\n\r\n"


class Prepared:
    """An answer to GET that is the same for everybody who gets it."""

    __slots__ = ("_head", "_headers", "_location", "body", "status")

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes = b"") -> None:
        self.status = status
        self.body = body
        self._headers = headers
        self._location: str | None = None
        fields = {**headers, "Server": NAME, "Content-Length": str(len(body))}
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {fields[name]}" for name in fields)]
        self._head = "".join(f"{line}\r\n" for line in lines).encode("ascii")

    def leading_to(self, url: str) -> Self:
        """The same answer with URL, printable ASCII, as its Location. Raises ValueError for anything else."""
        if not url.isprintable():  # a line break would begin another field
            raise ValueError("a location is printable")
        answer = object.__new__(type(self))
        answer.status, answer.body = self.status, self.body
        answer._headers, answer._location = self._headers, url
        answer._head = b"%bLocation: %b\r\n" % (self._head, url.encode("ascii"))
        return answer

    @property
    def headers(self) -> Mapping[str, str]:
        """Its fields, but for those that say how long it is, when and by whom it was made."""
        return self._headers if self._location is None else {**self._headers, "Location": self._location}

    def octets(self, date: bytes, *, last: bool) -> bytes:
        """The whole answer in HTTP/1.1, with a DATE line; LAST: the connection ends with it."""
        return b"".join((self._head, date, _LAST if last else _END, self.body))

    def response(self) -> web.Response:
        """The same for aiohttp, which adds what the connection needs and leaves out the body for HEAD."""
        return web.Response(status=self.status, headers=self.headers, body=self.body or None)


class DateLine:
    """The Date field of this second (RFC 9110 section 6.6.1), made once for all answers in it."""

    def __init__(self) -> None:
        self._second = 0
        self._line = b""

    def __call__(self) -> bytes:
        """The line, with its end."""
        second = int(time())
        if second != self._second:
            self._second = second
            self._line = f"Date: {rfc822_formatted_time()}\r\n".encode("ascii")
        return self._line
