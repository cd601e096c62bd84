"""The private listener's application: the API and the operator's routes, for mail systems and machines of our own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Final, Protocol

from aiohttp import web
from aiohttp.typedefs import Handler

from tracker.doors.api_access import Gate
from tracker.doors.api_batch import BatchDoor
from tracker.doors.api_bodies import expect
from tracker.doors.api_changes import ChangesDoor
from tracker.doors.api_consents import ConsentsDoor
from tracker.doors.api_consents_batch import ConsentsBatchDoor
from tracker.doors.api_invitations import InvitationsDoor
from tracker.doors.api_problems import problems
from tracker.doors.api_rewrite import CopyCounter, RewriteDoor
from tracker.doors.api_stats import StatsDoor
from tracker.doors.api_subjects import SubjectsDoor
from tracker.doors.budget import Budget
from tracker.doors.middlewares import access_log
from tracker.doors.operations import Exposition, OperationsDoor, Readiness
from tracker.flows.access import Access
from tracker.flows.asking import Asking
from tracker.flows.bulk import Bulk
from tracker.flows.changes import Changes
from tracker.flows.consent import Consents
from tracker.flows.report import Figures
from tracker.flows.send import Sender
from tracker.flows.subject import Subjects
from tracker.model import Language, NotFound

HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
UNLOGGED: Final = frozenset({"/health/live", "/health/ready", "/metrics"})


class Meter(CopyCounter, Exposition, Protocol):
    """Counts what this listener does, and tells it."""

    def problem(self, slug: str) -> None:
        """A request was answered with the problem SLUG."""

    def answered(self, route: str, method: str, status: int) -> None:
        """A request was answered."""


def build(
    *,
    sender: Sender,
    consents: Consents,
    asking: Asking,
    bulk: Bulk,
    changes: Changes,
    figures: Figures,
    subjects: Subjects,
    about: Mapping[str, object],
    access: Access,
    metrics: Meter,
    ready: Callable[[], Awaitable[Readiness]],
    clock: Callable[[], datetime],
    max_message: int,
    public_url: str,
    budget: Budget,
    language: Language = Language.EN,
) -> web.Application:
    """The application.

    ABOUT: what an export says beside the data; MAX_MESSAGE: octets up to which a message is planned; PUBLIC_URL: where
    people find `/ask`; BUDGET: the memory for messages and batches; LANGUAGE: of invitations, where a
    call names none.
    """
    gate = Gate(access, clock)
    rewriting = RewriteDoor(sender, gate, metrics, clock, max_message, budget)
    batches = BatchDoor(sender, gate, metrics, clock, max_message, budget)
    consent = ConsentsDoor(consents, asking, gate, clock)
    invitations = InvitationsDoor(asking, gate, clock, language)
    many = ConsentsBatchDoor(bulk, gate, clock)
    changed = ChangesDoor(changes, gate, clock)
    stats = StatsDoor(figures, gate, clock)
    subject = SubjectsDoor(subjects, about, gate, clock)
    operations = OperationsDoor(ready, metrics)
    routes: Mapping[str, tuple[str, Handler]] = {
        "/v1/rewrite": ("POST", rewriting.rewrite),
        "/v1/rewrite/batch": ("POST", batches.rewrite),
        "/v1/consents": ("POST", consent.report),
        "/v1/consents/batch": ("POST", many.record),
        "/v1/consents/changes": ("GET", changed.changes),
        "/v1/consents/lookup": ("POST", consent.lookup),
        "/v1/consents/withdraw": ("POST", consent.withdraw),
        "/v1/subjects/show": ("POST", subject.show),
        "/v1/subjects/export": ("POST", subject.export),
        "/v1/subjects/erase": ("POST", subject.erase),
        "/v1/consents/invitations": ("POST", invitations.invite),
        "/v1/stats/messages": ("GET", stats.messages),
        "/v1/stats/messages/{id}": ("GET", stats.message),
        "/v1/stats/recipients": ("POST", stats.recipients),
        "/health/live": ("GET", operations.live),
        "/health/ready": ("GET", operations.ready),
        "/metrics": ("GET", operations.metrics),
        "/openapi.json": ("GET", operations.describe),
    }
    app = web.Application(
        middlewares=[
            access_log(answered=metrics.answered, unlogged=UNLOGGED),
            problems(metrics.problem, public_url),
        ]
    )
    for path, (method, handler) in routes.items():
        _add(app, path, method, handler)
    app.router.add_route("*", r"/{path:[\s\S]*}", _nowhere, expect_handler=expect)
    app.on_response_prepare.append(_harden)
    return app


def _add(app: web.Application, path: str, method: str, handler: Handler) -> None:
    methods = {"GET", "HEAD"} if method == "GET" else {method}

    async def refuse(request: web.Request) -> web.StreamResponse:
        raise web.HTTPMethodNotAllowed(request.method, methods)

    resource = app.router.add_resource(path)
    for each in sorted(methods):
        resource.add_route(each, handler, expect_handler=expect)
    resource.add_route("*", refuse, expect_handler=expect)


async def _nowhere(_: web.Request) -> web.StreamResponse:
    raise NotFound


async def _harden(_: web.Request, response: web.StreamResponse) -> None:
    # Last of all, so that no answer leaves without (LAW.md R59), whoever made it.
    response.headers.update(HEADERS)
