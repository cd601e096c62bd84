"""What is counted appears under a fitting name, from zero on, and no label holds anybody's data."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tracker.core.calendar import hour_of
from tracker.core.webhook import Backlog
from tracker.doors.api import Meter
from tracker.flows.hit import HitCounter
from tracker.flows.webhooks import END, EVENT
from tracker.metrics import EventCounts, Metrics
from tracker.model import Agent, Hour, Left, Purpose, Reason

NOW = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """The value of one series in the exposition, None when it is not there."""
    body, _ = metrics.exposition("")
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return float(sample.value)
    return None


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def test_flows_and_doors_can_count_with_it(metrics: Metrics) -> None:
    counters: tuple[Meter, HitCounter] = (metrics, metrics)  # what mypy says is the test
    assert counters


def test_two_instances_count_apart(metrics: Metrics) -> None:
    metrics.problem("bad-json")
    assert value(Metrics(), "tracker_problems_total", problem="bad-json") is None


def test_copies_are_counted_by_outcome_and_reason(metrics: Metrics) -> None:
    metrics.rewrote(None, {Left.VISIBLE_URL: 2}, 0.004)
    metrics.rewrote(Reason.NO_GRANT, {}, 0.002)
    assert value(metrics, "tracker_copies_total", outcome="tracked", reason="") == 1
    assert value(metrics, "tracker_copies_total", outcome="untouched", reason="no-grant") == 1
    assert value(metrics, "tracker_links_left_total", reason="visible-url") == 2
    assert value(metrics, "tracker_rewrite_duration_seconds_count", outcome="tracked") == 1
    assert value(metrics, "tracker_rewrite_duration_seconds_bucket", outcome="tracked", le="0.005") == 1
    assert value(metrics, "tracker_rewrite_duration_seconds_bucket", outcome="tracked", le="0.0025") == 0


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_stands_there_from_the_start(metrics: Metrics, reason: Reason) -> None:
    assert value(metrics, "tracker_copies_total", outcome="untouched", reason=reason.value) == 0


def test_hits_are_counted_by_kind_agent_and_result(metrics: Metrics) -> None:
    metrics.hit(Purpose.OPEN, Agent.PROXY, "recorded")
    metrics.hit(Purpose.CLICK, Agent.HUMAN, "early")
    metrics.hit(Purpose.CLICK, None, "forged")
    assert value(metrics, "tracker_hits_total", kind="pixel", agent="proxy", result="recorded") == 1
    assert value(metrics, "tracker_hits_total", kind="redirect", agent="human", result="early") == 1
    assert value(metrics, "tracker_hits_total", kind="redirect", agent="unknown", result="forged") == 1
    assert value(metrics, "tracker_hits_total", kind="redirect", agent="machine", result="recorded") == 0
    assert value(metrics, "tracker_events_answered_before_commit_total", kind="redirect") == 1
    assert value(metrics, "tracker_events_answered_before_commit_total", kind="pixel") == 0


def test_webhooks_are_counted_from_zero_on_with_what_waits_and_what_was_given_up(metrics: Metrics) -> None:
    for kind, result in ((EVENT, "taken"), (EVENT, "refused"), (EVENT, "given-up"), (END, "taken"), (END, "refused")):
        assert value(metrics, "tracker_webhooks_total", kind=kind, result=result) == 0
    metrics.webhook(EVENT, taken=True)
    metrics.webhook(END, taken=False)
    metrics.swept({"outbox": 3})
    metrics.webhooks(Backlog(7, 2, hour_of(NOW)), NOW)
    assert value(metrics, "tracker_webhooks_total", kind=EVENT, result="taken") == 1
    assert value(metrics, "tracker_webhooks_total", kind=END, result="refused") == 1
    assert value(metrics, "tracker_webhooks_total", kind=EVENT, result="given-up") == 3
    assert value(metrics, "tracker_webhooks_waiting") == 7
    assert value(metrics, "tracker_webhooks_waiting_refused") == 2
    assert value(metrics, "tracker_webhooks_oldest_age_seconds") == 1800
    metrics.webhooks(Backlog(0, 0, None), NOW)
    assert value(metrics, "tracker_webhooks_oldest_age_seconds") == 0


def test_background_work_and_expired_rows_are_counted(metrics: Metrics) -> None:
    metrics.swept({"events": 3, "grants": 0})
    metrics.swept({"events": 4})
    metrics.job("delete what has passed its last day", "done")
    assert value(metrics, "tracker_rows_expired_total", table="events") == 7
    assert value(metrics, "tracker_rows_expired_total", table="grants") == 0
    assert value(metrics, "tracker_job_runs_total", job="delete what has passed its last day", result="done") == 1


def test_answers_are_counted_by_template(metrics: Metrics) -> None:
    metrics.answered("/v1/stats/messages/{id}", "GET", 404)
    route = {"route": "/v1/stats/messages/{id}", "method": "GET", "status": "404"}
    assert value(metrics, "tracker_http_answers_total", **route) == 1


def test_the_queue_of_events_is_asked_when_somebody_looks(metrics: Metrics) -> None:
    counts = [EventCounts(written=10, dropped=1, waiting=3)]
    metrics.watch_events(lambda: counts[-1])
    counts.append(EventCounts(written=12, dropped=1, waiting=0))
    assert value(metrics, "tracker_events_written_total") == 12
    assert value(metrics, "tracker_events_dropped_total") == 1
    assert value(metrics, "tracker_events_waiting") == 0


@pytest.mark.parametrize(
    ("hour", "seconds"), [(None, 0), (Hour(hour_of(NOW) - 2), 2.5 * 3600), (Hour(hour_of(NOW) + 5), 0)]
)
def test_the_age_of_the_oldest_event_is_told(metrics: Metrics, hour: Hour | None, seconds: float) -> None:
    metrics.oldest_event(Hour(0), NOW)
    metrics.oldest_event(hour, NOW)
    assert value(metrics, "tracker_oldest_event_age_seconds") == seconds


@pytest.mark.parametrize(
    ("accept", "format"),
    [
        ("", "text/plain"),
        ("*/*", "text/plain"),
        ("application/openmetrics-text;version=1.0.0", "application/openmetrics-text"),
    ],
)
def test_both_formats_are_spoken(metrics: Metrics, accept: str, format: str) -> None:
    metrics.watch_events(lambda: EventCounts(1, 2, 3))
    body, content_type = metrics.exposition(accept)
    assert content_type.startswith(format)
    assert b"tracker_events_written_total 1.0" in body


def test_names_follow_the_conventions(metrics: Metrics) -> None:
    metrics.watch_events(lambda: EventCounts(1, 2, 3))
    body, _ = metrics.exposition("")
    for family in text_string_to_metric_families(body.decode()):
        assert re.fullmatch(r"(tracker|process)_[a-z_]+", family.name)
        assert family.documentation
        if family.name.startswith("tracker_") and family.type == "counter":
            assert {sample.name for sample in family.samples} <= {f"{family.name}_total"}


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text;version=1.0.0"])
def test_no_instant_of_a_first_withdrawal_or_hit_is_told(metrics: Metrics, accept: str) -> None:
    metrics.answered("/privacy/{token}/withdraw", "POST", 200)
    metrics.rewrote(None, {}, 0.1)
    assert b"_created" not in metrics.exposition(accept)[0]


def test_other_peoples_trackers_are_counted_by_kind(metrics: Metrics) -> None:
    assert value(metrics, "tracker_foreign_total", kind="link") == 0
    assert value(metrics, "tracker_foreign_removed_total") == 0
    metrics.foreign({"pixel": 1}, 1)
    metrics.foreign({"pixel": 2}, 0)
    metrics.foreign({}, 0)
    assert value(metrics, "tracker_foreign_removed_total") == 1
    assert value(metrics, "tracker_foreign_total", kind="pixel") == 3


def test_overdue_rows_are_shown_by_table_until_they_are_gone(metrics: Metrics) -> None:
    """R42: a deletion that is late can raise an alarm."""
    metrics.overdue({"events": 12, "grants": 0})
    assert value(metrics, "tracker_rows_overdue", table="events") == 12
    metrics.overdue({"events": 0, "grants": 0})
    assert value(metrics, "tracker_rows_overdue", table="events") == 0
