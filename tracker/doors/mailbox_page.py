"""The pages on which a person proves a mailbox: the address is typed, a link mailed, and opened by a button.

The law (LAW.md R49): every address gets the same answer; no GET spends a link or shows anything about anybody.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Final

from aiohttp import web

from tracker.core.mailbox import VALID
from tracker.doors.courier import lasting
from tracker.doors.forms import read_form
from tracker.doors.pages import Pages, chosen
from tracker.doors.raw_routes import Captured, RawRoute
from tracker.flows.mailbox import LINK, Mailbox, Session
from tracker.flows.mailing import A_DAY
from tracker.model import InvalidAddress, Language

HOME: Final = "/me"
"""The page of a session."""


class MailboxPage:
    """Answers `/privacy`, where the link is asked for, and `/me/{token}`, where it is used."""

    def __init__(self, mailbox: Mailbox, pages: Pages, clock: Callable[[], datetime]) -> None:
        self._mailbox = mailbox
        self._pages = pages
        self._clock = clock
        self._cookie = SessionCookie(pages.site.public_url)

    @property
    def routes(self) -> tuple[RawRoute, ...]:
        """What it answers; `/me/{token}` after the pages of a session."""
        return (
            RawRoute("/privacy", re.compile(r"/privacy/?"), {"GET": self.form, "POST": self.send}),
            RawRoute("/me/{token}", re.compile(r"/me/(?P<token>[^/]+)/?"), {"GET": self.show, "POST": self.open}),
        )

    async def form(self, request: web.Request, _: Captured) -> web.StreamResponse:
        """The form; without a next hop, whom to write to instead."""
        return self._form(request)

    async def send(self, request: web.Request, _: Captured) -> web.StreamResponse:
        """Mail a link soon; the same answer for every address. Raises StoreUnavailable, FormTooLarge, BadRequest."""
        if not self._mailbox.possible:
            return self._form(request)
        language = self._pages.language_of(request)
        address = dict(await read_form(request)).get("address", "").strip()
        try:
            await self._mailbox.send_link(address, language, self._clock())
        except InvalidAddress as error:
            return self._form(request, wrong=True, status=error.status)
        return self._pages.answer("mailbox-sent.html", language, self._values(request, language))

    async def show(self, request: web.Request, captured: Captured) -> web.StreamResponse:
        """The button behind the link. Whether it was pressed before is not looked up."""
        proven = self._mailbox.read_link(captured["token"], self._clock())
        if proven is None:
            return self._over(request)
        language = self._pages.language_of(request, proven.language)
        values = {**self._values(request, language), "action": f"{LINK}{captured['token']}{query_of(request)}"}
        return self._pages.answer("mailbox-link.html", language, values)

    async def open(self, request: web.Request, captured: Captured) -> web.StreamResponse:
        """Spend the link, set the cookie, go on to the page of the session. Raises StoreUnavailable."""
        session = await self._mailbox.open(captured["token"], self._clock())
        if session is None:
            return self._over(request)
        language = self._pages.language_of(request, session.language)
        location = f"{HOME}?lang={language.value}"
        answer = web.Response(status=303, headers={**self._pages.headers, "Location": location})
        self._cookie.give(answer, session)
        return answer

    def _form(self, request: web.Request, *, wrong: bool = False, status: int = 200) -> web.Response:
        language = self._pages.language_of(request)
        values = {**self._values(request, language), "possible": self._mailbox.possible, "wrong": wrong}
        return self._pages.answer("mailbox.html", language, values, status=status)

    def _over(self, request: web.Request) -> web.Response:
        return over(self._pages, request, "link", status=410)

    def _values(self, request: web.Request, language: Language) -> dict[str, object]:
        return {"query": query_of(request), "valid": lasting(VALID, language), "often": A_DAY}


class SessionCookie:
    """Gives, reads and takes back the cookie of a session: this host's alone, no script's, no other site's (R58)."""

    def __init__(self, public_url: str) -> None:
        self._secure = public_url.startswith("https://")
        self.name = "__Host-session" if self._secure else "session"

    def give(self, answer: web.StreamResponse, session: Session) -> None:
        """Set it with ANSWER; the browser drops it when the session is over."""
        self._set(answer, session.cookie, int(VALID.total_seconds()))

    def take(self, answer: web.StreamResponse) -> None:
        """Have it dropped."""
        self._set(answer, "", 0)

    def read(self, request: web.Request) -> str:
        """What REQUEST brought; empty when it brought none."""
        return request.cookies.get(self.name, "")

    def _set(self, answer: web.StreamResponse, value: str, seconds: int) -> None:
        answer.set_cookie(
            self.name, value, max_age=seconds, path="/", secure=self._secure, httponly=True, samesite="Strict"
        )


def over(pages: Pages, request: web.Request, which: str, *, status: int) -> web.Response:
    """The page that says that WHICH (link, session, or ended) is over, with the way to a new link."""
    language = pages.language_of(request)
    values = {"which": which, "query": query_of(request), "valid": lasting(VALID, language)}
    return pages.answer("over.html", language, values, status=status)


def query_of(request: web.Request) -> str:
    """What keeps the language that was chosen on a page."""
    language = chosen(request)
    return "" if language is None else f"?lang={language.value}"
