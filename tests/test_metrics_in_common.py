"""What several processes count is added up by whichever of them is asked, and no sum falls when one is replaced."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import values
from prometheus_client.parser import text_string_to_metric_families

from tracker.core.calendar import hour_of
from tracker.core.webhook import Backlog
from tracker.metrics import EventCounts, Metrics, count_in_common, forget_present
from tracker.model import Agent, Hour, Left, MailKind, Purpose, Reason

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
Started = Callable[[int], Metrics]


@pytest.fixture
def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Started]:
    """Makes the metrics of a process with a number, as a worker does; here all of them live in one."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    before = values.ValueClass

    def started(number: int) -> Metrics:
        count_in_common(number)
        return Metrics(tmp_path)

    yield started
    values.close_all_multiprocess_files()  # type: ignore[no-untyped-call]
    values.ValueClass = before


def value(metrics: Metrics, name: str, **labels: str) -> list[float]:
    """The values of the series with exactly LABELS; more than one where they were not added up."""
    body, _ = metrics.exposition("")
    return [
        float(sample.value)
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
        if sample.name == name and labels == {label: sample.labels[label] for label in labels if label in sample.labels}
    ]


def test_each_tells_the_sum(process: Started) -> None:
    first, second = process(0), process(1)
    first.hit(Purpose.OPEN, Agent.HUMAN, "recorded")
    for _ in range(2):
        second.hit(Purpose.OPEN, Agent.HUMAN, "recorded")
    second.rewrote(Reason.NO_GRANT, {Left.VISIBLE_URL: 3}, 0.004)
    second.tell()  # as it does every second
    for one in (first, second):
        assert value(one, "tracker_hits_total", kind="pixel", agent="human", result="recorded") == [3]
        assert value(one, "tracker_copies_total", outcome="untouched", reason="no-grant") == [1]
        assert value(one, "tracker_copies_total", outcome="untouched", reason="signed") == [0]
        assert value(one, "tracker_rewrite_duration_seconds_bucket", outcome="untouched", le="0.005") == [1]
        assert value(one, "tracker_rewrite_duration_seconds_count", outcome="untouched") == [1]


def test_every_series_stands_there_once_and_names_no_process(process: Started, tmp_path: Path) -> None:
    first, second = process(0), process(1)
    for number, one in enumerate((first, second)):
        one.watch_events(lambda: EventCounts(1, 2, 3))
        one.overdue({"events": number})
        one.oldest_event(Hour(hour_of(NOW)), NOW)
        one.webhooks(Backlog(3, number, Hour(hour_of(NOW))), NOW)
        one.webhook("event", taken=True)
        one.job("a job", "done")
        one.mailed(MailKind.ASK, "sent")
        one.answered("/notice", "GET", 200)
        one.problem("bad-json")
        one.swept({"events": 1})
        one.foreign({"pixel": 1}, 1)
        one.tell()
    samples = [
        (sample.name, tuple(sorted(sample.labels.items())))
        for family in text_string_to_metric_families(first.exposition("")[0].decode())
        for sample in family.samples
    ]
    assert len(samples) == len(set(samples))
    assert not any("pid" in dict(labels) for _, labels in samples)
    alone = {name for name, _ in _samples_of(lone(tmp_path))}
    assert alone <= {name for name, _ in samples}, "something is only told by a process that is alone"


def lone(folder: Path) -> Metrics:
    """The metrics of a process that shares its server with no other."""
    values.ValueClass = values.MutexValue
    metrics = Metrics()
    metrics.watch_events(lambda: EventCounts(1, 2, 3))
    return metrics


def _samples_of(metrics: Metrics) -> list[tuple[str, Any]]:
    body = metrics.exposition("")[0].decode()
    return [
        (sample.name, sample.labels) for family in text_string_to_metric_families(body) for sample in family.samples
    ]


def test_events_are_told_to_the_others(process: Started) -> None:
    counts = {number: EventCounts(10, 1, 2) for number in (0, 1)}
    first, second = process(0), process(1)
    first.watch_events(lambda: counts[0])
    second.watch_events(lambda: counts[1])
    second.tell()
    counts[1] = EventCounts(15, 1, 0)
    second.tell()
    assert value(first, "tracker_events_written_total") == [25]
    assert value(first, "tracker_events_dropped_total") == [2]
    assert value(first, "tracker_events_waiting") == [2]


def test_no_sum_falls_when_a_process_is_replaced(process: Started, tmp_path: Path) -> None:
    first, second = process(0), process(1)
    second.watch_events(lambda: EventCounts(7, 0, 4))
    second.problem("bad-json")
    second.tell()
    assert value(first, "tracker_events_waiting") == [4]
    forget_present(1, tmp_path)
    assert value(first, "tracker_problems_total", problem="bad-json") == [1]
    assert value(first, "tracker_events_written_total") == [7]
    assert value(first, "tracker_events_waiting") == [0], "nothing waits in a process that is gone"
    third = process(1)  # has the number again
    third.watch_events(lambda: EventCounts(1, 0, 0))
    third.problem("bad-json")
    third.tell()
    assert value(first, "tracker_problems_total", problem="bad-json") == [2]
    assert value(first, "tracker_events_written_total") == [8]


def test_of_what_only_the_leader_looks_at_the_last_word_holds(process: Started) -> None:
    first, second = process(0), process(1)
    first.overdue({"events": 12})
    first.oldest_event(Hour(hour_of(NOW)), NOW + timedelta(hours=1))
    second.overdue({"events": 3})
    second.oldest_event(None, NOW)
    assert value(first, "tracker_rows_overdue", table="events") == [3]
    assert value(first, "tracker_oldest_event_age_seconds") == [0]


def test_processor_time_and_memory_are_those_of_all(process: Started, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    other = context.Process(target=_works, args=(1, str(tmp_path)))
    first = process(0)
    memory = value(first, "process_resident_memory_bytes")[0]
    other.start()
    other.join(60)
    assert other.exitcode == 0
    both = value(first, "process_resident_memory_bytes")[0]
    assert both > memory + 10_000_000
    seconds = value(first, "process_cpu_seconds_total")[0]
    forget_present(1, tmp_path)
    assert value(first, "process_resident_memory_bytes")[0] < both
    assert value(first, "process_cpu_seconds_total")[0] >= seconds
    assert value(first, "process_open_fds")[0] > 0
    assert value(first, "process_start_time_seconds")[0] > 1e9


def _works(number: int, folder: str) -> None:
    count_in_common(number)
    Metrics(Path(folder)).tell()


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text;version=1.0.0"])
def test_no_instant_of_a_first_hit_is_told(process: Started, accept: str) -> None:
    first = process(0)
    first.hit(Purpose.OPEN, Agent.HUMAN, "recorded")
    body, content_type = first.exposition(accept)
    assert b"_created" not in body
    assert content_type.startswith("application/openmetrics-text" if accept else "text/plain")
