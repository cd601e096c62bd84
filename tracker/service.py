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
from typing import Any, Final

from aiohttp import web

from tracker.allocator import give_back_large
from tracker.config import Settings
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
from tracker.doors.server import Malformed, QuietRunner, listen, plain
from tracker.doors.session_page import SessionPage
from tracker.flows.surveys import KEPT
from tracker.flows.sweep import Job, jobs
from tracker.flows.webhooks import Webhooks
from tracker.limits import FEW, connections, raise_open_files
from tracker.listeners import Sockets, bound, close
from tracker.logs import report_loop_error
from tracker.metrics import Metrics
from tracker.model import StoreUnavailable, TrackerError
from tracker.parts import Clock, Parts, built, utc_now
from tracker.policies import disclosure, site
from tracker.post import Post, alone
from tracker.smtp import smtp_listening

log = logging.getLogger(__name__)

GARBAGE: Final = 10_000
"""New objects after which garbage in circles is looked for: a burst of hits makes thousands, and no circle."""
TURN: Final = 0.0005
"""Seconds that a thread may keep the interpreter's lock while another one waits for it."""
SOON_AGAIN: Final = timedelta(minutes=5)
"""When background work that failed is tried again, if its turn does not come sooner."""
TAKE_OVER: Final = timedelta(seconds=1)
"""How often a process looks whether it leads now."""
LIVE_LOOK: Final = timedelta(seconds=0.5)
"""How often a process looks for whoever watches at it: what happens is to show within two seconds."""
HAND_OVER_SECONDS: Final = 10.0
"""How long a connection may be idle, or a message take to come in, before a process that hands over ends it."""


async def serve(
    settings: Settings,
    ready: Callable[[], None],
    *,
    clock: Clock = utc_now,
    stop: asyncio.Event | None = None,
    post: Post | None = None,
    sockets: Sockets | None = None,
) -> None:
    """Run all listeners and the background work until SIGTERM, SIGINT, SIGHUP or STOP; then finish what was begun.

    READY is called once, when requests are answered. POST: the place of this process, if its server has several;
    SOCKETS: where it listens, if that is bound already. Raises SetupError, StoreUnavailable, OSError.
    """
    stopping, post = stop or asyncio.Event(), post or Post()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup, and the parent of several processes, want it
            loop.add_signal_handler(number, stopping.set)
    async with AsyncExitStack() as stack:
        if sockets is None:
            sockets = bound(settings)
        stack.callback(close, sockets)
        parts = await stack.enter_async_context(built(settings, clock, post))
        stack.callback(parts.metrics.tell)  # for the other processes, when all is answered
        private, public = applications(parts, clock)
        loop.set_exception_handler(report_loop_error)
        count = parts.metrics.answered
        most = connections(raise_open_files())
        if most.public < FEW:
            log.warning("only %d connections of recipients at a time: the limit on open files is low", most.public)
        runners = []
        for name, application, answer, limit in (
            ("private_listen", private, malformed(parts.metrics.problem), most.private),
            ("public_listen", public, plain, most.public),
            ("dashboard_listen", Dashboard(parts, clock).application(), plain, most.dashboard),
        ):
            counted = partial(_counted, answer, count)
            runner = await listen(application, sockets[name], malformed=counted, most=limit)
            stack.push_async_callback(runner.cleanup)
            runners.append(runner)
        smtp = await stack.enter_async_context(smtp_listening(parts, clock, sockets))
        work = [asyncio.create_task(_repeat(job, parts.metrics, clock)) for job in everywhere(parts)]
        led = [asyncio.create_task(_repeat(job, parts.metrics, clock, post.leads)) for job in once(parts)]
        stack.push_async_callback(_cancel, [*work, *led])
        if missing := disclosure(settings).missing():
            log.warning("the privacy notice at /notice is not shown while these are not set: %s", ", ".join(missing))
        _tuned()
        log.info("serving")
        ready()
        handing_over = await _first(post.hand_over, stopping) is post.hand_over
        parts.live.end()
        if handing_over:
            log.info("handing over: finishing what was begun")
            over = [_resigned(led, post), *map(_handed_over, runners)]
            if smtp is not None:
                over.append(smtp.hand_over(HAND_OVER_SECONDS))
            await _until(asyncio.gather(*over), stopping)
        log.info("stopping: finishing what was begun")


def _tuned() -> None:
    """Keep what the interpreter does beside the work from holding up hits.

    What the start made stays for good, and out of every later collection of garbage. The thread of the database asks
    for the interpreter's lock a few times for each group of events: it is let in at once, not after 5 ms. What large
    messages took goes back to the system.
    """
    give_back_large()
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE)
    sys.setswitchinterval(TURN)


def _counted(answer: Malformed, count: Callable[[str, str, int], None], status: int) -> web.Response:
    """The answer to a request that cannot be parsed, counted as one of no route and no method that we know."""
    count("-", "OTHER", status)
    return answer(status)


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
        budget=parts.budget,
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


def everywhere(parts: Parts) -> Iterable[Job]:
    """The table of background work that every process does for itself."""

    async def read_keys(now: datetime) -> None:
        await parts.keys.reload(now)
        ring = parts.keys().ring
        await parts.store.use_keys(ring.fingerprint, ring.former)

    async def tell(_: datetime) -> None:
        parts.metrics.tell()

    return (
        Job("read the key file again", read_keys, timedelta(minutes=1)),
        Job("look whether hosts were blocked", parts.blocked.reload, timedelta(seconds=1)),
        Job("keep journal and database in step", parts.in_step.keep, timedelta(seconds=1)),
        Job("forget what repeated messages look like", parts.surveys.forget, KEPT / 5),
        Job("let the other processes add up what this one counts", tell, timedelta(seconds=1)),
        Job("look what happens just now, where somebody watches", parts.live.look, LIVE_LOOK),
    )


def once(parts: Parts) -> Iterable[Job]:
    """The table of background work that one process of a server does for all of them."""

    async def look_at_oldest(now: datetime) -> None:
        parts.metrics.oldest_event(await parts.store.oldest_event_hour(), now)

    async def look_for_overdue(now: datetime) -> None:
        parts.metrics.overdue(await parts.store.overdue(day_of(now)))

    async def make_room(now: datetime) -> None:
        await parts.store.make_room(day_of(now), parts.settings.retention_days)

    return (
        Job("make partitions a week ahead", make_room, timedelta(days=1)),
        Job("look at the oldest event", look_at_oldest, timedelta(minutes=1)),
        Job("look for rows past their day", look_for_overdue, timedelta(minutes=5)),
        *(() if parts.webhooks is None else telling(parts, parts.webhooks)),
        *jobs(parts.store, parts.settings.proof_days, parts.metrics.swept),
    )


def telling(parts: Parts, webhooks: Webhooks) -> Iterable[Job]:
    """The background work of WEBHOOKS."""

    async def look_at_backlog(now: datetime) -> None:
        parts.metrics.webhooks(await parts.store.webhook_backlog(day_of(now)), now)

    return (
        Job("send webhooks", webhooks.send, timedelta(seconds=1)),
        Job("look at webhooks that wait", look_at_backlog, timedelta(seconds=15)),
    )


async def readiness(parts: Parts) -> Readiness:
    """Whether mail would be tracked just now, and if not why."""
    trouble = {}
    try:
        await parts.store.ping()
    except StoreUnavailable as error:
        trouble["store"] = error.title
    else:
        if parts.store.is_failing:
            trouble["store"] = "The database takes no opens and clicks just now."
    if parts.store.is_losing:
        trouble["events"] = "The store was away for so long that hits are being lost."
    if parts.in_step.holding:
        trouble["journal"] = parts.in_step.holding
    if parts.keys.trouble:
        trouble["keys"] = parts.keys.trouble
    if parts.blocked.trouble:
        trouble["blocked_hosts"] = parts.blocked.trouble
    return Readiness(trouble)


async def _repeat(job: Job, metrics: Metrics, clock: Clock, leads: Callable[[], bool] = alone) -> None:
    while True:
        while not leads():
            await asyncio.sleep(TAKE_OVER.total_seconds())
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


async def _resigned(led: Iterable[asyncio.Task[Any]], post: Post) -> None:
    """End what only who leads does, and let another process do it, with its own settings.

    Called off in the middle, all of it is done again by whoever leads next: what a transaction did not commit, and
    webhooks that were on their way.
    """
    await _cancel(led)
    post.resign()


async def _handed_over(runner: QuietRunner) -> None:
    """Let RUNNER hand over, and then have no connection any more, however long others take."""
    await runner.hand_over(HAND_OVER_SECONDS)
    await runner.cleanup()


async def _first(*events: asyncio.Event) -> asyncio.Event:
    """The one of EVENTS that is set first."""
    waits = {asyncio.create_task(event.wait()): event for event in events}
    done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    await _cancel(waits)
    return next(waits[task] for task in waits if task in done)


async def _until(work: asyncio.Future[Any], stop: asyncio.Event) -> None:
    """Wait until WORK is done or STOP is set; then it is called off."""
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait((work, stopped), return_when=asyncio.FIRST_COMPLETED)
    work.cancel()
    await _cancel((stopped,))
    await asyncio.gather(work, return_exceptions=True)


async def _cancel(tasks: Iterable[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
