"""Runs the listeners and the background work on the parts, and stops them in reverse order."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from aiohttp import web

from tracker.config import Listen, Settings
from tracker.core.calendar import day_of
from tracker.dashboard import Dashboard
from tracker.doors import api, public
from tracker.doors.about import about
from tracker.doors.api_problems import malformed
from tracker.doors.ask_page import AskPage
from tracker.doors.languages import Languages
from tracker.doors.mailbox_page import MailboxPage
from tracker.doors.operations import Readiness
from tracker.doors.pages import Pages, templates_folder
from tracker.doors.server import Malformed, listen, plain
from tracker.doors.session_page import SessionPage
from tracker.flows.surveys import KEPT
from tracker.flows.sweep import Job, jobs
from tracker.limits import FEW, connections, raise_open_files
from tracker.logs import report_loop_error
from tracker.metrics import Metrics
from tracker.model import BadSetting, StoreUnavailable, TrackerError
from tracker.parts import Clock, Parts, built, utc_now
from tracker.policies import disclosure, site
from tracker.settings import without_effect

log = logging.getLogger(__name__)

GARBAGE: Final = 10_000
"""New objects after which garbage in circles is looked for: a burst of hits makes thousands, and no circle."""
TURN: Final = 0.0005
"""Seconds that a thread may keep the interpreter's lock while another one waits for it."""
SOON_AGAIN: Final = timedelta(minutes=5)
"""When background work that failed is tried again, if its turn does not come sooner."""


async def serve(
    settings: Settings, ready: Callable[[], None], *, clock: Clock = utc_now, stop: asyncio.Event | None = None
) -> None:
    """Run all listeners and the background work until SIGTERM, SIGINT or STOP; then finish what was begun.

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
        most = connections(raise_open_files())
        if most.public < FEW:
            log.warning("only %d connections of recipients at a time: the limit on open files is low", most.public)
        for name, application, answer, limit in (
            ("private_listen", private, malformed(parts.metrics.problem), most.private),
            ("public_listen", public, plain, most.public),
            ("dashboard_listen", Dashboard(parts, clock).application(), plain, most.private),
        ):
            counted = partial(_counted, answer, count)
            runner = await _listening(application, name, getattr(settings, name), counted, limit)
            stack.push_async_callback(runner.cleanup)
        work = [asyncio.create_task(_repeat(job, parts.metrics, clock)) for job in background(parts)]
        stack.push_async_callback(_cancel, work)
        for name in sorted(without_effect(settings)):
            log.warning("setting %s is not built in this release and has no effect", name)
        if missing := disclosure(settings).missing():
            log.warning("the privacy notice at /notice is not shown while these are not set: %s", ", ".join(missing))
        _tuned()
        log.info("serving")
        ready()
        await stopping.wait()
        log.info("stopping: finishing what was begun")


def _tuned() -> None:
    """Keep what the interpreter does beside the work from holding up hits.

    What the start made stays for good, and out of every later collection of garbage. The thread of the database asks
    for the interpreter's lock a few times for each group of events: it is let in at once, not after 5 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE)
    sys.setswitchinterval(TURN)


def _counted(answer: Malformed, count: Callable[[str, str, int], None], status: int) -> web.Response:
    """The answer to a request that cannot be parsed, counted as one of no route and no method that we know."""
    count("-", "OTHER", status)
    return answer(status)


async def _listening(
    application: web.Application, name: str, where: Listen, malformed: Malformed, most: int
) -> web.AppRunner:
    """APPLICATION, served at the address that the setting NAME holds. Raises BadSetting when it cannot be."""
    try:
        return await listen(application, where.host, where.port, malformed=malformed, most=most)
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
        bodies_in_flight=settings.bodies_in_flight,
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

    async def make_room(now: datetime) -> None:
        await parts.store.make_room(day_of(now), parts.settings.retention_days)

    return (
        Job("read the key file again", read_keys, timedelta(minutes=1)),
        Job("look whether hosts were blocked", parts.blocked.reload, timedelta(seconds=1)),
        Job("keep journal and database in step", parts.in_step.keep, timedelta(seconds=1)),
        Job("forget what repeated messages look like", parts.surveys.forget, KEPT / 5),
        Job("make partitions a week ahead", make_room, timedelta(days=1)),
        Job("look at the oldest event", look_at_oldest, timedelta(minutes=1)),
        Job("look for rows past their day", look_for_overdue, timedelta(minutes=5)),
        *(() if parts.webhooks is None else (Job("send webhooks", parts.webhooks.send, timedelta(seconds=1)),)),
        *jobs(parts.store, parts.settings.proof_days, parts.metrics.swept),
    )


async def readiness(parts: Parts) -> Readiness:
    """Whether mail would be tracked just now, and if not why."""
    trouble = {}
    try:
        await parts.store.ping()
    except StoreUnavailable as error:
        trouble["store"] = error.title
    if parts.store.is_losing:
        trouble["events"] = "The store was away for so long that hits are being lost."
    if parts.in_step.trouble:
        trouble["journal"] = parts.in_step.trouble
    if parts.keys.trouble:
        trouble["keys"] = parts.keys.trouble
    if parts.blocked.trouble:
        trouble["blocked_hosts"] = parts.blocked.trouble
    return Readiness(trouble)


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
