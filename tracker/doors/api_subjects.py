"""The door for letters and calls to the data protection officer: show, export, erase what is held about a person."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from aiohttp import web

from tracker.core.export import document
from tracker.doors.api_access import Gate
from tracker.doors.api_bodies import read_json
from tracker.doors.schemas import SubjectBody
from tracker.flows.subject import Request, Subjects
from tracker.model import Scope


class SubjectsDoor:
    """Answers `POST /v1/subjects/show`, `/export` and `/erase`; all raise what flows/subject raises, and Problem."""

    def __init__(
        self, subjects: Subjects, about: Mapping[str, object], gate: Gate, clock: Callable[[], datetime]
    ) -> None:
        self._subjects = subjects
        self._about = about
        self._gate = gate
        self._clock = clock

    async def show(self, request: web.Request) -> web.Response:
        """Everything that is held about a person."""
        address, asked = await self._asked(request)
        now = self._clock()
        held = await self._subjects.show(address, asked, now)
        return web.json_response(document(held, (), {}, now))

    async def export(self, request: web.Request) -> web.Response:
        """The same as it may go to the person: with the texts they agreed to, and what Art. 15 asks for."""
        address, asked = await self._asked(request)
        now = self._clock()
        export = await self._subjects.export(address, asked, now)
        return web.json_response(document(export.held, export.notices, self._about, now))

    async def erase(self, request: web.Request) -> web.Response:
        """Erase a person; the same answer the second time but for `news`."""
        address, asked = await self._asked(request)
        news = await self._subjects.erase(address, asked, self._clock())
        return web.json_response({"state": "erased", "news": news})

    async def _asked(self, request: web.Request) -> tuple[str, Request]:
        key = await self._gate(request, Scope.PRIVACY)
        body = await read_json(request, SubjectBody)
        return body.address, Request(key.name, body.case)
