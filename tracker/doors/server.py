"""Runs a web application so that nothing a client sent reaches a log or comes back in an error.

aiohttp logs the peer and the broken line of a malformed request, and quotes the line in its 400 answer and the
`Expect` field in its 417 (promise 7). Here such a request gets a constant answer and leaves no line; of what fails
inside, only the exception's type and the place in our code are logged. And no connection is held for longer than its
caller asks, sends or takes something.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import socket
import sys
import termios
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, TypeAlias

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler, _ErrInfo, _RequestFactory
from yarl import URL

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
MOST_CONNECTIONS: Final = 10_000
BACKLOG: Final = 1_024
"""Connections that wait to be accepted; the system may allow fewer."""
LARGEST_HEAD: Final = 64 * 1024
"""Octets of all fields of a request; who sends more without coming to an end is cut off."""
UNTAKEN: Final = 60.0
"""Seconds for which a caller may take not one octet of what is sent; as long as it may keep silent."""
LOOKS: Final = 12
"""How often in that time it is looked whether one was taken."""
TOLD_AGAIN: Final = 60.0
"""Seconds for which the log does not say again that the listener is full."""
LOOK: Final = 0.05
"""Seconds between two looks at whether every connection has ended."""
_END: Final = b"\r\n\r\n"
"""Of the fields of a request."""
_PACKAGE: Final = Path(__file__).parent.parent
_log = logging.getLogger("tracker.http")


Malformed: TypeAlias = Callable[[int], web.Response]
"""Makes the answer, with a status, to what cannot be parsed."""
Reply: TypeAlias = Callable[[bytes, bool], None]
"""Sends the octets of an answer; whether they are the last of the connection."""


class Lane(Protocol):
    """A short way for some requests, past the application."""

    def take(self, request: RawRequestMessage, octets: bytes, peer: str, reply: Reply) -> bool:
        """Whether it takes REQUEST, which has no body; then it calls REPLY once, at once or later.

        OCTETS: what it was parsed from, if that was all there was; else nothing.
        """

    def take_again(self, octets: bytes, peer: str, reply: Reply) -> bool:
        """The same for OCTETS that begin where a request does and were not parsed."""


LANE: Final = web.AppKey("lane", Lane)
"""Where an application that has a lane keeps it."""


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
    most: int = MOST_CONNECTIONS,
    untaken: float = UNTAKEN,
    shutdown_timeout: float = 10.0,
) -> QuietRunner:
    """Serve APP on SOCKETS, as `bind` makes them; `cleanup()` of the returned runner stops it and closes them.

    MALFORMED is told nothing of what came but the status it calls for. MOST: connections at a time; beyond that the
    oldest of those that wait for nothing but their caller is closed for a new one. UNTAKEN: seconds for which a caller
    may take nothing of its answer. SHUTDOWN_TIMEOUT: seconds that requests in progress have to finish then.
    """
    runner = QuietRunner(app, malformed or plain, most, untaken, shutdown_timeout=shutdown_timeout)
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


def cut(request: web.Request) -> None:
    """End the connection in the middle of the answer, so that nobody takes it for a whole one."""
    transport = request.transport
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()


class QuietHandler(RequestHandler):
    """One connection; answers what is malformed without a word about it, and has the lane take what it takes.

    aiohttp's task of a connection sleeps until `_waiter` is done. While the lane answers there is none: so the
    connection counts as busy, and what else comes in waits its turn.
    """

    __slots__ = (
        "_asleep",
        "_head",
        "_lane",
        "_left",
        "_line",
        "_look",
        "_malformed",
        "_peer",
        "_server",
        "_unparsed",
        "_untaken",
        "untaken_looks",
    )

    def __init__(
        self, manager: QuietServer, malformed: Malformed, lane: Lane | None, untaken: float, **kw: Any
    ) -> None:
        super().__init__(manager, **kw)
        self._server = manager
        self._malformed = malformed
        self._lane = lane
        self._peer = ""
        self._asleep: asyncio.Future[None] | None = None
        self._head = 0
        """Octets of a request whose fields have not come to their end."""
        self._unparsed = True
        """Whether the next octets begin a request, as far as the parser is concerned."""
        self._line: asyncio.Transport | None = None
        """The transport until the connection is lost; aiohttp forgets its own when it is to be closed."""
        self._untaken = untaken
        self._look: asyncio.TimerHandle | None = None
        self._left = -1
        """Octets that the caller had not taken at the last look."""
        self.untaken_looks = 0
        """At how many looks, one after the other, the caller had taken nothing of what waits for it."""

    @property
    def is_idle(self) -> bool:
        """Whether the connection is open, and all it waits for is a request, or the rest of one's fields."""
        waiting = self._waiter is not None and not self._waiter.done()
        return self.transport is not None and self._asleep is None and (waiting or not self._request_count)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        super().connection_made(transport)
        peer = self.peername
        self._peer = str(peer[0]) if isinstance(peer, tuple) else peer or ""
        self._line = self.transport
        assert self._task_handler is not None
        self._task_handler.add_done_callback(self._end)
        self._server.make_room(self)  # not sooner: the task is to see that it is closed

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client has gone, or was sent away."""
        self._line = None
        self._look_no_more()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client takes its answer more slowly than it is written."""
        super().pause_writing()
        self._begin_to_look()

    def resume_writing(self) -> None:
        """The client has taken some of its answer."""
        self._left = -1  # what is written from now on may make up for it
        super().resume_writing()

    def cut_off(self) -> None:
        """End the connection, and with it what has not been sent."""
        self._look_no_more()
        if self._line is not None:
            self._line.abort()

    def _end(self, task: asyncio.Task[None]) -> None:
        """Close the connection, since nobody serves it any more, however TASK came to its end."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self.log_exception(exc_info=error)
        self.force_close()
        if self._line is not None and self._line.get_write_buffer_size():
            self._begin_to_look()  # closing waits until that has been taken

    def _begin_to_look(self) -> None:
        """See to it that the caller takes what waits for it.

        A look comes seldom and counts octets: when writing may go on is told only after all of a large answer.
        """
        if self._look is None and self._line is not None:
            self._look = self._loop.call_later(self._untaken / LOOKS, self._look_at_line)

    def _look_at_line(self) -> None:
        line, self._look = self._line, None
        if line is None or not (self._paused or line.is_closing()):
            self._look_no_more()
            return
        left = _left(line)
        self.untaken_looks = self.untaken_looks + 1 if left == self._left else 0
        self._left = left
        if self.untaken_looks < LOOKS:
            self._begin_to_look()
        else:
            self.cut_off()

    def _look_no_more(self) -> None:
        if self._look is not None:
            self._look.cancel()
        self._look, self._left, self.untaken_looks = None, -1, 0

    def data_received(self, data: bytes) -> None:
        """Parse DATA, unless the lane knows it as it is, or it goes on with fields that never end."""
        if self._is_known(data):
            return
        self._head += len(data)
        self._receive(data)
        if not self.is_idle:
            self._head = 0
        elif self._head > LARGEST_HEAD:
            self.force_close()

    def _is_known(self, data: bytes) -> bool:
        """Whether DATA is a request that the lane takes although nobody parsed it."""
        lane, waiter = self._lane, self._waiter
        if lane is None or waiter is None or not self._unparsed or not self._may_answer(waiter):
            return False
        self._asleep, self._waiter = waiter, None
        try:
            taken = lane.take_again(data, self._peer, self._reply)
        except BaseException:
            self._asleep, self._waiter = None, waiter  # the task is to see the connection end
            raise
        if taken:
            self._request_count += 1
            self._head = 0
        else:
            self._asleep, self._waiter = None, waiter
        return taken

    def _receive(self, data: bytes) -> None:
        """Parse DATA; a request that the lane takes never wakes the task."""
        lane, waiter = self._lane, self._waiter
        if lane is None or waiter is None or not self._may_answer(waiter):
            self._is_parsed_alone(data)
            return
        self._waiter = None
        try:
            alone = self._is_parsed_alone(data)
        finally:
            self._waiter = waiter
        if self._messages and not (len(self._messages) == 1 and self._is_taken(lane, data if alone else b"", waiter)):
            waiter.set_result(None)

    def _is_parsed_alone(self, data: bytes) -> bool:
        """Parse DATA; whether it was one GET request without a body and nothing else, so that the next begins anew."""
        unparsed, waiting, self._unparsed = self._unparsed, len(self._messages), False
        try:
            super().data_received(data)
        except Exception as error:  # the parser lets through what yarl raises, such as IndexError for http://[v1.a]@/
            self._refuse(error)
        if unparsed and len(self._messages) == waiting + 1 and self._messages[-1][1] is EMPTY_PAYLOAD:
            self._unparsed = data.startswith(b"GET ") and data.find(_END) == len(data) - len(_END)
        return self._unparsed

    def _refuse(self, error: Exception) -> None:
        """Have the task answer that the next request is malformed, as it does when the parser says so."""
        self._request_count += 1
        self._messages.append((_ErrInfo(HTTPStatus.BAD_REQUEST, error, ""), EMPTY_PAYLOAD))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _may_answer(self, waiter: asyncio.Future[None]) -> bool:
        """Whether the lane's answer can be sent at once, and need not say that it ends the connection."""
        return not (waiter.done() or self._paused or self._server.leaving)

    def _is_taken(self, lane: Lane, octets: bytes, waiter: asyncio.Future[None]) -> bool:
        request, payload = self._messages[0]
        if payload is not EMPTY_PAYLOAD or not isinstance(request, RawRequestMessage) or request.upgrade:
            return False
        self._messages.clear()
        self._asleep, self._waiter = waiter, None
        try:
            taken = lane.take(request, octets, self._peer, self._reply)
        except BaseException:
            self._asleep, self._waiter = None, waiter
            raise
        if taken:
            self._head = 0
            if self._parser is not None:
                self._parser.message_consumed()
        else:
            self._messages.append((request, payload))
            self._asleep, self._waiter = None, waiter
        return taken

    def _reply(self, octets: bytes, last: bool) -> None:
        """Send the lane's answer and go on as the task would after its own."""
        waiter, self._asleep = self._asleep, None
        if waiter is None:
            return
        transport = self.transport
        if transport is not None:
            transport.write(octets)
        if last or self._close or self._force_close or transport is None:
            waiter.cancel()
            self._close = True
            if transport is not None:
                transport.close()
            return
        self._waiter = waiter
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self._keepalive_handle is None:  # it came while the answer waited
            self._keepalive_handle = self._loop.call_at(self._next_keepalive_close_time, self._process_keepalive)
        if self._messages and not waiter.done():
            waiter.set_result(None)

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
        answer = self._malformed(status)
        answer.headers["Server"] = NAME
        return answer

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log type and place of an exception, none of aiohttp's words about it."""
        error = kw.get("exc_info")
        _log.error("connection failed: %s", place(error) if isinstance(error, BaseException) else "no exception")

    def log_debug(self, *args: Any, **kw: Any) -> None:
        """Nothing: debug lines of the library are no use to an operator."""


class Unreadable(web.BaseRequest):
    """A request with a target that nobody can make out; its path is none that was asked for."""


class QuietServer(web.Server):
    """Makes quiet handlers for the requests that another server was made for."""

    def __init__(self, server: web.Server, malformed: Malformed, lane: Lane | None, most: int, untaken: float) -> None:
        self._malformed = malformed
        self._lane = lane
        self._most = most
        self._untaken = untaken
        self._answer = server.request_handler
        self._turned_away = 0
        """Callers for whom there was no room, since the log last said so."""
        self._told_at: float | None = None
        self.leaving = False
        """Whether each connection is to end with its next answer."""
        super().__init__(self._guarded, request_factory=partial(self._made, server.request_factory), **LIMITS)

    def __call__(self) -> RequestHandler:
        """A handler for a new connection."""
        return QuietHandler(self, self._malformed, self._lane, self._untaken, loop=self._loop, **self._kwargs)

    def make_room(self, newcomer: QuietHandler) -> None:
        """Where there are too many connections, close the oldest of those that are idle for NEWCOMER.

        Without one, that which has not been taking its answer for longest; without that, NEWCOMER.
        """
        if len(self._connections) <= self._most:
            return
        idle = next((one for one in self._quiet() if one.is_idle), newcomer)
        if idle is not newcomer:
            idle.force_close()
            return
        slowest = max(self._quiet(), key=lambda one: one.untaken_looks, default=newcomer)
        if slowest.untaken_looks:
            slowest.cut_off()
        else:
            self._turn_away(newcomer)

    def _quiet(self) -> Iterator[QuietHandler]:
        """The connections, the oldest first."""
        return (one for one in self._connections if isinstance(one, QuietHandler))

    def _turn_away(self, newcomer: QuietHandler) -> None:
        """Close NEWCOMER, and say so at once, then once in TOLD_AGAIN seconds at most."""
        newcomer.force_close()
        self._turned_away += 1
        now = self._loop.time()
        if self._told_at is None or now - self._told_at >= TOLD_AGAIN:
            _log.warning("all %d connections are busy; callers turned away: %d", self._most, self._turned_away)
            self._turned_away, self._told_at = 0, now

    def _made(
        self,
        make: _RequestFactory,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        """What MAKE makes of MESSAGE. It raises UnicodeError for a host that is no name, such as `http://xn--a/`."""
        try:
            return make(message, payload, protocol, writer, task)
        except Exception:  # nobody else catches it: the connection would be left without its task
            return Unreadable(message._replace(url=URL("/")), payload, protocol, writer, task, self._loop)

    async def _guarded(self, request: web.BaseRequest) -> web.StreamResponse:
        answer: web.StreamResponse
        try:
            if isinstance(request, Unreadable):
                answer = self._malformed(HTTPStatus.BAD_REQUEST)
            else:
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

    def __init__(
        self,
        app: web.Application,
        malformed: Malformed = plain,
        most: int = MOST_CONNECTIONS,
        untaken: float = UNTAKEN,
        **kw: Any,
    ) -> None:
        super().__init__(app, **kw)
        self._malformed = malformed
        self._lane = app.get(LANE)
        self._most = most
        self._untaken = untaken
        self._quiet: QuietServer | None = None

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        self._quiet = QuietServer(server, self._malformed, self._lane, self._most, self._untaken)
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
                await asyncio.sleep(LOOK)  # what was taken a moment ago is no connection yet
                while self._quiet.connections:
                    await asyncio.sleep(LOOK)


def _left(line: asyncio.Transport) -> int:
    """Octets that wait in LINE, and that wait in the kernel until the peer's has acknowledged them (SIOCOUTQ, tcp(7)).

    The kernel takes more only when a good part of what it has was acknowledged: on a slow line that takes minutes.
    """
    waiting = bytes(4)
    with suppress(OSError):  # other systems than Linux do not tell
        waiting = fcntl.ioctl(line.get_extra_info("socket").fileno(), termios.TIOCOUTQ, waiting)
    return line.get_write_buffer_size() + int.from_bytes(waiting, sys.byteorder)


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
