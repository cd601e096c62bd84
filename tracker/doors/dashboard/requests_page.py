"""The page on which the privacy officer answers people: show, export, erase what is held about one of them.

The law (promise 7): the address stands in the body of a POST and in the answer to it, in no URL and nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from aiohttp import web

from tracker.core.export import document, table
from tracker.doors.dashboard.officer_pages import OFFICER
from tracker.doors.dashboard.screens import SPOKEN, Screens
from tracker.doors.dashboard.visit import Route, Visit
from tracker.doors.held_view import HeldView
from tracker.flows.subject import Request, Subjects
from tracker.model import AddressInValue, InvalidAddress, InvalidField, Language, TrackerError

HOME: Final = "/requests"


class RequestsPage:
    """Answers `/requests` and what stands under it."""

    def __init__(self, subjects: Subjects, screens: Screens, about: Mapping[Language, Mapping[str, object]]) -> None:
        """ABOUT: what people must be told beside an export (GDPR Art. 15), by language."""
        self._subjects = subjects
        self._screens = screens
        self._about = about
        self._views = {language: HeldView(screens.pages.languages, language) for language in SPOKEN}

    @property
    def routes(self) -> tuple[Route, ...]:
        """What it answers."""
        return (
            Route(HOME, get=self.form, roles=OFFICER, label="Requests"),
            Route(f"{HOME}/show", post=self.show, roles=OFFICER),
            Route(f"{HOME}/export.json", post=self.as_json, roles=OFFICER),
            Route(f"{HOME}/export.csv", post=self.as_csv, roles=OFFICER),
            Route(f"{HOME}/erase", post=self.ask_to_erase, roles=OFFICER),
            Route(f"{HOME}/erase-now", post=self.erase, roles=OFFICER),
        )

    async def form(self, visit: Visit) -> web.StreamResponse:
        """The form for an address and a case number."""
        return self._form(visit, "")

    async def show(self, visit: Visit) -> web.StreamResponse:
        """Everything that is held, in the words in which the person would read it."""
        address, request = _asked(visit)
        try:
            held = await self._subjects.show(address, request, visit.now)
        except (InvalidAddress, AddressInValue, InvalidField) as error:
            return self._wrong(visit, error)
        values = {**self._views[visit.language].values(held), "address": address, "case": request.case or ""}
        return self._screens.answer("request-shown.html", visit, values)

    async def as_json(self, visit: Visit) -> web.StreamResponse:
        """Everything as a file for the person, with what they must be told beside it."""
        address, request = _asked(visit)
        try:
            export = await self._subjects.export(address, request, visit.now)
        except (InvalidAddress, AddressInValue, InvalidField) as error:
            return self._wrong(visit, error)
        whole = document(export.held, export.notices, self._about[visit.language], visit.now)
        text = json.dumps(whole, indent=2, ensure_ascii=False)
        return self._screens.file(text, "application/json", "stored-about-a-person.json")

    async def as_csv(self, visit: Visit) -> web.StreamResponse:
        """The same as a file for a spreadsheet."""
        address, request = _asked(visit)
        try:
            export = await self._subjects.export(address, request, visit.now)
        except (InvalidAddress, AddressInValue, InvalidField) as error:
            return self._wrong(visit, error)
        text = "\ufeff" + table(export.held)  # spreadsheets read UTF-8 by its mark
        return self._screens.file(text, "text/csv", "stored-about-a-person.csv")

    async def ask_to_erase(self, visit: Visit) -> web.StreamResponse:
        """What erasing means, and the button. Nothing is done and nothing looked up yet."""
        try:
            self._subjects.check(*_asked(visit))
        except (InvalidAddress, AddressInValue, InvalidField) as error:
            return self._wrong(visit, error)
        values = {"address": visit.text("address").strip(), "case": visit.text("case").strip()}
        return self._screens.answer("request-erase.html", visit, values)

    async def erase(self, visit: Visit) -> web.StreamResponse:
        """Erase the person. Raises StoreUnavailable: never a false yes."""
        address, request = _asked(visit)
        try:
            news = await self._subjects.erase(address, request, visit.now)
        except (InvalidAddress, AddressInValue, InvalidField) as error:
            return self._wrong(visit, error)
        return self._screens.answer("request-erased.html", visit, {"news": news, "case": request.case or ""})

    def _form(self, visit: Visit, problem: str, status: int = 200) -> web.Response:
        values = {"address": visit.text("address"), "case": visit.text("case"), "problem": problem}
        return self._screens.answer("requests.html", visit, values, status=status)

    def _wrong(self, visit: Visit, error: TrackerError) -> web.Response:
        which = "address" if isinstance(error, InvalidAddress) else "case"
        return self._form(visit, which, error.status)


def _asked(visit: Visit) -> tuple[str, Request]:
    """The address that was typed, and who asks in which matter."""
    return visit.text("address").strip(), Request(visit.account.actor, visit.text("case").strip() or None)
