"""The pages of a person on a real store and real flows, before a post that keeps what it is given."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

from tests.doors.public_fakes import SITE, FakeConsents, FakeHits
from tests.doors.wire import Answer, Wire, serving
from tests.flows.conftest import NOW, RING, TOKENS, counted_bytes, kept_in_step, reported
from tests.fresh import new_database
from tracker.core.consent import ConsentPolicy
from tracker.core.disclosure import Disclosure, Periods
from tracker.doors.mailbox_page import MailboxPage
from tracker.doors.pages import Pages
from tracker.doors.public import build
from tracker.doors.session_page import SessionPage
from tracker.flows.consent import Consents
from tracker.flows.in_step import InStep
from tracker.flows.mailbox import Mailbox
from tracker.flows.mailing import Mailings
from tracker.flows.proof import Proofs
from tracker.flows.subject import Subjects
from tracker.model import Language, Letter, Notice
from tracker.store.store import Store

ANNA = "anna@example.org"
FORM = "application/x-www-form-urlencoded"


@dataclass
class People:
    """The public door, and what was mailed from it."""

    wire: Wire
    store: Store
    consents: Consents
    in_step: InStep
    public_url: str
    letters: list[Letter] = field(default_factory=list)
    now: datetime = NOW
    cookie: str = ""

    async def post_letter(self, letter: Letter) -> None:
        self.letters.append(letter)

    def clock(self) -> datetime:
        return self.now

    async def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        return await self.wire.get(path, method=method, **self._with_cookie(headers))

    async def post(self, path: str, *fields: tuple[str, str], **headers: str) -> Answer:
        named = self._with_cookie({"content_type": FORM, **headers})
        return await self.wire.post(path, urlencode(fields).encode(), **named)

    async def link(self, address: str = ANNA) -> str:
        """The path of the link that was mailed to ADDRESS, typed on the page."""
        known = len(self.letters)
        answer = await self.post("/privacy", ("address", address))
        assert answer.status == 200
        while len(self.letters) == known:
            await self.wire.get("/robots.txt")
        return self.letters[-1].url.removeprefix(self.public_url)

    async def sign_in(self, address: str = ANNA) -> Answer:
        """The first page of a session; its cookie goes along with every request from then on."""
        answer = await self.post(await self.link(address))
        assert answer.status == 303
        self.cookie = (answer.header("Set-Cookie") or "").partition(";")[0]
        return await self.get(answer.header("Location") or "")

    def _with_cookie(self, headers: dict[str, str]) -> dict[str, str]:
        return {**({"cookie": self.cookie} if self.cookie else {}), **headers}


@asynccontextmanager
async def people(folder: Path, *, public_url: str = SITE.public_url, mails: bool = True) -> AsyncIterator[People]:
    notices = [Notice("2026-1", language, f"text in {language}") for language in Language]
    url = await new_database(folder, RING.fingerprint, notices)
    async with AsyncExitStack() as stack:
        store = await Store.open(url, ledger_key=RING.ledger_key, fingerprint=RING.fingerprint, busy_seconds=0.05)
        stack.push_async_callback(store.close)
        policy = ConsentPolicy()
        in_step = await kept_in_step(store, folder / "journal")
        consents = Consents(store, lambda: TOKENS, policy, in_step)
        door = People(Wire(0), store, consents, in_step, public_url)
        mailings = await stack.enter_async_context(Mailings(store, door.post_letter if mails else None))
        mailbox = Mailbox(store, lambda: TOKENS, mailings, counted_bytes(), public_url)
        pages = Pages(replace(SITE, public_url=public_url))
        periods = Periods(retention_days=90, consent_days=730, pending_days=30, proof_days=1095, backup_days=35)
        disclosure = Disclosure(SITE.controller, SITE.contact, public_url, Language.EN, periods)
        proofs = Proofs(store, lambda: TOKENS, counted_bytes(), disclosure)
        me = SessionPage(
            mailbox, Subjects(store, lambda: TOKENS, policy, in_step), proofs, pages, door.clock, disclosure
        )
        app = build(
            FakeHits(),  # type: ignore[arg-type]
            FakeConsents(),  # type: ignore[arg-type]
            pages,
            door.clock,
            disclosure=disclosure,
            receipt_key=proofs.public_key,
            more=(*me.routes, *MailboxPage(mailbox, pages, door.clock).routes),
        )
        door.wire = await stack.enter_async_context(serving(app))
        yield door


async def agree(door: People, address: str = ANNA, **more: object) -> None:
    """Let the person behind ADDRESS agree to everything."""
    await door.consents.report(reported(address, **more), NOW - timedelta(hours=1))


def form_key(page: Answer) -> tuple[str, str]:
    """The field that each form of the session carries."""
    (key,) = set(re.findall(r'name="form" value="([^"]+)"', page.text))
    return "form", key
