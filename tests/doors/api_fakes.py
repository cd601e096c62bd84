"""The private listener with flows that answer what a test tells them, watched for anything that quotes its caller."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self, cast

from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request
from multidict import CIMultiDict, CIMultiDictProxy

from tracker.core.held import Held
from tracker.doors.api import build
from tracker.doors.budget import Budget
from tracker.doors.operations import Readiness
from tracker.flows.access import Access
from tracker.flows.asking import Asking, Invitation
from tracker.flows.bulk import Bulk, Line, Result
from tracker.flows.changes import Changes, ChangesSince
from tracker.flows.consent import Consents, Lookup, ReportedConsent
from tracker.flows.recording import Outcome
from tracker.flows.report import Figures, Listing, Logins, MessagePage
from tracker.flows.send import Answer, Sender
from tracker.flows.subject import Export, Subjects
from tracker.flows.subject import Request as OnBehalf
from tracker.model import (
    ApiKey,
    ConsentState,
    Day,
    Envelope,
    Language,
    Left,
    MessageFigures,
    Moment,
    PersonFigures,
    Purpose,
    Reason,
    Scope,
    Standing,
    TrackerError,
    Unauthorized,
)

NOW = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)
PUBLIC_URL = "https://t.example.com"
MAX_MESSAGE = 1_000
CANARY = "anna.canary@example.org"
"""Stands for what a caller must never get back in an error, nor find in a log."""
EVERYTHING = frozenset(Scope)
KEYS = {
    "all": ApiKey("crm", EVERYTHING, Day(20_000)),
    "anna": ApiKey("anna-crm", EVERYTHING, Day(20_000), owner="Anna@sales.example"),
    **{scope.value: ApiKey(scope.value, frozenset({scope}), Day(20_000)) for scope in Scope},
    "none": ApiKey("none", frozenset(), Day(20_000)),
}


class Flow:
    """Remembers what it was asked, and raises what it was told to raise."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.error: Exception | None = None

    def ask(self, *words: Any) -> None:
        self.asked.append(words[0] if len(words) == 1 else words)
        if self.error is not None:
            raise self.error


class FakeAccess(Flow, Access):
    wait: Callable[[], Awaitable[Any]] | None = None

    async def authenticate(self, bearer: str | None, today: Day) -> ApiKey:
        if bearer is not None and self.wait is not None:
            await self.wait()
        if bearer is not None and self.error is not None:
            raise self.error
        if bearer not in KEYS:
            raise Unauthorized
        return KEYS[bearer]


class FakeSender(Flow, Sender):
    reply: Callable[[bytes], Answer] = staticmethod(lambda message: Answer(message, Reason.NO_GRANT))
    wait: Callable[[], Awaitable[Any]] | None = None

    async def rewrite(self, envelope: Envelope, message: bytes, now: datetime) -> Answer:
        assert now == NOW
        self.ask(envelope, message)
        if self.wait is not None:
            await self.wait()
        return self.reply(message)


class FakeConsents(Flow, Consents):
    outcome: tuple[ConsentState, Day | None] = (ConsentState.LIVE, Day(21_000))
    outcomes = Outcome(None, None)
    found = Lookup(Standing(), ())

    async def report(self, reported: ReportedConsent, now: datetime) -> tuple[ConsentState, Day | None]:
        self.ask(reported)
        return self.outcome

    async def report_all(self, reported: ReportedConsent, now: datetime) -> Outcome:
        self.ask(reported)
        return self.outcomes

    async def lookup(self, address: str, now: datetime) -> Lookup:
        self.ask(address)
        return self.found

    async def withdraw(self, address: str, purposes: frozenset[Purpose], actor: str, now: datetime) -> bool:
        self.ask(address, purposes, actor)
        return len(self.asked) == 1


class FakeAsking(Flow):
    invitation = Invitation(f"{PUBLIC_URL}/ask/x", NOW)

    async def confirm(self, reported: ReportedConsent, now: datetime) -> None:
        assert now == NOW
        self.ask(reported)

    async def invite(
        self,
        address: str,
        purposes: frozenset[Purpose],
        language: Language,
        actor: str,
        now: datetime,
        *,
        reference: str | None = None,
    ) -> Invitation:
        assert now == NOW
        self.ask(address, purposes, language, actor, reference)
        return self.invitation


class FakeBulk(Flow, Bulk):
    result: Callable[[Line], Result] = staticmethod(
        lambda line: line if isinstance(line, TrackerError) else Outcome((ConsentState.LIVE, Day(21_000)), None)
    )

    async def record(self, lines: Sequence[Line], now: datetime, *, rehearsal: bool = False) -> list[Result]:
        assert now == NOW
        assert not rehearsal
        self.ask(list(lines))
        return [self.result(line) for line in lines]


class FakeChanges(Flow, Changes):
    page = ChangesSince((), "AAAA", more=False)

    async def since(self, source: str, cursor: str | None, now: datetime) -> ChangesSince:
        self.ask(source, cursor)
        return self.page


class FakeFigures(Flow, Figures):
    page = MessagePage((), None)
    one: MessageFigures
    moments: tuple[Moment, ...] = ()
    people: tuple[PersonFigures, ...] = ()

    async def messages(self, listing: Listing, now: datetime) -> MessagePage:
        self.ask(listing)
        return self.page

    async def message(
        self, message_id: str, logins: Logins, now: datetime, *, source: str | None = None
    ) -> MessageFigures:
        self.ask(message_id, logins)
        return self.one

    async def timeline(self, message_id: str, logins: Logins, now: datetime) -> tuple[Moment, ...]:
        self.ask(message_id, logins)
        return self.moments

    async def recipients(self, addresses: Sequence[str], logins: Logins, now: datetime) -> tuple[PersonFigures, ...]:
        self.ask(tuple(addresses), logins)
        return self.people

    async def references(
        self, references: Sequence[str], source: str | None, logins: Logins, now: datetime
    ) -> tuple[PersonFigures | None, ...]:
        self.ask(tuple(references), source, logins)
        return (*self.people, None)


class FakeSubjects(Flow, Subjects):
    found = Held()

    async def show(self, address: str, request: OnBehalf, now: datetime) -> Held:
        self.ask(address, request)
        return self.found

    async def export(self, address: str, request: OnBehalf, now: datetime) -> Export:
        self.ask(address, request)
        return Export(self.found, ())

    async def erase(self, address: str, request: OnBehalf, now: datetime) -> bool:
        self.ask(address, request)
        return len(self.asked) == 1


class FakeMeter:
    def __init__(self) -> None:
        self.copies: list[tuple[Reason | None, Mapping[Left, int]]] = []
        self.problems: list[str] = []
        self.trackers: Counter[str] = Counter()
        self.removed = 0
        self.answers: list[tuple[str, str, int]] = []

    def rewrote(self, reason: Reason | None, left: Mapping[Left, int], seconds: float) -> None:
        assert seconds >= 0
        self.copies.append((reason, left))

    def unsigned(self, removed: int) -> None:
        pass

    def foreign(self, found: Mapping[str, int], removed: int) -> None:
        self.trackers.update(found)
        self.removed += removed

    def problem(self, slug: str) -> None:
        self.problems.append(slug)

    def answered(self, route: str, method: str, status: int) -> None:
        self.answers.append((route, method, status))

    def exposition(self, accept: str) -> tuple[bytes, str]:
        return f"# {accept}\n".encode(), "text/plain; version=0.0.4; charset=utf-8"


class Lines(logging.Handler):
    """Every line that any logger wrote, with its traceback; aiohttp's own reach no handler, see doors/server."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if not record.name.startswith("aiohttp."):
            self.lines.append(self.format(record))


@dataclass(frozen=True)
class Reply:
    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def slug(self) -> str:
        """Of a problem, whose shape is checked on the way."""
        assert self.headers["Content-Type"] == "application/problem+json; charset=utf-8"
        assert self.json["status"] == self.status
        assert {"type", "title", "status", "meaning", "remedy"} <= self.json.keys()
        return str(self.json["type"]).removeprefix("urn:tracker:problem:")


class Api:
    """The application on a server of its own; no error of it and no log line may hold a canary."""

    def __init__(self, bodies_in_flight: int = 2**20) -> None:
        self.access, self.sender, self.consents, self.figures = (
            FakeAccess(),
            FakeSender(),
            FakeConsents(),
            FakeFigures(),
        )
        self.subjects = FakeSubjects()
        self.asking = FakeAsking()
        self.bulk, self.changes = FakeBulk(), FakeChanges()
        self.meter = FakeMeter()
        self.readiness: Readiness | Exception = Readiness()
        self.budget = Budget(bodies_in_flight)
        self.log = Lines()
        self.app: Application = build(
            sender=self.sender,
            consents=self.consents,
            asking=cast(Asking, self.asking),
            bulk=self.bulk,
            changes=self.changes,
            figures=self.figures,
            subjects=self.subjects,
            about={"controller": "Nord"},
            access=self.access,
            metrics=self.meter,
            ready=self._ready,
            clock=lambda: NOW,
            max_message=MAX_MESSAGE,
            budget=self.budget,
            public_url=PUBLIC_URL,
        )
        self.client: TestClient[Request, Application]

    async def __aenter__(self) -> Self:
        logging.getLogger().addHandler(self.log)
        self._levels = {name: logging.getLogger(name).level for name in ("", "tracker.http", "tracker.access")}
        for name in self._levels:
            logging.getLogger(name).setLevel(logging.DEBUG)
        server = TestServer(self.app)
        await server.start_server(access_log=None)  # aiohttp's own holds the peer and the path; doors/server has none
        self.client = TestClient(server)
        await self.client.start_server()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.client.close()
        logging.getLogger().removeHandler(self.log)
        for name, level in self._levels.items():
            logging.getLogger(name).setLevel(level)
        if kind is None:
            assert "canary" not in "\n".join(self.log.lines).lower()

    async def _ready(self) -> Readiness:
        if isinstance(self.readiness, Exception):
            raise self.readiness
        return self.readiness

    async def ask(
        self, method: str, path: str, data: Any = None, *, key: str | None = "all", json: Any = None, **headers: str
    ) -> Reply:
        """The answer to one request; a header's name is written with underscores."""
        named = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
        if key is not None:
            named.setdefault("Authorization", f"Bearer {key}")
        async with self.client.request(method, path, data=data, json=json, headers=named) as response:
            reply = Reply(response.status, response.headers, await response.read())
        assert reply.headers["Cache-Control"] == "no-store"
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        if reply.status >= 400:
            said = f"{reply.headers} {reply.body.decode()} {response.reason}".lower()
            assert "canary" not in said
            assert reply.slug in self.meter.problems or "health" in path
        return reply

    async def rewrite(self, message: bytes = b"Subject: x\r\n\r\nHi", **headers: str) -> Reply:
        """POST /v1/rewrite with what it must have, unless HEADERS say otherwise."""
        usual = {"Content_Type": "message/rfc822", "Tracker_Recipient": CANARY}
        return await self.ask("POST", "/v1/rewrite", message, **{**usual, **headers})
