"""The privacy notice on the public listener: for everybody, about nobody."""

from __future__ import annotations

from aiohttp import web

from tracker.core.disclosure import Disclosure
from tracker.doors.pages import Pages
from tracker.doors.raw_routes import Captured
from tracker.doors.statements import Statements


class NoticePage:
    """Shows the notice in the reader's language."""

    def __init__(self, pages: Pages, disclosure: Disclosure) -> None:
        self._pages = pages
        self._statements = Statements(pages, disclosure)

    async def show(self, request: web.Request, _: Captured) -> web.StreamResponse:
        """The notice. Raises IncompleteNotice while a setting that it needs is missing."""
        language = self._pages.language_of(request)
        return self._pages.answer("notice.html", language, self._statements.notice(language))
