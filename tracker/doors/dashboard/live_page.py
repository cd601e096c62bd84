"""Keeps an open list of messages as it is now: a script of ours, and the events that the server sends to it.

The law: the list is the one that the page without scripts shows, made by the same hand, and told to whom the page is.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Final

from aiohttp import web

from tracker.core.access import Deed
from tracker.doors.dashboard.feed_page import REPS
from tracker.doors.dashboard.screens import TEMPLATES, Screens
from tracker.doors.dashboard.visit import Route, Visit
from tracker.doors.pages import templates_folder
from tracker.doors.server import cut
from tracker.flows.live import Live, News
from tracker.flows.looks import Looks
from tracker.model import Purpose, StoreUnavailable
from tracker.store.watched import Told, Touch

SHOWN: Final = 5
"""How much of what is new is named above the list."""
RETRY: Final = "retry: 5000\n\n"
"""Milliseconds after which a browser comes back when the connection was lost."""
PATIENCE: Final = 30.0
"""Seconds that a browser has to take what is sent."""
BEAT: Final = ": \n\n"
OVER: Final = "event: over\ndata:\n\n"
"""Says that the browser need not come back."""


class LivePage:
    """Answers `/live.js` and `/feed/live`."""

    def __init__(
        self, live: Live, looks: Looks, screens: Screens, render_list: Callable[[Visit], Awaitable[str]]
    ) -> None:
        """RENDER_LIST makes the list that a visit asks for, as the page shows it."""
        self._live = live
        self._screens = screens
        self._list = render_list
        self._looks = looks
        self._script = (templates_folder() / TEMPLATES / "live.js").read_text(encoding="utf-8")

    @property
    def routes(self) -> tuple[Route, ...]:
        """What it answers."""
        return (
            Route("/live.js", get=self.script, roles=REPS, by_itself=True),
            Route("/feed/live", get=self.stream, roles=REPS, noted=Deed.SAW_MESSAGES, by_itself=True),
        )

    async def script(self, _: Visit) -> web.StreamResponse:
        """The script, the same for everybody."""
        return web.Response(text=self._script, content_type="text/javascript", headers=self._screens.headers)

    async def stream(self, visit: Visit) -> web.StreamResponse:
        """What happens from now on, for as long as the session holds; 204, after which no browser comes back, when
        too many watch already.
        """
        request = visit.request
        watch = self._live.begin(visit.signed_in) if request.method == "GET" else None
        if watch is None:
            return web.Response(status=204, headers=self._screens.headers)
        headers = {**self._screens.headers, "Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
        response = web.StreamResponse(headers=headers)
        teller = Teller(self._screens, self._noted_list, visit)
        try:
            await response.prepare(request)
            await _send(response, RETRY)
            while (news := await watch.next()) is not None:
                await _send(response, await teller.event(news))
            if watch.for_good:
                await _send(response, OVER)
            await response.write_eof()
        except (ConnectionError, TimeoutError):
            cut(request)  # the browser has gone, or reads no more
        finally:
            self._live.leave(watch)
        return response

    async def _noted_list(self, visit: Visit) -> str:
        """The list; the audit trail says in each hour who saw it, also of one that stays open."""
        await self._looks.note(visit.signed_in, Deed.SAW_MESSAGES, visit.now)
        return await self._list(visit)


async def _send(response: web.StreamResponse, event: str) -> None:
    """Raises ConnectionError, TimeoutError."""
    async with asyncio.timeout(PATIENCE):
        await response.write(event.encode())


class Teller:
    """Puts news into the words of one visit, and knows what was said."""

    def __init__(self, screens: Screens, render_list: Callable[[Visit], Awaitable[str]], visit: Visit) -> None:
        self._screens = screens
        self._list = render_list
        self._visit = visit
        self._lines: dict[Touch, str] = {}
        """What is named above the list, the newest last."""
        self._sent = ""
        self._behind = False
        """Whether the list may look different from the one that was sent."""

    async def event(self, news: News) -> str:
        """What to send of NEWS: lines and list as they are now, or a sign of life when they are as they were."""
        self._lines = {touch: line for touch, line in self._lines.items() if touch not in news.gone}
        self._lines |= {told.touch: self._line(told) for told in news.new}
        self._lines = dict([*self._lines.items()][-SHOWN:])
        self._behind = self._behind or news.changed
        if not self._behind:
            return BEAT
        try:
            rendered = await self._list(replace(self._visit, now=news.now))
        except StoreUnavailable:
            return BEAT  # it is tried again with the next sign of life
        self._behind = False
        now = json.dumps({"said": [*self._lines.values()][::-1], "list": rendered})
        if now == self._sent:
            return BEAT
        self._sent = now
        return f"event: feed\ndata: {now}\n\n"

    def _line(self, told: Told) -> str:
        said = partial(self._screens.pages.languages.text, self._visit.language)
        what = said("New: clicked") if told.touch.purpose is Purpose.CLICK else said("New: opened")
        return " – ".join(filter(None, (what, told.label or said("Without a label"), told.target)))
