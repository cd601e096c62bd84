"""The public door: pixels, redirects and the recipient's page, for people who have no account here."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial

from aiohttp import web

from tracker.core.disclosure import Disclosure
from tracker.doors.forms import LARGEST_FORM
from tracker.doors.hits import HitDoor
from tracker.doors.lane import LINK, LINK_ROUTE, PIXEL_ROUTE, HitLane
from tracker.doors.middlewares import Answered, access_log, errors
from tracker.doors.notice_page import NoticePage
from tracker.doors.pages import Pages
from tracker.doors.peers import HitReader, Network
from tracker.doors.prepared import Prepared
from tracker.doors.privacy_page import PrivacyPage
from tracker.doors.raw_routes import Captured, RawRoute, RawRoutes
from tracker.doors.server import LANE
from tracker.doors.well_known import KEY_ROUTE, SECURITY_ROUTE, WellKnown
from tracker.flows.consent import Consents
from tracker.flows.hit import Hits
from tracker.model import Hit


def build(
    hits: Hits,
    consents: Consents,
    pages: Pages,
    clock: Callable[[], datetime],
    *,
    disclosure: Disclosure,
    receipt_key: Callable[[], str],
    trusted_proxies: Sequence[Network] = (),
    answered: Answered | None = None,
    more: Iterable[RawRoute] = (),
) -> web.Application:
    """The application of the public listener.

    RECEIPT_KEY gives the public key of receipts; ANSWERED is told route template, method and status of each answer;
    MORE: routes of further pages.
    """
    reader = HitReader(trusted_proxies, clock)
    door = HitDoor(hits, pages)
    rest = _Routes(door, pages, reader)
    privacy = PrivacyPage(consents, pages, clock)
    notice = NoticePage(pages, disclosure)
    files = WellKnown(pages, clock, receipt_key)
    routes = RawRoutes(
        RawRoute(PIXEL_ROUTE, re.compile(r"/o/(?P<name>(?s:.*))"), {"GET": rest.pixel}),
        RawRoute(LINK_ROUTE, LINK, {"GET": rest.redirect}),
        RawRoute("/privacy/{token}", re.compile(r"/privacy/(?P<token>[^/]+)/?"), {"GET": privacy.show}),
        RawRoute(
            "/privacy/{token}/withdraw",
            re.compile(r"/privacy/(?P<token>[^/]+)/withdraw/?"),
            {"GET": privacy.show, "POST": privacy.withdraw},
        ),
        RawRoute("/notice", re.compile(r"/notice/?"), {"GET": notice.show}),
        RawRoute(SECURITY_ROUTE, re.compile(r"/\.well-known/security\.txt"), {"GET": files.security}),
        RawRoute(KEY_ROUTE, re.compile(r"/\.well-known/consent-receipt-key"), {"GET": files.key}),
        RawRoute("/robots.txt", re.compile(r"/robots\.txt"), {"GET": files.robots}),
        *more,
    )
    unlogged = frozenset({PIXEL_ROUTE, LINK_ROUTE})
    app = web.Application(
        middlewares=[access_log(routes.template_of, answered=answered, unlogged=unlogged), errors(pages.error)],
        client_max_size=LARGEST_FORM,
    )
    app.router.add_route("*", r"/{path:[\s\S]*}", routes.dispatch)
    app[LANE] = HitLane(door, pages, reader, answered or (lambda *_: None))
    return app


class _Routes:
    """What the short way does not take: other methods, versions and shapes of request."""

    def __init__(self, door: HitDoor, pages: Pages, reader: HitReader) -> None:
        self._door = door
        self._pages = pages
        self._reader = reader

    async def pixel(self, request: web.Request, captured: Captured) -> web.StreamResponse:
        """As `HitDoor.pixel`."""
        answer: asyncio.Future[Prepared] = asyncio.get_running_loop().create_future()
        self._door.pixel(captured["name"], self._hit(request), partial(_settle, answer))
        return (await answer).response()

    async def redirect(self, request: web.Request, captured: Captured) -> web.StreamResponse:
        """As `HitDoor.redirect`."""
        answer: asyncio.Future[Prepared] = asyncio.get_running_loop().create_future()
        self._door.redirect(
            captured["delivery"],
            captured["link"],
            captured["host"],
            self._hit(request),
            partial(self._pages.language_of, request),
            partial(_settle, answer),
        )
        return (await answer).response()

    def _hit(self, request: web.Request) -> Hit:
        return self._reader.read(request.method, request.headers.items(), request.remote or "")


def _settle(future: asyncio.Future[Prepared], answer: Prepared) -> None:
    if not future.done():  # who asked may have gone
        future.set_result(answer)
