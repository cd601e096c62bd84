"""The public door: pixels, redirects and the recipient's page, for people who have no account here."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final

from aiohttp import web

from tracker.core.disclosure import Disclosure
from tracker.doors.forms import LARGEST_FORM
from tracker.doors.middlewares import Answered, access_log, errors
from tracker.doors.notice_page import NoticePage
from tracker.doors.pages import Pages, answer_headers
from tracker.doors.peers import HitReader, Network
from tracker.doors.privacy_page import PrivacyPage
from tracker.doors.raw_routes import Captured, RawRoute, RawRoutes
from tracker.doors.server import place
from tracker.doors.well_known import KEY_ROUTE, SECURITY_ROUTE, WellKnown
from tracker.flows.consent import Consents
from tracker.flows.hit import Hits
from tracker.model import BadToken

PIXEL: Final = bytes.fromhex(
    "47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b"  # GIF89a, 1x1, transparent
)
PIXEL_ROUTE: Final = "/o/{delivery}.gif"
LINK_ROUTE: Final = "/c/{delivery}/{link}/{host}/"
_log = logging.getLogger("tracker.http")


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
    door = PublicDoor(hits, pages, HitReader(trusted_proxies, clock))
    privacy = PrivacyPage(consents, pages, clock)
    notice = NoticePage(pages, disclosure)
    files = WellKnown(pages, clock, receipt_key)
    routes = RawRoutes(
        RawRoute(PIXEL_ROUTE, re.compile(r"/o/(?P<name>(?s:.*))"), {"GET": door.pixel}),
        RawRoute(
            LINK_ROUTE,
            re.compile(r"/c/(?P<delivery>[^/]+)/(?P<link>[^/]+)/(?P<host>[^/]+)/?"),
            {"GET": door.redirect},
        ),
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
    return app


class PublicDoor:
    """Answers pixels and links; what they mean is the flow's business."""

    def __init__(self, hits: Hits, pages: Pages, reader: HitReader) -> None:
        self._hits = hits
        self._pages = pages
        self._reader = reader
        self._headers = answer_headers(pages.site.public_url)

    async def pixel(self, request: web.Request, captured: Captured) -> web.StreamResponse:
        """Always the same answer, whatever the path says (LAW.md R33)."""
        name = captured["name"]
        if name.endswith(".gif") and name.isascii():
            try:
                await self._hits.opened(name.removesuffix(".gif"), self._reader.read(request))
            except Exception as error:  # whatever failed, the reader's mail program gets its image
                _log.error("hit failed: %s", place(error))
        return web.Response(body=PIXEL, content_type="image/gif", headers=self._headers)

    async def redirect(self, request: web.Request, captured: Captured) -> web.StreamResponse:
        """302 to the signed target, or the page that shows it and asks. Raises BadToken for anything altered."""
        destination = None
        delivery, link, host = captured["delivery"], captured["link"], captured["host"]
        if (delivery + link + host).isascii():
            destination = await self._hits.clicked(delivery, link, host, self._reader.read(request))
        if destination is None:
            raise BadToken
        if destination.ask:
            language = self._pages.language_of(request)
            values = {"url": destination.url, "host": host, "blocked": destination.blocked}
            return self._pages.answer("destination.html", language, values)
        return web.Response(status=302, headers={**self._headers, "Location": destination.url})
