"""The flows that ask and take answers, on a real store, with a next hop that keeps what it is given."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

from tests.flows.conftest import NOW, PUBLIC, TOKENS, Flows, counted_bytes, reported
from tracker.core.consent import ConsentPolicy
from tracker.core.tokens import Tokens
from tracker.flows.answer import Answers
from tracker.flows.asking import Asking
from tracker.flows.consent import ReportedConsent
from tracker.flows.mailing import Mailings
from tracker.model import MAIL_PURPOSES, Evidence, Language, LedgerEvent, Letter, Method, Purpose, Standing

ANNA = "anna@example.org"
POLICY = ConsentPolicy()
NOBODY: frozenset[Purpose] = frozenset()
OPEN, CLICK = frozenset({Purpose.OPEN}), frozenset({Purpose.CLICK})


@dataclass
class World:
    """The flows that ask, a next hop that keeps what it gets, and the tokens that are in force."""

    flows: Flows
    asking: Asking
    answers: Answers
    mailings: Mailings
    letters: list[Letter] = field(default_factory=list)
    tokens: Tokens = TOKENS

    async def mailed(self) -> str:
        """The token of the last letter, once it has left."""
        await self.mailings._queue.join()
        return token_of(self.letters[-1].url)

    async def asked(
        self, address: str = ANNA, purposes: frozenset[Purpose] = MAIL_PURPOSES, now: datetime = NOW
    ) -> str:
        """The token that comes when somebody types ADDRESS."""
        await self.asking.ask(address, purposes, Language.DE, now)
        return await self.mailed()

    async def invited(
        self, address: str = ANNA, purposes: frozenset[Purpose] = MAIL_PURPOSES, now: datetime = NOW, by: str = "shop"
    ) -> str:
        return token_of((await self.asking.invite(address, purposes, Language.DE, by, now)).url)

    async def standing(self, address: str = ANNA, now: datetime = NOW) -> Standing:
        return (await self.flows.consents.lookup(address, now)).standing

    async def stands(self, address: str = ANNA) -> tuple[frozenset[Purpose], frozenset[Purpose], frozenset[Purpose]]:
        """What is granted, what waits, what was refused."""
        standing = await self.standing(address)
        return frozenset(standing.grants), frozenset(standing.pending), frozenset(standing.suppressed)

    async def events(self, address: str = ANNA, now: datetime = NOW) -> list[tuple[LedgerEvent, str]]:
        history = (await self.flows.consents.lookup(address, now)).history
        return [(entry.event, entry.actor) for entry in history]


def token_of(url: str) -> str:
    assert url.startswith(f"{PUBLIC}/ask/")
    return url.removeprefix(f"{PUBLIC}/ask/")


def by_rep(address: str = ANNA, **more: object) -> ReportedConsent:
    """A consent that a rep reports and nobody confirmed."""
    values: dict[str, object] = {"method": Method.REP, "evidence": Evidence(source="fair"), "actor": "jonas", **more}
    return reported(address, **values)


@asynccontextmanager
async def world_on(flows: Flows, policy: ConsentPolicy = POLICY) -> AsyncIterator[World]:
    letters: list[Letter] = []

    async def post(letter: Letter) -> None:
        letters.append(letter)

    async with Mailings(flows.store, post) as mailings:
        world: World
        current: Callable[[], Tokens] = lambda: world.tokens  # noqa: E731
        world = World(
            flows,
            Asking(flows.store, current, mailings, counted_bytes(), PUBLIC),
            Answers(flows.store, current, policy, flows.in_step, PUBLIC),
            mailings,
            letters,
        )
        yield world
