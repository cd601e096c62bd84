"""Runs a web application so that nothing a client sent reaches a log or comes back in an error.

aiohttp logs the peer and the broken line of a malformed request, and quotes the line in its 400 answer and the
`Expect` field in its 417 (promise 7). Here such a request gets a constant answer and leaves no line; of what fails
inside, only the exception's type and the place in our code are logged.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeAlias

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

NAME: Final = "tracker"
"""What the Server field says, instead of the versions of Python and aiohttp."""
PLAIN_HEADERS: Final = {"Server": NAME, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
LIMITS: Final[dict[str, Any]] = {
    "keepalive_timeout": 60.0,  # seconds; also ends connections that never send a whole request
    "lingering_time": 5.0,  # seconds to read on after an early answer
    "max_line_size": 8190,  # bytes of the request line; our URLs are under 2,000
    "max_field_size": 8190,
    "access_log": None,  # ours is a middleware that knows the route's template, see doors/middlewares
}
BACKLOG: Final = 1024
"""Connections that wait to be accepted."""
LOOK: Final = 0.05
"""Seconds between two looks at whether every connection has ended."""
_PACKAGE: Final = Path(__file__).parent.parent
_log = logging.getLogger("tracker.http")


Malformed: TypeAlias = Callable[[int], web.Response]
"""Makes the answer, with a status, to what cannot be parsed."""


def bind(host: str, port: int) -> tuple[socket.socket, ...]:
    """Listening sockets for every address of HOST, a name or an address, and PORT (0: any free one). Raises OSError."""
    bound: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in _addresses(host, port):
            one = socket.socket(family, kind, protocol)
            bound.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # IPv4 has a socket of its own
            one.bind(address)
            one.listen(BACKLOG)
    except BaseException:
        for one in bound:
            one.close()
        raise
    return tuple(bound)


async def listen(
    app: web.Application,
    sockets: Sequence[socket.socket],
    *,
    malformed: Malformed | None = None,
    shutdown_timeout: float = 10.0,
) -> QuietRunner:
    """Serve APP on SOCKETS, as `bind` makes them; `cleanup()` of the returned runner stops it and closes them.

    MALFORMED is told nothing of what came but the status it calls for.
    SHUTDOWN_TIMEOUT: seconds that requests in progress have to finish then.
    """
    runner = QuietRunner(app, malformed or plain, shutdown_timeout=shutdown_timeout)
    await runner.setup()
    try:
        for one in sockets:
            await web.SockSite(runner, one, backlog=BACKLOG).start()
    except BaseException:
        await runner.cleanup()
        raise
    return runner


def place(error: BaseException) -> str:
    """What may be logged of ERROR: its type, and the last line of our own code that it passed. Never its text."""
    return f"{type(error).__qualname__} at {_last_own_line(error.__traceback__)}"


def plain(status: int) -> web.Response:
    """An answer with STATUS and its standard phrase, the same for every client."""
    answer = web.Response(status=status, text=f"{status} {HTTPStatus(status).phrase}\n", headers=PLAIN_HEADERS)
    answer.force_close()
    return answer


class QuietHandler(RequestHandler):
    """One connection; answers what is malformed without a word about it."""

    __slots__ = ("_malformed",)

    def __init__(self, manager: web.Server, malformed: Malformed, **kw: Any) -> None:
        super().__init__(manager, **kw)
        self._malformed = malformed

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The constant answer to what cannot be parsed (400), took too long (504) or failed outside all else."""
        if exc is not None and status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.error("request failed: %s", place(exc))
        if request.writer.output_size > 0:
            raise ConnectionError("part of the answer has left already")
        return self._malformed(status)

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log type and place of an exception, none of aiohttp's words about it."""
        error = kw.get("exc_info")
        _log.error("connection failed: %s", place(error) if isinstance(error, BaseException) else "no exception")

    def log_debug(self, *args: Any, **kw: Any) -> None:
        """Nothing: debug lines of the library are no use to an operator."""


class QuietServer(web.Server):
    """Makes quiet handlers for the requests that another server was made for."""

    def __init__(self, server: web.Server, malformed: Malformed) -> None:
        self._malformed = malformed
        self._answer = server.request_handler
        self.leaving = False
        """Whether each connection is to end with its next answer."""
        super().__init__(self._guarded, request_factory=server.request_factory, **LIMITS)

    def __call__(self) -> RequestHandler:
        """A handler for a new connection."""
        return QuietHandler(self, self._malformed, loop=self._loop, **self._kwargs)

    async def _guarded(self, request: web.BaseRequest) -> web.StreamResponse:
        answer: web.StreamResponse
        try:
            answer = await self._answer(request)
        except web.HTTPException as error:  # raised before any middleware, such as 417
            answer = self._malformed(error.status)
        if not answer.prepared:
            answer.headers["Server"] = NAME
            if self.leaving:
                answer.force_close()
        return answer


class QuietRunner(web.AppRunner):
    """Runs an application on a quiet server."""

    def __init__(self, app: web.Application, malformed: Malformed = plain, **kw: Any) -> None:
        super().__init__(app, **kw)
        self._malformed = malformed
        self._quiet: QuietServer | None = None

    async def _make_server(self) -> web.Server:
        self._quiet = QuietServer(await super()._make_server(), self._malformed)
        return self._quiet

    async def hand_over(self, seconds: float) -> None:
        """Take no new connection, and let those there are end: each with its next answer, which says so.

        Returns when all have, and after SECONDS at the latest: by then who is left has asked nothing for so long, or
        waits for an answer, which `cleanup` will still give.
        """
        assert self._quiet is not None
        self._quiet.leaving = True
        for site in self.sites:
            await site.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._quiet.connections:
                    await asyncio.sleep(LOOK)


def _addresses(host: str, port: int) -> list[Any]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys(found))


def _last_own_line(trace: TracebackType | None) -> str:
    found = "a library"
    while trace is not None:
        path = Path(trace.tb_frame.f_code.co_filename)
        if path.is_relative_to(_PACKAGE):
            found = f"{path.relative_to(_PACKAGE.parent).as_posix()}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found
