"""The pages that ask: `/ask` mails a link to who types an address, `/ask/{token}` takes the answer (promise 6).

The law (LAW.md R4-R6): no box is ticked beforehand, a form that was not touched grants nothing, GET changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Final

from aiohttp import web

from tracker.core.periods import OPEN_DAYS
from tracker.core.pseudonym import normalise
from tracker.doors.forms import read_form
from tracker.doors.languages import period
from tracker.doors.pages import Pages
from tracker.doors.raw_routes import Captured, RawHandler, RawRoute
from tracker.flows.answer import Answers, Question
from tracker.flows.asking import Asking
from tracker.model import (
    MAIL_PURPOSES,
    AskClosed,
    BadToken,
    InvalidAddress,
    Language,
    Notice,
    NotJustNow,
    Purpose,
    StoreUnavailable,
    UnknownNotice,
)

NO_ADDRESS: Final = "Please type your e-mail address, such as anna@example.org."
NOTHING_TICKED: Final = "Please tick what may be measured. Nothing was ticked, so nothing was recorded."
TEXTS: Final = (NO_ADDRESS, NOTHING_TICKED)
"""What a page says of a form that cannot be followed; the catalogues translate it."""


class AskPage:
    """Asks, and takes the answer of whoever holds an ask token."""

    def __init__(self, asking: Asking, answers: Answers, pages: Pages, clock: Callable[[], datetime]) -> None:
        self._asking = asking
        self._answers = answers
        self._pages = pages
        self._clock = clock

    @property
    def routes(self) -> tuple[RawRoute, ...]:
        """What the public listener adds to its table."""
        return (
            RawRoute("/ask", re.compile(r"/ask/?"), {"GET": _safe(self.show), "POST": _safe(self.mail)}),
            RawRoute(
                "/ask/{token}",
                re.compile(r"/ask/(?P<token>[^/]+)/?"),
                {"GET": _safe(self.question), "POST": _safe(self.answer)},
            ),
        )

    async def show(self, request: web.Request, _: Captured) -> web.StreamResponse:
        """The page on which an address can be typed; without a next hop it names the contact."""
        return await self._form(self._pages.language_of(request))

    async def mail(self, request: web.Request, _: Captured) -> web.StreamResponse:
        """Have a link mailed; the same answer for every address that mail could be sent to. Raises FormTooLarge."""
        language = self._pages.language_of(request)
        form = await read_form(request)
        address = next((value for name, value in form if name == "address"), "").strip()
        ticked = _ticked(form)
        if not self._asking.possible:
            return await self._form(language)
        try:
            normalise(address)
        except InvalidAddress:
            return await self._form(language, address, ticked, NO_ADDRESS)
        if not ticked:
            return await self._form(language, address, ticked, NOTHING_TICKED)
        await self._asking.ask(address, ticked, language, self._clock())
        return self._pages.answer("ask-sent.html", language, {"period": period(OPEN_DAYS, language)})

    async def question(self, request: web.Request, captured: Captured) -> web.StreamResponse:
        """The question, with nothing ticked. Raises BadToken."""
        token = captured["token"]
        language = self._language(request, token)
        try:
            question = await self._answers.question(token, language, self._clock())
        except AskClosed as error:
            return self._closed(error, language)
        return self._asked(token, question, language)

    async def answer(self, request: web.Request, captured: Captured) -> web.StreamResponse:
        """Record the answer; a yes to nothing, or none at all, records nothing. Raises BadToken, FormTooLarge."""
        token, now = captured["token"], self._clock()
        language = self._language(request, token)
        form = await read_form(request)
        said = [value for name, value in form if name == "answer"]
        try:
            if "no" in said:
                await self._answers.no(token, now)
                return self._pages.answer("answered.html", language, {"agreed": ()})
            question = await self._answers.question(token, language, now)
            agreed = _ticked(form) & question.purposes
            if said != ["yes"] or not agreed:
                return self._asked(token, question, language, NOTHING_TICKED)
            await self._answers.yes(token, agreed, language, now)
        except AskClosed as error:
            return self._closed(error, language)
        return self._pages.answer("answered.html", language, {"agreed": sorted(agreed)})

    async def _form(
        self,
        language: Language,
        address: str = "",
        ticked: frozenset[Purpose] = frozenset(),
        problem: str | None = None,
    ) -> web.Response:
        notice = await self._asking.notice(language, self._pages.site.language)
        values = {
            "possible": self._asking.possible,
            "address": address,
            **self._boxes(MAIL_PURPOSES, ticked, problem, notice, language),
        }
        return self._pages.answer("ask.html", language, values, status=422 if problem else 200)

    def _asked(self, token: str, question: Question, language: Language, problem: str | None = None) -> web.Response:
        values = {
            "action": f"/ask/{token}?lang={language.value}",
            **self._boxes(question.purposes, frozenset(), problem, question.notice, language),
        }
        return self._pages.answer("question.html", language, values, status=422 if problem else 200)

    def _boxes(
        self,
        purposes: frozenset[Purpose],
        ticked: frozenset[Purpose],
        problem: str | None,
        notice: Notice,
        language: Language,
    ) -> dict[str, object]:
        said = None if problem is None else self._pages.languages.text(language, problem)
        return {"purposes": purposes, "ticked": ticked, "problem": said, "notice": notice}

    def _closed(self, error: AskClosed, language: Language) -> web.Response:
        return self._pages.answer(
            "ask-closed.html", language, self._pages.error_texts(error, language), status=error.status
        )

    def _language(self, request: web.Request, token: str) -> Language:
        """The language that is asked for, else that of the mail. Raises BadToken."""
        if not token.isascii():
            raise BadToken
        try:
            asked = self._answers.read(token, self._clock()).language
        except AskClosed:
            asked = None
        return self._pages.language_of(request, asked)


def _safe(handler: RawHandler) -> RawHandler:
    """HANDLER, which says in a person's words that it cannot answer now."""

    async def answer(request: web.Request, captured: Captured) -> web.StreamResponse:
        try:
            return await handler(request, captured)
        except (StoreUnavailable, UnknownNotice):  # no notice in force is the operator's trouble, not the reader's
            raise NotJustNow from None

    return answer


def _ticked(form: list[tuple[str, str]]) -> frozenset[Purpose]:
    known = {purpose.value: purpose for purpose in MAIL_PURPOSES}
    return frozenset(known[value] for name, value in form if name == "purpose" and value in known)
