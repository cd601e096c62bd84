"""Workers: requests per second of two processes against one, and how long commits of four processes wait."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

from tests.bench.serving import get, rate
from tests.e2e.mail import OFFER, link, pixel
from tests.harness import Installation
from tracker.store.engine import make_private_file

ROUNDS = 3
"""Each number of workers has its turn so often; the median counts."""
COMMIT_SECONDS = 3.0


def table() -> list[tuple[str, ...]]:
    """The rows: what, ratio or milliseconds, yardstick, aim."""
    with tempfile.TemporaryDirectory() as folder:
        return [*_workers(Path(folder)), _commits(Path(folder) / "one.db"), _commits(Path(folder) / "two.db", 0.003)]


def _workers(folder: Path) -> list[tuple[str, ...]]:
    tracker = Installation.made(folder / "tracker")
    rates: dict[tuple[str, int], list[float]] = {}
    shares: dict[tuple[str, int], list[float]] = {}
    tracker.start(workers=1)
    assert tracker.grant("bench@example.org").status == 201
    copy = tracker.rewrite(OFFER, "bench@example.org")
    tracker.stop()
    urls = {"pixel": tracker.public_url + pixel(copy), "redirect": tracker.public_url + link(copy)}
    for _ in range(ROUNDS):
        for number in (1, 2):
            tracker.start(workers=number)
            for what, url in urls.items():
                driver, wall = _processor_seconds(), perf_counter()
                rates.setdefault((what, number), []).append(rate(get(url)))
                share = (_processor_seconds() - driver) / (perf_counter() - wall)
                shares.setdefault((what, number), []).append(share)
            tracker.stop()
    return [
        (
            f"{what}: two workers (driver {median(shares[what, 1]):.2f} of a core with one, "
            f"{median(shares[what, 2]):.2f} with two)",
            f"{median(rates[what, 2]) / median(rates[what, 1]):.2f}",
            f"one worker, {os.cpu_count()} cores",
            ">= 1.5",
        )
        for what in urls
    ]


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
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
