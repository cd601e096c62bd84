"""The page behind the link in the notice: GET shows what is stored in general, POST withdraws (promise 6)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from aiohttp import web

from tracker.core.tokens import StopToken
from tracker.doors.forms import read_form
from tracker.doors.mailbox_page import query_of
from tracker.doors.pages import Pages
from tracker.doors.raw_routes import Captured
from tracker.flows.consent import Consents
from tracker.model import MAIL_PURPOSES, BadRequest, BadToken, FormTooLarge, NotRecorded, Purpose


class PrivacyPage:
    """Shows and acts for whoever holds a stop token; no row and, for showing, no store is needed."""

    def __init__(self, consents: Consents, pages: Pages, clock: Callable[[], datetime]) -> None:
        self._consents = consents
        self._pages = pages
        self._clock = clock

    async def show(self, request: web.Request, captured: Captured) -> web.StreamResponse:
        """The page with the buttons. Raises BadToken."""
        stop = self._read(captured["token"])
        language = self._pages.language_of(request, stop.language)
        values = {"action": _action(request, captured), "query": query_of(request)}
        return self._pages.answer("privacy.html", language, values)

    async def withdraw(self, request: web.Request, captured: Captured) -> web.StreamResponse:
        """Record the no; the same answer whether it was news or not, and no redirect (RFC 8058 section 3.2).

        The POST itself is the no; its body can only narrow it to some purposes. Raises BadToken, FormTooLarge.
        """
        stop = self._read(captured["token"])
        purposes = await _purposes(request)
        language = self._pages.language_of(request, stop.language)
        try:
            await self._consents.withdraw_by_link(captured["token"], purposes, self._clock())
        except NotRecorded as error:
            values = {
                **self._pages.error_texts(error, language),
                "action": _action(request, captured),
                "purposes": sorted(purposes) if purposes < MAIL_PURPOSES else (),
            }
            answer = self._pages.answer("not-recorded.html", language, values, status=error.status)
            answer.headers["Retry-After"] = "120"
            return answer
        which = "all" if purposes == MAIL_PURPOSES else next(iter(purposes)).value
        return self._pages.answer("withdrawn.html", language, {"which": which})

    def _read(self, token: str) -> StopToken:
        stop = self._consents.read_stop(token) if token.isascii() else None
        if stop is None:
            raise BadToken
        return stop


def _action(request: web.Request, captured: Captured) -> str:
    return f"/privacy/{captured['token']}/withdraw{query_of(request)}"


async def _purposes(request: web.Request) -> frozenset[Purpose]:
    """The purposes that the form names; a form that says something we cannot follow narrows nothing."""
    try:
        purposes = frozenset(Purpose(value) for name, value in await read_form(request) if name == "purpose")
    except FormTooLarge:
        raise
    except (BadRequest, ValueError):
        return MAIL_PURPOSES
    return purposes if purposes and purposes <= MAIL_PURPOSES else MAIL_PURPOSES
