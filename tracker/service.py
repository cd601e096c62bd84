"""Builds the parts from the settings, starts them in order and stops them in reverse."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from aiohttp import web

from tracker.config import Listen, Settings
from tracker.core.calendar import day_of
from tracker.core.consent import ConsentPolicy
from tracker.core.disclosure import Disclosure, Periods
from tracker.core.survey import SurveyPolicy
from tracker.core.tokens import Tokens
from tracker.doors import api, public
from tracker.doors.about import about
from tracker.doors.api_problems import malformed
from tracker.doors.ask_page import AskPage
from tracker.doors.courier import Courier
from tracker.doors.languages import Languages
from tracker.doors.mailbox_page import MailboxPage
from tracker.doors.next_hop import NextHop
from tracker.doors.operations import Readiness
from tracker.doors.pages import Pages, Site, templates_folder
from tracker.doors.server import Malformed, listen, plain
from tracker.doors.session_page import SessionPage
from tracker.flows.access import Access
from tracker.flows.answer import Answers
from tracker.flows.asking import Asking
from tracker.flows.bulk import Bulk
from tracker.flows.changes import Changes
from tracker.flows.consent import Consents
from tracker.flows.hit import Hits
from tracker.flows.in_step import InStep
from tracker.flows.mailbox import Mailbox
from tracker.flows.mailing import Mailings, MailPolicy
from tracker.flows.notices import Notices
from tracker.flows.proof import Proofs
from tracker.flows.report import Figures
from tracker.flows.send import Sender, SendPolicy
from tracker.flows.subject import Subjects
from tracker.flows.surveys import KEPT, Surveys
from tracker.flows.sweep import Job, jobs
from tracker.keyfile import KeyFile
from tracker.logs import report_loop_error
from tracker.metrics import EventCounts, Metrics
from tracker.model import BadKeyFile, BadSetting, Letter, StoreUnavailable, TrackerError
from tracker.planner import Planner
from tracker.settings import without_effect
from tracker.store.engine import database_path
from tracker.store.journal import Journal
from tracker.store.store import Store

log = logging.getLogger(__name__)

Clock = Callable[[], datetime]

LOCK_PATIENCE: Final = 2.0
"""Seconds that a statement waits for another process; senders wait 5 s before they send what they have."""


SOON_AGAIN = timedelta(minutes=5)
"""When background work that failed is tried again, if its turn does not come sooner."""


def utc_now() -> datetime:
    """The one place where the time of day is read."""
    return datetime.now(UTC)


class KeySource:
    """The tokens of the key file as it was read last; servers read it again every minute."""

    def __init__(self, file: KeyFile) -> None:
        self._file = file
        self._tokens = Tokens(file.load())
        self.trouble = ""

    def __call__(self) -> Tokens:
        """The tokens to sign and verify with."""
        return self._tokens

    async def reload(self, _now: datetime) -> None:
        """Read the file again; while it cannot be read the old keys stay in use and readiness says so."""
        try:
            ring = self._file.load()
        except BadKeyFile as error:
            self.trouble = error.detail
            raise
        self.trouble = ""
        if ring != self._tokens.ring:
            self._tokens = Tokens(ring)


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that runs, built once."""

    settings: Settings
    store: Store
    keys: KeySource
    metrics: Metrics
    surveys: Surveys
    sender: Sender
    hits: Hits
    consents: Consents
    bulk: Bulk
    changes: Changes
    proofs: Proofs
    notices: Notices
    figures: Figures
    subjects: Subjects
    access: Access
    journal: Journal
    mailings: Mailings
    mailbox: Mailbox
    in_step: InStep
    asking: Asking
    answers: Answers


@asynccontextmanager
async def built(settings: Settings, clock: Clock = utc_now) -> AsyncIterator[Parts]:
    """The parts for SETTINGS, with the store open and in step with the journal.

    On the way out what is queued is written and mailed first, and the ledger's head noted.

    Raises SetupError and StoreUnavailable.
    """
    # VACUUM writes a copy of the database: beside it, not to a disk of others.
    os.environ.setdefault("SQLITE_TMPDIR", str(database_path(settings.database_url).parent))
    keys = KeySource(KeyFile(settings.key_file))
    ring = keys().ring
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        store = await Store.open(
            settings.database_url,
            ledger_key=ring.ledger_key,
            fingerprint=ring.fingerprint,
            former=ring.former,
            retention_days=settings.retention_days,
            busy_seconds=LOCK_PATIENCE,
        )
        stack.push_async_callback(store.close)
        metrics.watch_events(partial(_event_counts, store))
        journal = Journal(settings.journal, ring.journal_key)
        in_step = InStep(
            store,
            journal,
            keys,
            secrets.token_bytes,
            proof_days=settings.proof_days,
            backup_days=settings.backup_days,
        )
        await in_step.start(clock())
        stack.push_async_callback(in_step.stop, clock)
        mailings = await stack.enter_async_context(
            Mailings(store, posting(settings, clock), mail_policy(settings), count=metrics.mailed)
        )
        planner = Planner(survey_policy(settings))
        stack.callback(planner.close)
        surveys = Surveys(planner, settings.plan_cache)
        policy = consent_policy(settings)
        consents = Consents(store, keys, policy, in_step)
        yield Parts(
            settings=settings,
            store=store,
            keys=keys,
            metrics=metrics,
            surveys=surveys,
            sender=Sender(
                store, keys, surveys, secrets.token_bytes, send_policy(settings), search=planner.quoted_tokens
            ),
            hits=Hits(store, keys, metrics),
            consents=consents,
            bulk=Bulk(store, consents, policy, in_step),
            changes=Changes(store),
            proofs=Proofs(store, keys, secrets.token_bytes, disclosure(settings)),
            notices=Notices(store, settings.controller, settings.proof_days),
            figures=Figures(store, keys),
            subjects=Subjects(store, keys, policy, in_step),
            access=Access(store),
            journal=journal,
            mailings=mailings,
            mailbox=Mailbox(store, keys, mailings, secrets.token_bytes, settings.public_url),
            in_step=in_step,
            asking=Asking(store, keys, mailings, secrets.token_bytes, settings.public_url),
            answers=Answers(store, keys, consent_policy(settings), in_step, settings.public_url),
        )


def survey_policy(settings: Settings) -> SurveyPolicy:
    """What SETTINGS say about which messages and links are tracked."""
    return SurveyPolicy(
        public_urls=(settings.public_url, *settings.former_public_urls),
        text_links=settings.text_links,
        sender_domains=frozenset(settings.sender_domains),
        rewrite_visible_urls=settings.rewrite_visible_urls,
        excluded_hosts=settings.excluded_links,
        remove_pixels=settings.foreign_trackers == "remove",
    )


def send_policy(settings: Settings) -> SendPolicy:
    """What SETTINGS say about sending."""
    return SendPolicy(
        public_url=settings.public_url,
        max_message=settings.max_message,
        retention_days=settings.retention_days,
        language=settings.language,
        remove_pixels=settings.foreign_trackers == "remove",
    )


def consent_policy(settings: Settings) -> ConsentPolicy:
    """What SETTINGS say about how long consents and proofs last."""
    return ConsentPolicy(
        consent_days=settings.consent_days,
        proof_days=settings.proof_days,
        retention_days=settings.retention_days,
    )


def mail_policy(settings: Settings) -> MailPolicy:
    """What SETTINGS say about mails of our own."""
    return MailPolicy(confirmations_per_day=settings.confirmations_per_day)


def posting(settings: Settings, clock: Clock) -> Callable[[Letter], Awaitable[None]] | None:
    """What takes mails of our own to the next hop; None when SETTINGS name none."""
    if settings.smtp_next_hop is None:
        return None
    return Courier(NextHop.of(settings.smtp_next_hop), site(settings), clock, secrets.token_bytes).post


def disclosure(settings: Settings) -> Disclosure:
    """What SETTINGS tell of the controller and of periods, for the notice, the record of processing and receipts."""
    consents = consent_policy(settings)
    return Disclosure(
        controller=settings.controller,
        contact=settings.contact,
        public_url=settings.public_url,
        language=settings.language,
        periods=Periods(
            retention_days=settings.retention_days,
            consent_days=consents.consent_days,
            pending_days=consents.pending_days,
            proof_days=consents.proof_days,
            backup_days=settings.backup_days,
        ),
        controller_address=settings.controller_address,
        data_protection_officer=settings.data_protection_officer,
        supervisory_authority=settings.supervisory_authority,
        purposes=settings.purposes,
        data_recipients=settings.data_recipients,
        hosting=settings.hosting,
        transfers=settings.transfers,
    )


async def serve(
    settings: Settings, ready: Callable[[], None], *, clock: Clock = utc_now, stop: asyncio.Event | None = None
) -> None:
    """Run both listeners and the background work until SIGTERM, SIGINT or STOP; then finish what was begun.

    READY is called once, when requests are answered. Raises SetupError, StoreUnavailable, OSError.
    """
    stopping = stop or asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(built(settings, clock))
        private, public = applications(parts, clock)
        loop.set_exception_handler(report_loop_error)
        count = parts.metrics.answered
        for name, application, answer in (
            ("private_listen", private, malformed(parts.metrics.problem)),
            ("public_listen", public, plain),
        ):
            runner = await _listening(application, name, getattr(settings, name), partial(_counted, answer, count))
            stack.push_async_callback(runner.cleanup)
        work = [asyncio.create_task(_repeat(job, parts.metrics, clock)) for job in background(parts)]
        stack.push_async_callback(_cancel, work)
        for name in sorted(without_effect(settings)):
            log.warning("setting %s is not built in this release and has no effect", name)
        if missing := disclosure(settings).missing():
            log.warning("the privacy notice at /notice is not shown while these are not set: %s", ", ".join(missing))
        log.info("serving")
        ready()
        await stopping.wait()
        log.info("stopping: finishing what was begun")


def _counted(answer: Malformed, count: Callable[[str, str, int], None], status: int) -> web.Response:
    """The answer to a request that cannot be parsed, counted as one of no route and no method that we know."""
    count("-", "OTHER", status)
    return answer(status)


async def _listening(application: web.Application, name: str, where: Listen, malformed: Malformed) -> web.AppRunner:
    """APPLICATION, served at the address that the setting NAME holds. Raises BadSetting when it cannot be."""
    try:
        return await listen(application, where.host, where.port, malformed=malformed)
    except OSError as error:
        raise BadSetting(f"{name}: {where} cannot be listened on: {error.strerror}") from None


def applications(parts: Parts, clock: Clock) -> tuple[web.Application, web.Application]:
    """What the private and the public listener serve."""
    settings = parts.settings
    private = api.build(
        sender=parts.sender,
        consents=parts.consents,
        asking=parts.asking,
        bulk=parts.bulk,
        changes=parts.changes,
        figures=parts.figures,
        subjects=parts.subjects,
        about=about(disclosure(settings), Languages(templates_folder() / "locale"), settings.language),
        access=parts.access,
        metrics=parts.metrics,
        ready=partial(readiness, parts),
        clock=clock,
        max_message=settings.max_message,
        public_url=settings.public_url,
        language=settings.language,
    )
    pages = Pages(site(settings))
    strangers = public.build(
        parts.hits,
        parts.consents,
        pages,
        clock,
        disclosure=disclosure(settings),
        receipt_key=parts.proofs.public_key,
        trusted_proxies=settings.trusted_proxies,
        answered=parts.metrics.answered,
        more=(
            *AskPage(parts.asking, parts.answers, pages, clock).routes,
            *SessionPage(parts.mailbox, parts.subjects, parts.proofs, pages, clock, disclosure(settings)).routes,
            *MailboxPage(parts.mailbox, pages, clock).routes,
        ),
    )
    return private, strangers


def site(settings: Settings) -> Site:
    """What SETTINGS say that recipients read."""
    return Site(
        controller=settings.controller,
        contact=settings.contact,
        public_url=settings.public_url,
        retention_days=settings.retention_days,
        consent_days=settings.consent_days,
        proof_days=settings.proof_days,
        language=settings.language,
        notice=not disclosure(settings).missing(),
    )


def background(parts: Parts) -> Iterable[Job]:
    """The table of background work."""

    async def read_keys(now: datetime) -> None:
        await parts.keys.reload(now)
        ring = parts.keys().ring
        await parts.store.use_keys(ring.fingerprint, ring.former)

    async def look_at_oldest(now: datetime) -> None:
        parts.metrics.oldest_event(await parts.store.oldest_event_hour(), now)

    async def look_for_overdue(now: datetime) -> None:
        parts.metrics.overdue(await parts.store.overdue(day_of(now)))

    return (
        Job("read the key file again", read_keys, timedelta(minutes=1)),
        Job("keep journal and database in step", parts.in_step.keep, timedelta(seconds=1)),
        Job("forget what repeated messages look like", parts.surveys.forget, KEPT / 5),
        Job("look at the oldest event", look_at_oldest, timedelta(minutes=1)),
        Job("look for rows past their day", look_for_overdue, timedelta(minutes=5)),
        *jobs(parts.store, parts.settings.proof_days, parts.metrics.swept),
    )


async def readiness(parts: Parts) -> Readiness:
    """Whether mail would be tracked just now, and if not why."""
    trouble = {}
    try:
        await parts.store.ping()
    except StoreUnavailable as error:
        trouble["store"] = error.title
    if parts.in_step.trouble:
        trouble["journal"] = parts.in_step.trouble
    if parts.keys.trouble:
        trouble["keys"] = parts.keys.trouble
    return Readiness(trouble)


def _event_counts(store: Store) -> EventCounts:
    counters = store.counters
    return EventCounts(counters.written, counters.dropped, counters.waiting)


async def _repeat(job: Job, metrics: Metrics, clock: Clock) -> None:
    while True:
        pause = min(job.period, SOON_AGAIN)
        try:
            await job.run(clock())
        except TrackerError as error:
            metrics.job(job.description, "failed")
            log.warning("background work failed: %s: %s", job.description, error.slug)
        except Exception:
            metrics.job(job.description, "failed")
            log.exception("background work failed: %s", job.description)
        else:
            metrics.job(job.description, "done")
            pause = job.period
        await asyncio.sleep(pause.total_seconds())


async def _cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
