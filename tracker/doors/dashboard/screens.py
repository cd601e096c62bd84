"""Renders the pages of the dashboard: layout, navigation by role, language, headers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from aiohttp import web
from babel.dates import format_date, format_time
from babel.numbers import format_decimal, format_percent

from tracker.core.access import Stage
from tracker.core.calendar import date_of, instant_of
from tracker.doors.dashboard.cookie import form_key
from tracker.doors.dashboard.visit import Route, Visit
from tracker.doors.languages import choose
from tracker.doors.pages import Pages, chosen
from tracker.model import Day, Hour, Language, StaffSession, TrackerError

SPOKEN: Final = (Language.DE, Language.EN)
"""The languages of these pages."""
TEMPLATES: Final = "dashboard"
VISIT: Final = web.RequestKey("visit", Visit)
"""Under which a request holds the visit that it is, once that is known."""
POLICY: Final = "Content-Security-Policy"
NEVER: Final = datetime.fromtimestamp(0, UTC)


class Wording:
    """Dates and numbers as LANGUAGE writes them; times are UTC."""

    def __init__(self, language: Language) -> None:
        self._locale = language.value

    def day(self, day: Day) -> str:
        """A day."""
        return format_date(date_of(day), "medium", locale=self._locale)

    def instant(self, instant: datetime) -> str:
        """A day with hour and minute."""
        # Of Babel's own patterns some have twelve hours, and words in between.
        at = instant.astimezone(UTC)
        return f"{format_date(at, 'medium', locale=self._locale)}, {format_time(at, 'HH:mm', locale=self._locale)}"

    def hour(self, hour: Hour) -> str:
        """A day with the hour."""
        return self.instant(instant_of(hour))

    def day_of(self, hour: Hour) -> str:
        """The day that HOUR is of."""
        return format_date(instant_of(hour).date(), "medium", locale=self._locale)

    def number(self, number: int) -> str:
        """A number."""
        return format_decimal(number, locale=self._locale)

    def share(self, part: int, whole: int) -> str:
        """PART of WHOLE as a percentage without decimals; a dash when there is no whole."""
        return format_percent(part / whole, locale=self._locale) if whole else "–"


class Screens:
    """Makes pages for visits."""

    def __init__(self, pages: Pages, routes: Sequence[Route] = ()) -> None:
        """PAGES: made with the part `dashboard`; ROUTES: those that the navigation may name."""
        self.pages = pages
        self.use(routes)
        self._wording = {language: Wording(language) for language in SPOKEN}
        self.headers = MappingProxyType(
            {
                **pages.headers,
                "Referrer-Policy": "same-origin",  # browsers tell where a form comes from, and other sites nothing
                "Cross-Origin-Opener-Policy": "same-origin",
                "Cross-Origin-Resource-Policy": "same-origin",
            }
        )

    def use(self, routes: Sequence[Route]) -> None:
        """Let the navigation name those of ROUTES that have a label, in this order."""
        self._named = tuple(route for route in routes if route.label is not None)
        self._shown = tuple(route.path for route in routes if route.get is not None)

    def language_of(self, request: web.Request, session: StaffSession | None) -> Language:
        """The language asked for by `?lang=`, else that of the account, else the browser's, else the installation's."""
        account = None if session is None else session.account.language
        accepted = choose(", ".join(request.headers.getall("Accept-Language", ())))
        for language in (chosen(request), account, accepted, self.pages.site.language):
            if language in SPOKEN:
                return language
        return Language.EN

    def answer(
        self,
        template: str,
        visit: Visit,
        values: Mapping[str, object] | None = None,
        *,
        status: int = 200,
        scripted: bool = False,
    ) -> web.Response:
        """The page that TEMPLATE (a file below `templates/dashboard/`) makes of VALUES for VISIT.

        SCRIPTED: it may run a script of this listener, and that may ask this listener for more; no other page may.
        """
        headers = {**self.headers, "Content-Language": visit.language.value}
        if scripted:
            headers[POLICY] += "; script-src 'self'; connect-src 'self'"
        body = self.render(template, visit, values)
        return web.Response(status=status, text=body, content_type="text/html", headers=headers)

    def render(self, template: str, visit: Visit, values: Mapping[str, object] | None = None) -> str:
        """The HTML alone, also of a part of a page."""
        text = self.pages.languages.text
        shown = {
            "nav": [
                {"path": route.path, "label": text(visit.language, route.label or ""), "here": _is_at(visit, route)}
                for route in self._named
                if visit.stage is Stage.IN and route.allows(visit.session)
            ],
            "account": None if visit.session is None else visit.session.account,
            "signed_in": visit.stage is Stage.IN,
            "form_key": form_key(visit.token),
            "here": self._to_come_back(visit),
            "said": self._wording[visit.language],
            "spoken": {language.value: self._native[language] for language in SPOKEN},
            **(values or {}),
        }
        return self.pages.render(f"{TEMPLATES}/{template}", visit.language, shown)

    def wording(self, language: Language) -> Wording:
        """How LANGUAGE writes dates and numbers."""
        return self._wording[language]

    def home(self, visit: Visit) -> str:
        """The first page that the navigation has for VISIT."""
        return next((route.path for route in self._named if route.allows(visit.session)), "/account")

    def error(self, request: web.Request, error: TrackerError) -> web.Response:
        """The page for ERROR: what happened, what it means, what to do. Its detail is not shown."""
        visit = request.get(VISIT) or Visit(request, NEVER, self.language_of(request, None), "")
        return self.answer("error.html", visit, self.pages.error_texts(error, visit.language), status=error.status)

    def go(self, path: str) -> web.Response:
        """Send the browser on to PATH, of this listener."""
        return web.Response(status=303, headers={**self.headers, "Location": path})

    def file(self, body: str, content_type: str, name: str) -> web.Response:
        """A download called NAME."""
        headers = {**self.headers, "Content-Disposition": f'attachment; filename="{name}"'}
        return web.Response(text=body, content_type=content_type, headers=headers)

    def _to_come_back(self, visit: Visit) -> str:
        """Where a GET shows the page again, or the one that its form was on."""
        if visit.request.method != "POST":
            return visit.request.path_qs
        above = [
            path for path in self._shown if visit.request.path == path or visit.request.path.startswith(f"{path}/")
        ]
        return max(above, key=len, default="/")

    @property
    def _native(self) -> Mapping[Language, str]:
        return {Language.DE: "Deutsch", Language.EN: "English"}


def _is_at(visit: Visit, route: Route) -> bool:
    path = visit.request.path
    return path == route.path or (route.path != "/" and path.startswith(f"{route.path}/"))
