"""The short way of hits: from the parsed request to the socket, past everything that pages need.

It takes what nearly all hits are, GET in HTTP/1.1 without a body or a query. They get the same answers, counted alike,
as the routes of doors/public give, which take the rest; a test compares the two.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Final

from aiohttp.http import HttpVersion11, RawRequestMessage

from tracker.doors.hits import HitDoor
from tracker.doors.middlewares import Answered
from tracker.doors.pages import Pages
from tracker.doors.peers import HitReader
from tracker.doors.prepared import DateLine, Prepared
from tracker.doors.server import Reply
from tracker.model import Language

PIXEL_ROUTE: Final = "/o/{delivery}.gif"
LINK_ROUTE: Final = "/c/{delivery}/{link}/{host}/"
LINK: Final = re.compile(r"/c/(?P<delivery>[^/]+)/(?P<link>[^/]+)/(?P<host>[^/]+)/?")
_PIXEL: Final = "/o/"


class HitLane:
    """Takes the hits among the requests of the public listener."""

    def __init__(self, door: HitDoor, pages: Pages, reader: HitReader, answered: Answered) -> None:
        self._door = door
        self._pages = pages
        self._reader = reader
        self._answered = answered
        self._date = DateLine()

    def take(self, request: RawRequestMessage, peer: str, reply: Reply) -> bool:
        """Whether REQUEST, without a body, from the address PEER is a hit; then REPLY is called once."""
        path = request.path
        if request.method != "GET" or request.version != HttpVersion11 or "?" in path or "#" in path:
            return False
        if path.startswith(_PIXEL):
            then = partial(self._reply, PIXEL_ROUTE, request.should_close, reply)
            self._door.pixel(path[len(_PIXEL) :], self._reader.read("GET", request.headers.items(), peer), then)
            return True
        link = LINK.fullmatch(path)
        if link is None:
            return False
        then = partial(self._reply, LINK_ROUTE, request.should_close, reply)
        hit = self._reader.read("GET", request.headers.items(), peer)
        delivery, part, host = link.groups()
        self._door.redirect(delivery, part, host, hit, partial(self._language, request), then)
        return True

    def _language(self, request: RawRequestMessage) -> Language:
        return self._pages.language(request.headers.getall("Accept-Language", ()))

    def _reply(self, route: str, last: bool, reply: Reply, answer: Prepared) -> None:
        self._answered(route, "GET", answer.status)
        reply(answer.octets(self._date(), last=last), last)
