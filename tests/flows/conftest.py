"""The flows on a real store in a temporary folder, with a fixed clock, fixed keys and counted random bytes."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import blake2b
from itertools import count
from pathlib import Path

import pytest

from tests.fresh import new_database
from tracker.core.bursts import Bursts
from tracker.core.consent import ConsentPolicy
from tracker.core.keys import KeyRing, SigningKey
from tracker.core.survey import Refused, Survey, SurveyPolicy, survey
from tracker.core.tokens import Tokens
from tracker.flows.consent import Consents, ReportedConsent
from tracker.flows.hit import Destination, Hits
from tracker.flows.in_step import InStep
from tracker.flows.report import Figures
from tracker.flows.send import Sender, SendPolicy
from tracker.model import Agent, Evidence, Hit, Language, Method, Notice, Purpose
from tracker.store.journal import Journal
from tracker.store.store import Store

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
PUBLIC = "https://t.example.com"
RING = KeyRing((b"p" * 32,), b"l" * 32, (SigningKey("A", b"s" * 32, NOW - timedelta(days=30)),))
TOKENS = Tokens(RING)


@dataclass
class Counted:
    """What the hits flow told the operator."""

    hits: list[tuple[Purpose, Agent | None, str]] = field(default_factory=list)

    def hit(self, purpose: Purpose, agent: Agent | None, result: str) -> None:
        self.hits.append((purpose, agent, result))


class AwaitedHits:
    """The flow of hits, whose answers are awaited."""

    def __init__(self, hits: Hits) -> None:
        self._hits = hits

    async def opened(self, token: str, hit: Hit) -> None:
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._hits.opened(token, hit, partial(answer.set_result, None))
        await answer

    async def clicked(self, token: str, part: str, host: str, hit: Hit) -> Destination | None:
        answer: asyncio.Future[Destination | None] = asyncio.get_running_loop().create_future()
        self._hits.clicked(token, part, host, hit, answer.set_result)
        return await answer


@dataclass
class Flows:
    """All flows on one store."""

    store: Store
    sender: Sender
    hits: AwaitedHits
    consents: Consents
    figures: Figures
    counted: Counted
    in_step: InStep

    async def grant(self, address: str, *purposes: Purpose, now: datetime = NOW, **more: object) -> None:
        await self.consents.report(reported(address, *purposes, **more), now)


def reported(address: str, *purposes: Purpose, **more: object) -> ReportedConsent:
    """A confirmed consent of ADDRESS."""
    values: dict[str, object] = {
        "address": address,
        "purposes": frozenset(purposes or (Purpose.OPEN, Purpose.CLICK)),
        "method": Method.WEB_FORM,
        "given_at": NOW - timedelta(days=2),
        "notice_version": "2026-1",
        "language": Language.DE,
        "evidence": Evidence(source="form", confirmed_at=NOW - timedelta(days=1), confirmed_by="link"),
        "actor": "shop",
    }
    return ReportedConsent(**{**values, **more})  # type: ignore[arg-type]


def hit(at: datetime = NOW, method: str = "GET", **headers: str) -> Hit:
    """A hit by a person's mail program."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Hit(method, {"user-agent": "Mozilla/5.0 Firefox/145.0", **named}, "192.0.2.77", at)


def counted_bytes() -> Callable[[int], bytes]:
    numbers = count()
    return lambda size: next(numbers).to_bytes(size, "big")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Another process holds the database: nothing can be written."""
    with closing(sqlite3.connect(folder / "tracker.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def kept_in_step(store: Store, folder: Path) -> InStep:
    """STORE in step with a new journal in FOLDER."""
    journal = Journal(folder, RING.journal_key)
    mark = journal.create(NOW, lambda size: blake2b(str(folder).encode(), digest_size=size).digest())
    async with store.restoring() as book:
        await book.set_mark(journal.id, mark)
    in_step = InStep(store, journal, lambda: TOKENS, counted_bytes(), proof_days=1095, backup_days=35)
    await in_step.start(NOW)
    assert not in_step.trouble
    return in_step


@pytest.fixture
async def flows(tmp_path: Path) -> AsyncIterator[Flows]:
    notices = [Notice("2026-1", language, "text") for language in Language]
    url = await new_database(tmp_path, RING.fingerprint, notices)
    bursts = Bursts.alone()
    store = await Store.open(url, ledger_key=RING.ledger_key, fingerprint=RING.fingerprint, busy_seconds=0.2)
    store.heed_bursts(bursts.struck)

    async def surveyed(message: bytes) -> Survey | Refused:
        await asyncio.sleep(0)
        return survey(message, SurveyPolicy((PUBLIC,), sender_domains=frozenset({"werkstatt-nord.example"})))

    in_step = await kept_in_step(store, tmp_path / "journal")
    counted = Counted()
    policy = SendPolicy(public_url=PUBLIC, max_message=100_000, retention_days=90, language=Language.EN)
    yield Flows(
        store=store,
        sender=Sender(store, lambda: TOKENS, surveyed, counted_bytes(), policy),
        hits=AwaitedHits(Hits(store, lambda: TOKENS, counted, bursts, machine_seconds=0)),
        consents=Consents(store, lambda: TOKENS, ConsentPolicy(), in_step),
        figures=Figures(store, lambda: TOKENS),
        counted=counted,
        in_step=in_step,
    )
    await store.close()
