"""Sweeping: how much longer the slowest hits take while a sweep deletes a million rows.

On SQLite a server that sweeps, and one that has as many rows and nothing to sweep, have their turns; the first is
stopped during the second's, so that both suffer alike what else goes on. The hits of all turns count together: while
hits come in the sweep rests for seconds after each transaction, so most turns see none or one, which a few come upon.
On PostgreSQL a server has hits while it folds and drops a day, and as many afterwards.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import signal
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from time import monotonic, sleep

from tests.bench.filling import Filling, fill_postgres, fill_sqlite
from tests.bench.growth import ON_DISK
from tests.bench.paced import slowest, times
from tests.bench.verdict import unmeasured
from tests.e2e.mail import NEWSLETTER, paths
from tests.harness import Installation, Reply, consent
from tests.postgres import Cluster, programs
from tracker.core.calendar import day_of, later
from tracker.model import Day
from tracker.store.partitions import ensure_partitions
from tracker.store.postgres import PostgresDatabase

EVENTS = 572_000
"""With their tracked copies and deliveries a million rows."""
ROUNDS = 7
"""Hits with a sweep and without one have their turns so often."""
PART = 400
"""Hits of a turn."""
PEOPLE = 1_000
"""Whose copies have a pixel and two links each, and so more than all turns need."""
PACE = 0.004
"""Seconds between two hits."""
LANES = 8
"""Connections."""
PATIENCE = 600
"""Seconds, on a machine that has much else to do."""


def table() -> list[tuple[str, ...]]:
    """The row: what, ratio, yardstick, aim."""
    today = day_of(datetime.now(UTC))
    with tempfile.TemporaryDirectory() as folder:
        quiet = _filled(Path(folder) / "quiet", later(today, 1))
        sweeping = _filled(Path(folder) / "sweeping", later(today, -100))
        with quiet:
            _until_vacuumed(quiet)
            yards = _urls(quiet)
            with sweeping:
                _until_sweeping(sweeping)
                during, alone = _turns(sweeping, _urls(sweeping), yards)
                assert _overdue(sweeping), "the sweep was over before the hits were"
        rows = [_row(f"while a sweep deletes 1,000,000 rows on SQLite, {ROUNDS} turns of {PART}", during, alone)]
        return [*rows, _on_postgres(Path(folder) / "postgresql", today)]


def _row(what: str, during: Sequence[float], alone: Sequence[float]) -> tuple[str, ...]:
    with_it, without = slowest(during), slowest(alone)
    return f"p99 of hits {what}", f"{with_it / without:.2f}", f"p99 without ({1000 * without:.1f} ms)", "<= 2"


def _on_postgres(folder: Path, today: Day) -> tuple[str, ...]:
    """A server folds and drops a day of as many rows, as it does at night; afterwards it has as many hits without."""
    what = "while a day of 1,000,000 rows is folded and dropped on PostgreSQL"
    if programs() is None:
        return f"p99 of hits {what}", unmeasured("no PostgreSQL"), "p99 without", "<= 2"
    with Cluster(b"", b"", **ON_DISK) as cluster:
        url = cluster.url(cluster.make())
        tracker = Installation.made(folder, TRACKER_DATABASE_URL=url)
        asyncio.run(_fill_postgres(url, later(today, -1)))
        with tracker:
            urls, during = cycle(_urls(tracker)), list[float]()
            while not _has_run(tracker, "delete what has passed"):
                during += times(list(islice(urls, PART)), PACE, LANES)
            assert during, "the sweep was over before the hits were"
            return _row(what, during, times(list(islice(urls, len(during))), PACE, LANES))


async def _fill_postgres(url: str, day: Day) -> None:
    database = PostgresDatabase(url)
    try:
        await ensure_partitions(database, day, day)
    finally:
        await database.close()
    await fill_postgres(url, Filling(EVENTS, day, days=1))


def _filled(folder: Path, first: Day) -> Installation:
    """With EVENTS, whose last days are FIRST and those that follow."""
    tracker = Installation.made(folder)
    fill_sqlite(tracker.folder / "tracker.db", Filling(EVENTS, first))
    return tracker


def _turns(sweeping: Installation, urls: Sequence[str], yards: Sequence[str]) -> tuple[list[float], list[float]]:
    """Seconds that URLS take during the sweep, and that YARDS take meanwhile without it."""
    during, alone = [], []
    for at in range(0, ROUNDS * PART, PART):
        during += times(urls[at : at + PART], PACE, LANES)
        with _stopped(sweeping):
            alone += times(yards[at : at + PART], PACE, LANES)
    return during, alone


@contextmanager
def _stopped(tracker: Installation) -> Iterator[None]:
    """The server does nothing meanwhile, its sweep included."""
    os.kill(tracker.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(tracker.pid, signal.SIGCONT)


def _urls(tracker: Installation) -> list[str]:
    """Pixels and links of copies to PEOPLE, each to be hit once."""
    addresses = [f"person{number}@example.org" for number in range(PEOPLE)]
    lines = "\n".join(json.dumps(consent(address, "open", "click")) for address in addresses)
    answer = tracker.api("POST", "/v1/consents/batch", lines.encode(), content_type="application/x-ndjson")
    assert answer.status == 200, answer.body
    message = base64.b64encode(NEWSLETTER).decode()
    body = {"message": message, "recipients": [{"address": address} for address in addresses]}
    answer = tracker.api("POST", "/v1/rewrite/batch", body)
    assert answer.status == 200, answer.body
    urls = []
    for line in answer.body.splitlines():
        copy = Reply(200, answer.headers, base64.b64decode(json.loads(line)["message"]))
        urls += [tracker.public_url + path for door in "oc" for path in paths(copy, door)[:2]]
    assert len(urls) >= ROUNDS * PART
    return urls


def _until_vacuumed(tracker: Installation) -> None:
    """A server that starts overwrites what is left of deleted rows, which takes the database for itself.

    On a machine that is very busy this can fail; then it is not tried again before all is measured.
    """
    end = monotonic() + PATIENCE
    while not _has_run(tracker, "overwrite what index pages"):
        assert monotonic() < end
        sleep(0.1)


def _has_run(tracker: Installation, job: str) -> bool:
    """Whether the background work that begins with JOB was done, or failed."""
    tried = re.compile(rb'tracker_job_runs_total\{job="%b[^"]*",result="(done|failed)"\} 1\.0' % job.encode())
    return tried.search(tracker.api("GET", "/metrics").body) is not None


def _until_sweeping(tracker: Installation) -> None:
    """The overwriting and the sweep wait for each other, and either may be first: once rows go it is the sweep."""
    end = monotonic() + PATIENCE
    while _overdue(tracker) == Filling(EVENTS, day_of(datetime.now(UTC))).copies:
        assert monotonic() < end
        sleep(0.1)


def _overdue(tracker: Installation) -> int:
    """How many deliveries are past their day."""
    with closing(sqlite3.connect(tracker.folder / "tracker.db")) as plain:
        query = "SELECT count(*) FROM deliveries WHERE last_day < ?"
        (count,) = plain.execute(query, (day_of(datetime.now(UTC)),)).fetchone()
    return int(count)
