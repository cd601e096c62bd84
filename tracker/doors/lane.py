"""The short way of hits: from the parsed request to the socket, past everything that pages need.

It takes what nearly all hits are, GET in HTTP/1.1 without a body or a query. They get the same answers, counted alike,
as the routes of doors/public give, which take the rest; a test compares the two.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Final

from aiohttp.http import HttpVersion11, RawRequestMessage

from tracker.doors.heads import Heads
from tracker.doors.hits import HitDoor
from tracker.doors.middlewares import Answered
from tracker.doors.pages import Pages
from tracker.doors.peers import HitReader
from tracker.doors.prepared import DateLine, Prepared
from tracker.doors.server import Reply
from tracker.model import Hit, Language

PIXEL_ROUTE: Final = "/o/{delivery}.gif"
LINK_ROUTE: Final = "/c/{delivery}/{link}/{host}/"
LINK: Final = re.compile(r"/c/(?P<delivery>[^/]++)/(?P<link>[^/]++)/(?P<host>[^/]++)/?")
_PIXEL: Final = "/o/"


class HitLane:
    """Takes the hits among the requests of the public listener."""

    def __init__(self, door: HitDoor, pages: Pages, reader: HitReader, answered: Answered) -> None:
        self._door = door
        self._pages = pages
        self._reader = reader
        self._answered = answered
        self._date = DateLine()
        self._heads = Heads(behind_proxy=reader.behind_proxy)

    def take(self, request: RawRequestMessage, octets: bytes, peer: str, reply: Reply) -> bool:
        """Whether REQUEST, without a body, from the address PEER is a hit; then REPLY is called once.

        OCTETS: what it was parsed from, if that was all there was.
        """
        path = request.path
        if request.method != "GET" or request.version != HttpVersion11 or "?" in path or "#" in path:
            return False
        if not request.should_close and (head := self._heads.read(octets)):
            self._heads.parsed(head, request.headers.getall("X-Forwarded-For", ()))
        hit = self._reader.read("GET", request.headers.items(), peer)
        return self._is_answered(path, hit, request.should_close, reply)

    def take_again(self, octets: bytes, peer: str, reply: Reply) -> bool:
        """The same for OCTETS that nobody parsed: whether they are a hit, whole and alone, whose fields are known."""
        head = self._heads.read(octets)
        if head is None or not self._heads.knows(head):
            return False
        return self._is_answered(head.path, self._reader.read_again(head, peer), False, reply)

    def _is_answered(self, path: str, hit: Hit, last: bool, reply: Reply) -> bool:
        if path.startswith(_PIXEL):
            self._door.pixel(path[len(_PIXEL) :], hit, partial(self._reply, PIXEL_ROUTE, last, reply))
            return True
        link = LINK.fullmatch(path)
        if link is None:
            return False
        delivery, part, host = link.groups()
        then = partial(self._reply, LINK_ROUTE, last, reply)
        self._door.redirect(delivery, part, host, hit, partial(self._language, hit.headers), then)
        return True

    def _language(self, headers: Mapping[str, str]) -> Language:
        return self._pages.language((headers.get("accept-language", ""),))

    def _reply(self, route: str, last: bool, reply: Reply, answer: Prepared) -> None:
        self._answered(route, "GET", answer.status)
        reply(answer.octets(self._date(), last=last), last)
