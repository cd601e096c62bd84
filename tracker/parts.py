"""Builds the parts from the settings, in order, and takes them apart in reverse."""

from __future__ import annotations

import os
import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from hashlib import blake2b
from typing import Final

from tracker.blockfile import BlockFile, BlockSource
from tracker.config import Settings
from tracker.core.tries import Tries
from tracker.core.webhook import secret_octets
from tracker.doors.budget import Budget
from tracker.doors.courier import Courier
from tracker.doors.next_hop import NextHop
from tracker.doors.webhook_client import WebhookClient
from tracker.flows.access import Access
from tracker.flows.answer import Answers
from tracker.flows.asking import Asking
from tracker.flows.bulk import Bulk
from tracker.flows.changes import Changes
from tracker.flows.consent import Consents
from tracker.flows.hit import Hits
from tracker.flows.in_step import InStep
from tracker.flows.live import Live
from tracker.flows.mailbox import Mailbox
from tracker.flows.mailing import Mailings
from tracker.flows.notices import Notices
from tracker.flows.person import People
from tracker.flows.proof import Proofs
from tracker.flows.report import Figures
from tracker.flows.send import Sender
from tracker.flows.subject import Subjects
from tracker.flows.surveys import Surveys
from tracker.flows.webhooks import Receiver, Webhooks
from tracker.key_source import KeySource
from tracker.keyfile import KeyFile
from tracker.metrics import EventCounts, Metrics
from tracker.model import Letter
from tracker.planner import Planner
from tracker.policies import consent_policy, disclosure, mail_policy, send_policy, site, survey_policy
from tracker.post import Post
from tracker.store.engine import database_file
from tracker.store.journal import Journal
from tracker.store.store import Store

Clock = Callable[[], datetime]

LOCK_PATIENCE: Final = 2.0
"""Seconds that a statement waits for another process; senders wait 5 s before they send what they have."""


def utc_now() -> datetime:
    """The one place where the time of day is read."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that runs, built once."""

    settings: Settings
    store: Store
    keys: KeySource
    blocked: BlockSource
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
    live: Live
    people: People
    subjects: Subjects
    access: Access
    journal: Journal
    mailings: Mailings
    mailbox: Mailbox
    in_step: InStep
    asking: Asking
    answers: Answers
    tries: Tries
    """Where it is counted who tries passwords."""
    budget: Budget
    """The memory for bodies, whichever door they come through."""
    webhooks: Webhooks | None
    """None: nobody is to be told of anything."""


@asynccontextmanager
async def built(settings: Settings, clock: Clock = utc_now, post: Post | None = None) -> AsyncIterator[Parts]:
    """The parts for SETTINGS, with the store open and in step with the journal, in a process with the place POST.

    On the way out what is queued is written and mailed first, and the ledger's head noted.

    Raises SetupError and StoreUnavailable.
    """
    if (database := database_file(settings.database_url)) is not None:
        # VACUUM writes a copy of the database: beside it, not to a disk of others.
        os.environ.setdefault("SQLITE_TMPDIR", str(database.parent))
    keys = KeySource(KeyFile(settings.key_file))
    ring = keys().ring
    blocked = BlockSource(BlockFile(settings.blocked_hosts))
    post = post or Post()
    metrics = Metrics(post.folder)
    async with AsyncExitStack() as stack:
        stack.callback(metrics.tell)
        store = await Store.open(
            settings.database_url,
            ledger_key=ring.ledger_key,
            fingerprint=ring.fingerprint,
            former=ring.former,
            worker=worker_number(settings, post.number),
            retention_days=settings.retention_days,
            minimum_group=settings.minimum_group,
            busy_seconds=LOCK_PATIENCE,
            told_to=settings.webhook_source,
        )
        store.heed_bursts(post.bursts.struck)
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
            leads=post.leads,
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
        asking = Asking(store, keys, mailings, secrets.token_bytes, settings.public_url)
        yield Parts(
            settings=settings,
            store=store,
            keys=keys,
            blocked=blocked,
            metrics=metrics,
            surveys=surveys,
            sender=Sender(
                store, keys, surveys, secrets.token_bytes, send_policy(settings), search=planner.quoted_tokens
            ),
            hits=Hits(store, keys, metrics, post.bursts, blocked, settings.machine_seconds),
            consents=consents,
            bulk=Bulk(store, consents, policy, in_step),
            changes=Changes(store),
            proofs=Proofs(store, keys, secrets.token_bytes, disclosure(settings)),
            notices=Notices(store, settings.controller, settings.proof_days),
            figures=Figures(store, keys),
            live=Live(store, keys, clock),
            people=People(store, keys, consents, asking),
            subjects=Subjects(store, keys, policy, in_step),
            access=Access(store),
            journal=journal,
            mailings=mailings,
            mailbox=Mailbox(store, keys, mailings, secrets.token_bytes, settings.public_url),
            in_step=in_step,
            asking=asking,
            answers=Answers(store, keys, policy, in_step, settings.public_url),
            tries=post.tries,
            budget=Budget(settings.bodies_in_flight, post.bodies),
            webhooks=webhooks(settings, store, stack, metrics),
        )


def worker_number(settings: Settings, number: int) -> int:
    """What tells the counters of process NUMBER from those of other processes, and of other servers of a database.

    Should two servers get the same, they add to the same counters, which is right as well, only slower.
    """
    server = f"{os.uname().nodename} {settings.journal}".encode()
    return int.from_bytes(blake2b(server, digest_size=3).digest(), "big") * 64 + number % 64


def posting(settings: Settings, clock: Clock) -> Callable[[Letter], Awaitable[None]] | None:
    """What takes mails of our own to the next hop; None when SETTINGS name none."""
    if settings.smtp_next_hop is None:
        return None
    return Courier(NextHop.of(settings.smtp_next_hop), site(settings), clock, secrets.token_bytes).post


def webhooks(settings: Settings, store: Store, stack: AsyncExitStack, metrics: Metrics) -> Webhooks | None:
    """What tells another system of events on STORE; None when SETTINGS name none. STACK closes its connections."""
    if settings.webhook_url is None or settings.webhook_secret is None or settings.webhook_source is None:
        return None
    client = WebhookClient(settings.webhook_url, private=settings.webhook_private)
    stack.push_async_callback(client.close)
    receiver = Receiver(settings.webhook_source, secret_octets(settings.webhook_secret))
    return Webhooks(store, receiver, client.post, random.SystemRandom(), metrics.webhook)


def _event_counts(store: Store) -> EventCounts:
    counters = store.counters
    return EventCounts(counters.written, counters.dropped, counters.waiting)
