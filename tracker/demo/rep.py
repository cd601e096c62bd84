"""A rep at the dashboard, in a browser of their own."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html import unescape
from typing import Final

import aiohttp

from tracker.demo.visitor import BROWSER

HEADERS: Final = {**BROWSER, "Accept-Language": "en", "Sec-Fetch-Site": "same-origin"}
_FORM: Final = re.compile(r'name="form" value="([^"]+)"')
_ENTRY: Final = re.compile(r"<h2><a [^>]*>(?P<label>.*?)</a></h2>.*?<ul class=\"marks\">(?P<marks>.*?)</ul>", re.DOTALL)
_MARK: Final = re.compile(r"<li[^>]*>(.*?)</li>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Entry:
    """A message as the list of the rep's messages has it."""

    label: str
    marks: tuple[str, ...]
    """What became of it, such as `Opened`."""


class Rep:
    """Somebody at the dashboard."""

    def __init__(self, session: aiohttp.ClientSession, dashboard: str) -> None:
        self._session = session
        self._dashboard = dashboard

    @classmethod
    @asynccontextmanager
    async def at(cls, dashboard: str) -> AsyncIterator[Rep]:
        """One in front of the dashboard at the URL DASHBOARD, not signed in."""
        jar = aiohttp.CookieJar(unsafe=True)  # keeps cookies of an IP address, too
        async with aiohttp.ClientSession(cookie_jar=jar, headers=HEADERS) as session:
            yield cls(session, dashboard)

    async def sign_in(self, login: str, password: str) -> bool:
        """Fill in the form; whether the list of messages came."""
        page = await self._get("/sign-in")
        form = {"form": _FORM.findall(page)[0], "login": login, "password": password, "next": "/feed"}
        async with self._session.post(f"{self._dashboard}/sign-in", data=form) as answer:
            return answer.status == 200 and answer.url.path == "/feed"

    async def feed(self) -> list[Entry]:
        """The list of messages, what was touched last first."""
        page = await self._get("/feed")
        return [Entry(_text(one["label"]), _marks(one["marks"])) for one in _ENTRY.finditer(page)]

    async def _get(self, path: str) -> str:
        async with self._session.get(f"{self._dashboard}{path}") as answer:
            return await answer.text()


def _marks(html: str) -> tuple[str, ...]:
    return tuple(_text(mark) for mark in _MARK.findall(html))


def _text(html: str) -> str:
    return " ".join(unescape(re.sub("<[^>]+>", " ", html)).split())
