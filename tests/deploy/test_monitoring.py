"""Alarms and dashboard: a real Prometheus reads them and the tracker's metrics, and everything they ask for exists."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from tests.deploy.files import DEPLOY, adapted, checked, program
from tests.e2e.mail import OFFER, link, pixel
from tests.harness import PATIENCE, Installation, free_port
from tracker.metrics import (
    FOREIGN,
    KINDS,
    MAIL_RESULTS,
    RELAY_RESULTS,
    RESULTS,
    WEBHOOK_KINDS,
    WEBHOOK_RESULTS,
    EventCounts,
    Metrics,
)
from tracker.model import Agent, Left, MailKind, Purpose, Reason, TrackerError

PROMETHEUS = DEPLOY / "prometheus"
ALERTS: list[dict[str, Any]] = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"][0]["rules"]
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
OF_PROMETHEUS = {"up": {"job", "instance"}, "ALERTS": {"alertname", "alertstate"}}
OF_EVERY_TARGET = {"job", "instance"}
SELECTOR = re.compile(r"\b((?:tracker|process)_\w+|up|ALERTS)\b(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')


def errors(of: type[TrackerError] = TrackerError) -> set[str]:
    return {of.slug}.union(*(errors(each) for each in of.__subclasses__()))


WORDS: dict[str, set[str]] = {
    "outcome": {"tracked", "untouched"},
    "reason": {"", *Reason, *Left},
    "result": {*RESULTS, *RELAY_RESULTS, *MAIL_RESULTS, *WEBHOOK_RESULTS, "done", "failed"},
    "kind": {*KINDS.values(), *FOREIGN, *MailKind, *WEBHOOK_KINDS},
    "problem": errors(),
}
"""What the labels may hold whose words are few."""


def exposed() -> dict[str, set[str]]:
    """Every series of tracker/metrics.py and its labels, as they come out when all of it was counted once."""
    metrics = Metrics()
    metrics.watch_events(lambda: EventCounts(1, 1, 1))
    metrics.rewrote(None, dict.fromkeys(Left, 1), 0.01)
    metrics.hit(Purpose.OPEN, Agent.HUMAN, "recorded")
    metrics.problem("no-room")
    metrics.answered("/privacy", "POST", 503)
    metrics.swept({"events": 1})
    metrics.overdue({"events": 1})
    metrics.webhook("event", taken=True)
    metrics.job("sweep", "failed")
    found: dict[str, set[str]] = {}
    for line in metrics.exposition("")[0].decode().splitlines():
        if not line.startswith("#"):
            name, _, labels = line.partition("{")
            found.setdefault(name.split()[0], set()).update(re.findall(r'(\w+)="', labels))
    return found


@pytest.mark.parametrize("expression", [rule["expr"] for rule in ALERTS] + QUERIES)
def test_what_is_asked_for_exists(expression: str) -> None:
    series = exposed() | OF_PROMETHEUS
    selectors = SELECTOR.findall(expression)
    assert selectors
    for name, matchers in selectors:
        assert name in series, f"tracker/metrics.py has no {name}"
        for label, how, value in MATCHER.findall(matchers):
            own = series[name]
            if name == "tracker_job_runs_total":  # Prometheus has a label `job` of its own, and puts ours aside
                own = own - {"job"} | {"exported_job"}
            assert label in own | OF_EVERY_TARGET, f"{name} has no label {label}"
            if label in WORDS and how in ("=", "!="):
                assert value in WORDS[label], f"{label} is never {value!r}"
            elif label in WORDS:
                assert set(value.split("|")) <= WORDS[label], f"{label} is never one of {value!r}"


def test_every_alarm_says_what_it_means_and_where_to_read_on() -> None:
    assert len({rule["alert"] for rule in ALERTS}) == len(ALERTS)
    handbook = re.findall(r"(?m)^### (Tracker\w+)$", (DEPLOY / "README.md").read_text())
    assert sorted(handbook) == sorted(rule["alert"] for rule in ALERTS)
    for rule in ALERTS:
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}
        assert rule["annotations"]["runbook"] == f"deploy/README.md#{rule['alert'].lower()}"


def test_every_alarm_rings_in_a_test_of_its_own_and_none_on_a_quiet_day() -> None:
    tests = (PROMETHEUS / "alerts_test.yml").read_text()
    for rule in ALERTS:
        rings = rf'alertname="{rule["alert"]}"[^}}]*alertstate="firing"|alertname: {rule["alert"]}\n'
        assert re.search(rings, tests), rule["alert"]
    checked(program("promtool"), "test", "rules", PROMETHEUS / "alerts_test.yml")


def test_the_settings_of_prometheus_and_its_alertmanager_are_sound() -> None:
    checked(program("promtool"), "check", "config", "--lint-fatal", PROMETHEUS / "prometheus.yml")
    checked(program("amtool"), "check-config", PROMETHEUS / "alertmanager.yml")


def test_no_two_panels_overlap_and_each_explains_itself() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
        assert panel["type"] == "row" or panel["description"]
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


# --- with a real Prometheus and a real tracker -------------------------------------------------


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[int]:
    """One that reads TARGET often; its port."""
    port = free_port()
    settings = adapted(
        "prometheus/prometheus.yml",
        {"tracker:8081": target, "15s": "1s", "30s": "1s", "alertmanager:9093": f"127.0.0.1:{free_port()}"},
    )
    (folder / "prometheus.yml").write_text(settings)
    (folder / "alerts.yml").write_text(adapted("prometheus/alerts.yml", {"interval: 30s": "interval: 1s"}))
    with (folder / "prometheus.log").open("wb") as log:
        running = subprocess.Popen(
            [program("prometheus"), f"--config.file={folder / 'prometheus.yml'}",
             f"--storage.tsdb.path={folder / 'series'}", f"--web.listen-address=127.0.0.1:{port}"],
            stdout=log, stderr=log,
        )  # fmt: skip
        try:
            yield port
        finally:
            running.kill()
            running.wait(PATIENCE)


def asked(port: int, path: str) -> Any:
    """What Prometheus answers, None while it does not."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        said = json.loads(answer.read())
        assert said["status"] == "success", said
        return said["data"]
    except (ConnectionError, json.JSONDecodeError):
        return None
    finally:
        connection.close()


def query(port: int, expression: str) -> list[Any]:
    concrete = expression.replace("$__rate_interval", "1m").replace("$instance", ".*")
    found = asked(port, f"/api/v1/query?query={quote(concrete)}")
    return [] if found is None else list(found["result"])


@pytest.mark.e2e
def test_a_real_prometheus_finds_all_of_it(fresh: Installation, tmp_path: Path) -> None:
    with fresh, prometheus(tmp_path, fresh.private_url.removeprefix("http://")) as port:
        end = time.monotonic() + PATIENCE
        assert fresh.grant("anna@example.org").status == 201
        assert fresh.api("POST", "/v1/consents", {}).status == 422
        rounds = 0
        missing = QUERIES
        while missing:  # a rate takes two readings, between which something happened
            assert time.monotonic() < end, (missing, (tmp_path / "prometheus.log").read_text())
            rounds += 1
            copy = fresh.rewrite(OFFER + b"%d" % rounds, "anna@example.org")
            assert copy.headers["Tracker-Outcome"] == "tracked"
            for path in (pixel(copy), link(copy)):
                fresh.public("GET", path)
            missing = [expression for expression in missing if not query(port, expression)]
        (group,) = asked(port, "/api/v1/rules")["groups"]
        assert {rule["name"] for rule in group["rules"]} == {rule["alert"] for rule in ALERTS}
        assert {rule["health"] for rule in group["rules"]} == {"ok"}
        assert [rule["name"] for rule in group["rules"] if rule["state"] == "firing"] == []
