"""The dashboard of a real installation in a temporary folder, and browsers that visit it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlencode

import pyotp
from argon2 import PasswordHasher

from tests.doors.wire import Answer, Wire, head, serving
from tests.fresh import new_installation
from tracker.config import load
from tracker.dashboard import Dashboard, accounts
from tracker.flows.accounts import Accounts
from tracker.flows.passwords import Passwords
from tracker.model import Language, Role
from tracker.parts import Parts, built

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
HOST = "staff.example.com"
PASSWORD = "drei blaue Kamele schwimmen"
RITA, MARK, PAULA = "rita@werkstatt-nord.example", "mark@werkstatt-nord.example", "paula@werkstatt-nord.example"
LOGINS = {Role.REP: RITA, Role.MANAGER: MARK, Role.PRIVACY: PAULA}
PATIENCE = 30
"""Seconds for what should come at once."""
FORM = "application/x-www-form-urlencoded"
FAST = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
"""Hashing that takes no time; the parameters of an installation are looked at where they matter."""


@dataclass
class World:
    """The dashboard, its accounts, and a clock to turn."""

    wire: Wire
    parts: Parts
    dashboard: Dashboard
    accounts: Accounts
    folder: Path
    now: datetime = NOW
    secrets: dict[str, str] = field(default_factory=dict)
    """The second factors that were set up, by login."""

    def clock(self) -> datetime:
        return self.now

    def later(self, **time: float) -> None:
        self.now += timedelta(**time)

    def browser(self) -> Browser:
        return Browser(self)

    async def signed_in(self, role: Role) -> Browser:
        """A browser in which somebody with ROLE signed in, with a second factor where the role needs one."""
        browser = self.browser()
        await browser.sign_in(LOGINS[role])
        if role is not Role.REP:
            await browser.pass_second_factor(LOGINS[role])
        return browser

    def code(self, login: str) -> str:
        """What LOGIN's telephone shows now."""
        return pyotp.TOTP(self.secrets[login]).at(self.now)


@dataclass
class Browser:
    """Keeps a cookie, and sends forms as browsers do."""

    world: World
    cookies: dict[str, str] = field(default_factory=dict)
    key: str = ""
    """The form key of the page that is open."""

    async def get(self, path: str, *, method: str = "GET", **headers: str) -> Answer:
        return self._seen(await self.world.wire.get(path, method=method, **self._with_cookies(headers)))

    async def begin_to_get(self, path: str) -> int:
        """The status of an answer that is not read to its end."""
        async with self.listening(path) as stream:
            return stream.status

    @asynccontextmanager
    async def listening(self, path: str = "/feed/live") -> AsyncIterator[Stream]:
        """What the server sends on PATH for as long as it likes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.world.wire.port)
        writer.write(head("GET", path, **self._with_cookies({"connection": "keep-alive"})))
        first, *fields = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        try:
            yield Stream(int(first.split()[1]), fields, reader)
        finally:
            writer.close()
            await writer.wait_closed()

    async def post(self, path: str, fields: dict[str, str] | None = None, **headers: str) -> Answer:
        """Send a form with the key of the page that is open, unless FIELDS have another."""
        named = {"content_type": FORM, "sec_fetch_site": "same-origin", **headers}
        body = urlencode({"form": self.key, **(fields or {})}).encode()
        return self._seen(await self.world.wire.post(path, body, **self._with_cookies(named)))

    async def sign_in(self, login: str, password: str = PASSWORD, after: str = "/", **headers: str) -> Answer:
        await self.get("/sign-in")
        return await self.post("/sign-in", {"login": login, "password": password, "next": after}, **headers)

    async def pass_second_factor(self, login: str) -> Answer:
        """Give a code, or set the second factor up first."""
        if login in self.world.secrets:
            self.world.later(seconds=30)  # a code is good once
            await self.get("/sign-in/code")
            return await self.post("/sign-in/code", {"code": self.world.code(login)})
        page = await self.get("/second-factor")
        self.world.secrets[login] = secret_in(page)
        return await self.post("/second-factor", {"code": self.world.code(login), "password": PASSWORD})

    def _with_cookies(self, headers: dict[str, str]) -> dict[str, str]:
        sent = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return {"host": HOST, **({"cookie": sent} if sent else {}), **headers}

    def _seen(self, answer: Answer) -> Answer:
        for name, value in answer.headers:
            if name.lower() == "set-cookie":
                cookie, _, given = value.partition(";")[0].partition("=")
                self.cookies[cookie] = given
                if "Max-Age=0" in value:
                    del self.cookies[cookie]
        keys = set(re.findall(r'name="form" value="([^"]+)"', answer.text if answer.body[:1] == b"<" else ""))
        if keys:
            (self.key,) = keys
        return answer


@dataclass
class Stream:
    """Events as they come."""

    status: int
    fields: list[str]
    reader: asyncio.StreamReader

    async def next(self) -> str | None:
        """The next piece; None at the end."""
        async with asyncio.timeout(PATIENCE):
            size = int(await self.reader.readline(), 16)
            piece = await self.reader.readexactly(size + 2)
        return piece[:-2].decode() if size else None


def secret_in(page: Answer) -> str:
    """The secret of a second factor that PAGE offers."""
    found = re.search(r'class="secret">([A-Z2-7-]+)<', page.text)
    assert found, page.text
    return found[1].replace("-", "")


def heading(page: Answer) -> str:
    """What PAGE is about."""
    found = re.search(r"<h1>(.*?)</h1>", page.text, re.DOTALL)
    assert found, page.text
    return unescape(found[1]).strip()


@asynccontextmanager
async def world(
    folder: Path, settings: Mapping[str, str] = MappingProxyType({}), *, hasher: PasswordHasher = FAST
) -> AsyncIterator[World]:
    """An installation in FOLDER with an account for each role, whose clock stands at NOW.

    SETTINGS: by the names that they have in the environment.
    """
    config = await new_installation(folder, Language.EN, NOW)
    listen = {"TRACKER_MACHINE_SECONDS": "0", "TRACKER_DASHBOARD_URL": f"https://{HOST}", **settings}
    async with built(load(config, listen), lambda: NOW) as parts:
        passwords = Passwords(hasher)
        made = World(Wire(0), parts, None, accounts(parts, passwords), folder)  # type: ignore[arg-type]
        for role, login in LOGINS.items():
            aliases = ("r.meier@werkstatt-nord.example",) if role is Role.REP else ()
            await made.accounts.add(login, role, aliases, PASSWORD, NOW)
        made.dashboard = Dashboard(parts, made.clock, passwords)
        async with serving(made.dashboard.application()) as wire:
            made.wire = wire
            yield made
            parts.live.end()  # as the server does before it leaves; what still watches would be waited for
