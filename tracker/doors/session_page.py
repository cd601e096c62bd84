"""The page of a person who proved their mailbox: what is held, switched off, taken along, erased.

The law: without the session's cookie nothing is shown; whatever acts is a POST that carries the session's form key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from typing import TypeAlias

from aiohttp import web

from tracker.core.disclosure import Disclosure
from tracker.core.export import document, table
from tracker.doors.about import about
from tracker.doors.forms import read_form
from tracker.doors.held_view import HeldView
from tracker.doors.languages import period
from tracker.doors.mailbox_page import HOME, SessionCookie, over, query_of
from tracker.doors.pages import Pages
from tracker.doors.raw_routes import Captured, RawRoute
from tracker.flows.mailbox import Mailbox, Session
from tracker.flows.proof import Proofs
from tracker.flows.subject import Subjects
from tracker.model import Language, Purpose, StoreUnavailable

Fields: TypeAlias = list[tuple[str, str]]
Act: TypeAlias = Callable[[web.Request, Session, Fields], Awaitable[web.StreamResponse]]


class SessionPage:
    """Answers `/me` and what stands under it; all raise StoreUnavailable."""

    def __init__(
        self,
        mailbox: Mailbox,
        subjects: Subjects,
        proofs: Proofs,
        pages: Pages,
        clock: Callable[[], datetime],
        disclosure: Disclosure,
    ) -> None:
        self._mailbox = mailbox
        self._subjects = subjects
        self._proofs = proofs
        self._pages = pages
        self._clock = clock
        self._disclosure = disclosure
        self._cookie = SessionCookie(pages.site.public_url)
        self._views = {language: HeldView(pages.languages, language) for language in Language}

    @property
    def routes(self) -> tuple[RawRoute, ...]:
        """What it answers."""
        return (
            RawRoute("/me", re.compile(r"/me/?"), {"GET": self.show}),
            RawRoute("/me/withdraw", re.compile(r"/me/withdraw/?"), {"POST": self.withdraw}),
            RawRoute("/me/erase", re.compile(r"/me/erase/?"), {"GET": self.ask_to_erase, "POST": self.erase}),
            RawRoute("/me/export.json", re.compile(r"/me/export\.json"), {"POST": self.as_json}),
            RawRoute("/me/export.csv", re.compile(r"/me/export\.csv"), {"POST": self.as_csv}),
            RawRoute("/me/receipt.json", re.compile(r"/me/receipt\.json"), {"POST": self.receipt}),
            RawRoute("/me/sign-out", re.compile(r"/me/sign-out/?"), {"POST": self.sign_out}),
        )

    async def show(self, request: web.Request, _: Captured) -> web.StreamResponse:
        """Everything that is held about the person whose session this is."""
        session = await self._session(request)
        if session is None:
            return self._over(request)
        held = await self._subjects.held(session.person, self._clock())
        language = self._language(request, session)
        values = {
            **self._views[language].values(held),
            "query": query_of(request),
            "form_key": session.form_key,
            "closes": session.until.strftime("%H:%M"),
            "done": request.query.get("done", ""),
        }
        return self._pages.answer("me.html", language, values)

    async def ask_to_erase(self, request: web.Request, _: Captured) -> web.StreamResponse:
        """What erasing means, and the button."""
        session = await self._session(request)
        if session is None:
            return self._over(request)
        values = {"query": query_of(request), "form_key": session.form_key}
        return self._pages.answer("erase.html", self._language(request, session), values)

    async def withdraw(self, request: web.Request, _: Captured) -> web.StreamResponse:
        """Switch off the purposes that the form names, or everything; then show where that leaves the person."""
        return await self._act(request, self._withdraw)

    async def erase(self, request: web.Request, _: Captured) -> web.StreamResponse:
        """Erase the person and end the session."""
        return await self._act(request, self._erase)

    async def as_json(self, request: web.Request, _: Captured) -> web.StreamResponse:
        """Everything as a file of JSON."""
        return await self._act(request, self._as_json)

    async def as_csv(self, request: web.Request, _: Captured) -> web.StreamResponse:
        """Everything as a file for a spreadsheet."""
        return await self._act(request, self._as_csv)

    async def receipt(self, request: web.Request, _: Captured) -> web.StreamResponse:
        """The signed receipt of what the person agreed to, refused and took back, as a file."""
        return await self._act(request, self._receipt)

    async def sign_out(self, request: web.Request, _: Captured) -> web.StreamResponse:
        """End the session."""
        return await self._act(request, self._sign_out)

    async def _act(self, request: web.Request, act: Act) -> web.StreamResponse:
        """What ACT answers; it is done only in a session, and only when one of its own forms asks for it (R60)."""
        session = await self._session(request)
        fields = await read_form(request)
        if session is None or not self._mailbox.is_own_form(session, dict(fields).get("form", "")):
            return self._over(request)
        return await act(request, session, fields)

    async def _withdraw(self, request: web.Request, session: Session, fields: Fields) -> web.StreamResponse:
        named = frozenset(Purpose(value) for name, value in fields if name == "purpose" and value in list(Purpose))
        language = self._language(request, session)
        if named:
            await self._subjects.withdraw(session.person, named, language, self._clock())
        else:
            await self._subjects.withdraw_all(session.person, language, self._clock())
        location = f"{HOME}?lang={language.value}&done=withdrawn"
        return web.Response(status=303, headers={**self._pages.headers, "Location": location})

    async def _erase(self, request: web.Request, session: Session, _: Fields) -> web.StreamResponse:
        language = self._language(request, session)
        await self._subjects.forget(session.person, language, self._clock())
        with suppress(StoreUnavailable):  # then the erasure stands in the journal, and the session ends by itself
            await self._mailbox.end(session)
        values = {"backups": period(self._disclosure.periods.backup_days, language)}
        answer = self._pages.answer("erased.html", language, values)
        self._cookie.take(answer)
        return answer

    async def _as_json(self, request: web.Request, session: Session, _: Fields) -> web.StreamResponse:
        now = self._clock()
        export = await self._subjects.take_along(session.person, now)
        beside = about(self._disclosure, self._pages.languages, self._language(request, session))
        text = json.dumps(document(export.held, export.notices, beside, now), indent=2, ensure_ascii=False)
        return self._file(text, "application/json", "json")

    async def _as_csv(self, _: web.Request, session: Session, __: Fields) -> web.StreamResponse:
        held = await self._subjects.held(session.person, self._clock())
        return self._file("\ufeff" + table(held), "text/csv", "csv")  # spreadsheets read UTF-8 by its mark

    async def _receipt(self, _: web.Request, session: Session, __: Fields) -> web.StreamResponse:
        receipt = await self._proofs.receipt(session.person, self._clock())
        return self._file(json.dumps(receipt, indent=2, ensure_ascii=False), "application/json", "json", "receipt")

    async def _sign_out(self, request: web.Request, session: Session, _: Fields) -> web.StreamResponse:
        await self._mailbox.end(session)
        answer = over(self._pages, request, "ended", status=200)
        self._cookie.take(answer)
        return answer

    def _file(self, text: str, content_type: str, ending: str, name: str = "stored-about-me") -> web.Response:
        headers = {**self._pages.headers, "Content-Disposition": f'attachment; filename="{name}.{ending}"'}
        return web.Response(text=text, content_type=content_type, headers=headers)

    async def _session(self, request: web.Request) -> Session | None:
        cookie = self._cookie.read(request)
        return await self._mailbox.session(cookie, self._clock()) if cookie else None

    def _language(self, request: web.Request, session: Session) -> Language:
        return self._pages.language_of(request, session.language)

    def _over(self, request: web.Request) -> web.Response:
        return over(self._pages, request, "session", status=403)
