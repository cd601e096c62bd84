"""Workers: requests per second of two processes against one, and how long commits of four processes wait."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median
from time import perf_counter

from tests.bench.driver import CONNECTIONS, name, processor_seconds, rate, until_idle
from tests.harness import Installation
from tests.traffic import send
from tracker.store.engine import make_private_file

ROUNDS = 3
"""Each number of workers has its turn so often; the median counts."""
SECONDS = 3
COPIES = 20_000
COMMIT_SECONDS = 3.0


def table() -> list[tuple[str, ...]]:
    """The rows: what, ratio or milliseconds, yardstick, aim."""
    with tempfile.TemporaryDirectory() as folder:
        return [*_workers(Path(folder)), _commits(Path(folder) / "one.db"), _commits(Path(folder) / "two.db", 0.003)]


def _workers(folder: Path) -> list[tuple[str, ...]]:
    tracker = Installation.made(folder / "tracker")
    with tracker:
        assert tracker.grant("bench@example.org").status == 201
    copies = send(tracker, COPIES)
    kinds = {"pixel": [copy.pixel for copy in copies], "redirect": [copy.link for copy in copies]}
    rates: dict[tuple[str, int], list[float]] = defaultdict(list)
    cores: dict[tuple[str, int], list[float]] = defaultdict(list)
    servers: dict[tuple[str, int], list[float]] = defaultdict(list)
    for _ in range(ROUNDS):
        for number in (1, 2):
            tracker.start(workers=number)
            until_idle(tracker.processes)
            for what, paths in kinds.items():
                server, driver, wall = processor_seconds(tracker.processes), _driver_seconds(), perf_counter()
                rates[what, number].append(rate(tracker.public_url, paths, SECONDS))
                wall = perf_counter() - wall
                cores[what, number].append((_driver_seconds() - driver) / wall)
                servers[what, number].append((processor_seconds(tracker.processes) - server) / wall)
            tracker.stop()
    on = f"{CONNECTIONS} connections, {os.cpu_count()} cores for server and driver ({name()})"
    rows: list[tuple[str, ...]] = [("hits per second of two workers, " + on, "", "one worker", "")]
    for what in kinds:
        one, two = (f"{median(servers[what, n]):.2f} and {median(cores[what, n]):.2f}" for n in (1, 2))
        ratio = f"{median(rates[what, 2]) / median(rates[what, 1]):.2f}"
        # Where one worker and the driver leave little of the machine idle, two cannot do much more.
        room = (os.cpu_count() or 1) / (median(servers[what, 1]) + median(cores[what, 1]))
        words = f"{what}; server and driver took {one} cores with one, {two} with two: room for {room:.1f} times"
        rows.append((words, ratio, "one worker", ">= 1.5"))
    return rows


def _driver_seconds() -> float:
    """The processor time that drivers took which have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _commits(path: Path, pause: float = 0.0) -> tuple[str, ...]:
    """The commit's p99 when four processes write, each with PAUSE seconds in between."""
    make_private_file(path)
    command = [sys.executable, "-m", "tests.store.writer", str(path), str(COMMIT_SECONDS), str(pause)]
    writers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for one in writers:
        assert one.stdout is not None
        one.stdout.readline()
    for one in writers:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    waits = sorted(float(word) for one in writers for word in one.communicate()[0].split())
    how = "without a pause" if not pause else f"every {pause * 1000:.0f} ms"
    words = f"p99 of {len(waits)} commits, four processes that write {how}"
    return words, f"{waits[len(waits) * 99 // 100]:.1f} ms", "-", "<= 20 ms"
