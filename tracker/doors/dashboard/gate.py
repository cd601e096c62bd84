"""Lets a request through to a page when the table of routes allows it, and a form when it comes from a page of ours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import Final
from urllib.parse import quote, urlsplit

from aiohttp import web

from tracker.core.access import Stage
from tracker.doors.dashboard.cookie import Cookie, is_form_key, new_token
from tracker.doors.dashboard.screens import VISIT, Screens
from tracker.doors.dashboard.visit import Page, Route, Visit
from tracker.doors.forms import read_form
from tracker.flows.looks import Looks
from tracker.flows.signing_in import SigningIn
from tracker.model import ForeignForm, Misdirected, NotForYou, SignedOut

SIGN_IN: Final = "/sign-in"
CODE: Final = "/sign-in/code"
ENROL: Final = "/second-factor"
FORM_FIELD: Final = "form"
_LOOPBACK: Final = ("127.", "localhost", "[::1]")


class Gate:
    """Stands before every page."""

    def __init__(
        self,
        signing_in: SigningIn,
        looks: Looks,
        screens: Screens,
        cookie: Cookie,
        clock: Callable[[], datetime],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._signing_in = signing_in
        self._looks = looks
        self._screens = screens
        self._cookie = cookie
        self._clock = clock
        self._random_bytes = random_bytes

    def guard(self, route: Route, page: Page) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """A handler that answers as PAGE does for whom ROUTE allows, and sends others where they can go on.

        Raises NotForYou, SignedOut, ForeignForm, Misdirected, StoreUnavailable, and what `read_form` raises.
        """

        async def handler(request: web.Request) -> web.StreamResponse:
            self._check_host(request)
            now = self._clock()
            token = self._cookie.read(request)
            session = await self._signing_in.session(token, now, used=not route.by_itself) if token else None
            acts = request.method == "POST"
            visit = Visit(
                request=request,
                now=now,
                language=self._screens.language_of(request, session),
                token=token or new_token(self._random_bytes),
                session=session,
            )
            request[VISIT] = visit
            if not route.allows(session):
                return self._elsewhere(visit)
            if acts and not _is_from_here(request):
                raise ForeignForm
            fields = tuple(await read_form(request, route.largest)) if acts else ()
            if acts and not is_form_key(token, dict(fields).get(FORM_FIELD, "")):
                raise ForeignForm
            if route.noted is not None:
                await self._looks.note(visit.signed_in, route.noted, now)
            answer = await page(replace(visit, fields=fields))
            if not token and self._cookie.name not in answer.cookies:
                self._cookie.give(answer, visit.token)  # so that its forms can be told from another site's
            return answer

        return handler

    def _elsewhere(self, visit: Visit) -> web.StreamResponse:
        """Where the visitor can go on instead. Raises NotForYou and SignedOut where that is nowhere."""
        request = visit.request
        if visit.stage is Stage.IN:
            if request.path in (SIGN_IN, CODE):
                return self._screens.go("/")
            raise NotForYou
        if request.method == "POST":
            raise SignedOut
        if visit.stage is Stage.OUT:
            return self._screens.go(f"{SIGN_IN}?next={quote(request.path_qs, safe='')}")
        return self._screens.go(CODE if visit.stage is Stage.CODE else ENROL)

    def _check_host(self, request: web.Request) -> None:
        """Over plain http only a browser on this machine is served: anywhere else the cookie would travel openly."""
        if not self._cookie.secure and not request.host.startswith(_LOOPBACK):
            raise Misdirected


def local(path: str) -> str:
    """PATH if it is one of this listener, to go on to; `/` for anything that leads elsewhere."""
    parts = urlsplit(path)
    plain = path.isascii() and path.isprintable() and "\\" not in path
    if not plain or parts.scheme or parts.netloc or not path.startswith("/") or path.startswith("//"):
        return "/"
    return path


def _is_from_here(request: web.Request) -> bool:
    """Whether a page of ours sent the form: browsers say so, and no page can make them say it."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("Origin", "")
    return bool(origin) and urlsplit(origin).netloc.lower() == request.host.lower()
