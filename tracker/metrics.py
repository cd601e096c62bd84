"""Counts what the tracker does, for Prometheus; a label is one of a few words of ours, never anybody's data."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Literal, TypeAlias

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, values
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from tracker.core.calendar import instant_of
from tracker.core.webhook import Backlog
from tracker.model import Agent, Hour, Left, MailKind, Purpose, Reason

KINDS: Final = {Purpose.OPEN: "pixel", Purpose.CLICK: "redirect"}
FOREIGN: Final = ("pixel", "link")
"""Kinds of other people's trackers, as core/foreign names them."""
RESULTS: Final = ("recorded", "early", "refused", "uncounted", "forged")
"""Of a hit, as flows/hit names them; `early` was answered before the commit."""
RELAY_RESULTS: Final = ("relayed", "deferred", "refused")
"""Of a message that came by SMTP, as flows/relay names them."""
MAIL_RESULTS: Final = ("sent", "too-often", "refused", "failed", "dropped")
"""Of a mail of our own, as flows/mailing names them."""
WEBHOOK_KINDS: Final = ("event", "end")
"""Of what another system is told, as flows/webhooks names them."""
WEBHOOK_RESULTS: Final = ("taken", "refused", "given-up")
"""`refused`: tried and not taken, to be tried again; `given-up`: an event whose last day came first."""
SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


@dataclass(frozen=True, slots=True)
class EventCounts:
    """What the store says about its queue of events."""

    written: int
    dropped: int
    waiting: int


def count_in_common(number: int) -> None:
    """Let the metrics of this process be kept in a file for NUMBER, so that other processes can add them up.

    The environment's PROMETHEUS_MULTIPROC_DIR names the folder, as the library wants it. A number belongs to one
    process at a time; the next one that has it counts on from there, so that no sum falls when a process is replaced.
    """
    values.ValueClass = values.MultiProcessValue(lambda: number)  # type: ignore[no-untyped-call]


def forget_present(number: int, folder: Path) -> None:
    """The process with NUMBER has ended: what it counted stays in FOLDER, what was only so at the moment goes."""
    mark_process_dead(number, str(folder))  # type: ignore[no-untyped-call]


class Metrics:
    """All counts of one process, or of all that share FOLDER (after `count_in_common`)."""

    def __init__(self, folder: Path | None = None) -> None:
        self._registry = CollectorRegistry()
        self._all: Collector = self._registry if folder is None else _added_up(folder)
        self._events = _Events(self._registry)
        self._process: ProcessCollector | _Process
        self._process = ProcessCollector(registry=self._registry) if folder is None else _Process(self._registry)
        self._copies = self._counter("tracker_copies", "Copies of messages, by outcome and reason", "outcome", "reason")
        self._left = self._counter("tracker_links_left", "http links of tracked copies that were left alone", "reason")
        self._foreign = self._counter(
            "tracker_foreign", "Other people's trackers in copies that were looked into", "kind"
        )
        self._removed = self._counter("tracker_foreign_removed", "Other people's pixels that copies left without")
        self._seconds = Histogram(
            "tracker_rewrite_duration_seconds",
            "From the end of a copy's body to its answer",
            ("outcome",),
            registry=self._registry,
            buckets=SECONDS,
        )
        self._unsigned = self._counter(
            "tracker_signatures_removed", "DKIM signatures of our own that tracked copies left without"
        )
        self._relayed = self._counter("tracker_smtp_messages", "Messages that came by SMTP, by answer", "result")
        self._hits = self._counter("tracker_hits", "Requests for pixels and links", "kind", "agent", "result")
        self._early = self._counter(
            "tracker_events_answered_before_commit", "Hits answered while the store was still writing", "kind"
        )
        self._problems = self._counter("tracker_problems", "API requests refused or failed, by problem", "problem")
        self._answers = self._counter("tracker_http_answers", "HTTP answers", "route", "method", "status")
        self._deleted = self._counter("tracker_rows_expired", "Rows deleted because their last day passed", "table")
        # Set by the one process that leads: what was said last holds.
        self._overdue = Gauge(
            "tracker_rows_overdue",
            "Rows past their last day, not deleted yet",
            ("table",),
            registry=self._registry,
            multiprocess_mode="mostrecent",
        )
        self._jobs = self._counter("tracker_job_runs", "Runs of background work", "job", "result")
        self._mails = self._counter("tracker_own_mails", "Mails that the tracker was to send itself", "kind", "result")
        self._webhooks = self._counter(
            "tracker_webhooks", "Tries to tell another system, and what was given up", "kind", "result"
        )
        self._webhooks_waiting = self._present("tracker_webhooks_waiting", "Events that another system is to be told")
        self._webhooks_refused = self._present(
            "tracker_webhooks_waiting_refused", "Those of them that were tried, and not taken"
        )
        self._webhooks_oldest = self._present(
            "tracker_webhooks_oldest_age_seconds", "Age of the oldest event that another system is to be told"
        )
        self._oldest = self._present("tracker_oldest_event_age_seconds", "Age of the oldest event that is stored")
        # Every hit raises both of these: they are kept in plain numbers until somebody looks.
        self._new_answers: defaultdict[tuple[str, str, int], int] = defaultdict(int)
        self._new_hits: defaultdict[tuple[Purpose, Agent | None, str], int] = defaultdict(int)
        self._start_at_zero()

    # --- what flows and doors tell ---

    def rewrote(self, reason: Reason | None, left: Mapping[Left, int], seconds: float) -> None:
        """One copy was answered after SECONDS: tracked, with links LEFT alone, or untouched for REASON."""
        outcome = "tracked" if reason is None else "untouched"
        self._copies.labels(outcome, reason or "").inc()
        self._seconds.labels(outcome).observe(seconds)
        for why, count in left.items():
            self._left.labels(why).inc(count)

    def relayed(self, result: str) -> None:
        """A message that came by SMTP was answered; RESULT is one of RELAY_RESULTS."""
        self._relayed.labels(result).inc()

    def unsigned(self, removed: int) -> None:
        """A tracked copy left without so many DKIM signatures of our own, which were REMOVED."""
        self._unsigned.inc(removed)

    def foreign(self, found: Mapping[str, int], removed: int) -> None:
        """A copy came with other people's trackers, FOUND by kind, `pixel` or `link`; so many pixels were REMOVED."""
        for kind, count in found.items():
            self._foreign.labels(kind).inc(count)
        self._removed.inc(removed)

    def hit(self, purpose: Purpose, agent: Agent | None, result: str) -> None:
        """One request for a pixel or a link; AGENT is None where nobody was told apart, RESULT one of RESULTS."""
        self._new_hits[purpose, agent, result] += 1

    def problem(self, slug: str) -> None:
        """A request to the API was answered with the problem SLUG."""
        self._problems.labels(slug).inc()

    def answered(self, route: str, method: str, status: int) -> None:
        """A request was answered with STATUS; ROUTE is the template, not the path."""
        self._new_answers[route, method, status] += 1

    def swept(self, deleted: Mapping[str, int]) -> None:
        """A sweep DELETED so many rows of each table."""
        for table, rows in deleted.items():
            self._deleted.labels(table).inc(rows)
        self._webhooks.labels("event", "given-up").inc(deleted.get("outbox", 0))

    def overdue(self, counts: Mapping[str, int]) -> None:
        """So many rows of each table are past their day and not deleted yet; told every few minutes."""
        for table, rows in counts.items():
            self._overdue.labels(table).set(rows)

    def job(self, description: str, result: str) -> None:
        """A piece of background work ended; RESULT is `done` or `failed`."""
        self._jobs.labels(description, result).inc()

    def mailed(self, kind: MailKind, result: str) -> None:
        """What became of a mail of our own; RESULT is one of MAIL_RESULTS."""
        self._mails.labels(kind, result).inc()

    def webhook(self, kind: str, taken: bool) -> None:
        """Another system was told, or it did not listen; KIND is one of WEBHOOK_KINDS."""
        self._webhooks.labels(kind, "taken" if taken else "refused").inc()

    def webhooks(self, backlog: Backlog, now: datetime) -> None:
        """What waits to be told; told every minute or so, also when it is nothing."""
        self._webhooks_waiting.set(backlog.waiting)
        self._webhooks_refused.set(backlog.refused)
        self._webhooks_oldest.set(_age(backlog.oldest, now))

    def oldest_event(self, hour: Hour | None, now: datetime) -> None:
        """The oldest event that is stored is of HOUR, None when there is none; told every minute or so."""
        self._oldest.set(_age(hour, now))

    # --- what is asked for when somebody looks ---

    def watch_events(self, counts: Callable[[], EventCounts]) -> None:
        """Ask COUNTS for the store's queue whenever metrics are read here, or told to other processes."""
        self._events.watch(counts)

    def tell(self) -> None:
        """Bring up to date what is asked for or was kept back, so that other processes can add it up; every second."""
        self._events.look()
        if isinstance(self._process, _Process):
            self._process.look()
        for (route, method, status), answers in self._new_answers.items():
            self._answers.labels(route, method, str(status)).inc(answers)
        for (purpose, agent, result), hits in self._new_hits.items():
            self._hits.labels(KINDS[purpose], _class(agent), result).inc(hits)
            if result == "early":
                self._early.labels(KINDS[purpose]).inc(hits)
        self._new_answers.clear()
        self._new_hits.clear()

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """All metrics as the Accept field ACCEPT asks for (Prometheus text or OpenMetrics), and the content type."""
        self.tell()
        encode, content_type = choose_encoder(accept)
        return encode(_Untimed(self._all)), content_type

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self._registry)

    def _present(self, name: str, text: str) -> Gauge:
        """Something that the one process that leads sets: what was said last holds."""
        return Gauge(name, text, registry=self._registry, multiprocess_mode="mostrecent")

    def _start_at_zero(self) -> None:
        # A counter that appears with its first increment hides that increment from rate().
        self._copies.labels("tracked", "")
        for reason in Reason:
            self._copies.labels("untouched", reason)
        for why in Left:
            self._left.labels(why)
        for kind in FOREIGN:
            self._foreign.labels(kind)
        for answer in RELAY_RESULTS:
            self._relayed.labels(answer)
        for mail in MailKind:
            for result in MAIL_RESULTS:
                self._mails.labels(mail, result)
        for kind in KINDS.values():
            self._early.labels(kind)
            for agent in (*Agent, None):
                for result in RESULTS:
                    self._hits.labels(kind, _class(agent), result)
        for told in WEBHOOK_KINDS:
            for became in WEBHOOK_RESULTS:
                if (told, became) != ("end", "given-up"):  # the end of a consent is told for as long as it takes
                    self._webhooks.labels(told, became)


class _Untimed(Collector):
    """Metrics without the instants of their first counts: what one person did first is known to the hour at most."""

    def __init__(self, metrics: Collector) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        """The metrics, less their `_created` series."""
        for metric in self._metrics.collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric


class _Events:
    """The store's queue of events as metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._counts: Callable[[], EventCounts] | None = None
        self._told = EventCounts(0, 0, 0)
        self._written = Counter("tracker_events_written", "Events committed", registry=registry)
        self._dropped = Counter("tracker_events_dropped", "Events lost because the queue was full", registry=registry)
        self._waiting = Gauge(
            "tracker_events_waiting", "Events waiting to be written", registry=registry, multiprocess_mode="livesum"
        )

    def watch(self, counts: Callable[[], EventCounts]) -> None:
        """Ask COUNTS from now on."""
        self._counts, self._told = counts, EventCounts(0, 0, 0)

    def look(self) -> None:
        """Take over the numbers of this moment."""
        if self._counts is not None:
            now, before = self._counts(), self._told
            self._told = now
            self._written.inc(now.written - before.written)
            self._dropped.inc(now.dropped - before.dropped)
            self._waiting.set(now.waiting)


_Mode: TypeAlias = Literal["livesum", "livemin", "livemax"]


class _Process:
    """What the library tells of a process, in metrics that can be added up over several."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._source = ProcessCollector(registry=None)
        self._told = 0.0
        self._seconds = Counter("process_cpu_seconds", "User and system CPU time spent", registry=registry)
        modes: dict[str, _Mode] = {
            "process_resident_memory_bytes": "livesum",
            "process_virtual_memory_bytes": "livesum",
            "process_open_fds": "livesum",
            "process_max_fds": "livemin",
            "process_start_time_seconds": "livemax",
        }
        words = {metric.name: metric.documentation for metric in self._source.collect()}
        self._present = {
            name: Gauge(name, words.get(name, name), registry=registry, multiprocess_mode=mode)
            for name, mode in modes.items()
        }

    def look(self) -> None:
        """Take over the numbers of this moment."""
        for metric in self._source.collect():
            for sample in metric.samples:
                if sample.name == "process_cpu_seconds_total":
                    self._seconds.inc(sample.value - self._told)
                    self._told = sample.value
                elif sample.name in self._present:
                    self._present[sample.name].set(sample.value)


def _added_up(folder: Path) -> Collector:
    """What all processes counted that share FOLDER."""
    return MultiProcessCollector(None, str(folder))  # type: ignore[no-untyped-call]


def _age(hour: Hour | None, now: datetime) -> float:
    """Seconds since HOUR began; 0 for none."""
    return 0.0 if hour is None else max(0.0, (now - instant_of(hour)).total_seconds())


def _class(agent: Agent | None) -> str:
    return "unknown" if agent is None else agent.name.lower()
