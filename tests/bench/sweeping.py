"""Sweeping: how much longer the slowest hits take while a sweep deletes a million rows on SQLite."""

from __future__ import annotations

import asyncio
import base64
import json
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, perf_counter, sleep
from urllib.parse import urlsplit

from tests.bench.driver import answer
from tests.bench.filling import Filling, fill_sqlite
from tests.bench.serving import get
from tests.e2e.mail import NEWSLETTER, paths
from tests.harness import Installation, Reply, consent
from tracker.core.calendar import day_of, later

EVENTS = 572_000
"""With their tracked copies and deliveries a million rows."""
PEOPLE = 400
PACE = 0.004
"""Seconds between two hits."""
PATIENCE = 300


def table() -> list[tuple[str, ...]]:
    """The row: what, ratio, yardstick, aim."""
    with tempfile.TemporaryDirectory() as folder:
        tracker = Installation.made(Path(folder) / "tracker")
        database = tracker.folder / "tracker.db"
        fill_sqlite(database, Filling(EVENTS, later(day_of(datetime.now(UTC)), -100)))
        with tracker:
            _until_vacuumed(tracker)
            urls = _urls(tracker)
            half = len(urls) // 2
            during = slowest(urls[:half])
            assert _left(database), "the sweep was over before the hits were"
            _until_swept(database)
            alone = slowest(urls[half:])
    what = "p99 of hits while a sweep deletes 1,000,000 rows on SQLite"
    return [(what, f"{during / alone:.2f}", f"p99 without ({1000 * alone:.1f} ms)", "<= 2")]


def slowest(urls: Sequence[str]) -> float:
    """The time in seconds that 99 of 100 answers to URLS, one after the other, take at most."""
    times = sorted(asyncio.run(_paced(urls)))
    return times[len(times) * 99 // 100]


async def _paced(urls: Sequence[str]) -> list[float]:
    """A new connection for each would measure that; one that waits for a slow answer would hide it: so eight."""
    begun = perf_counter()

    async def lane(number: int) -> list[float]:
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(urls[0]).port)
        times = []
        for at in range(number, len(urls), LANES):
            await asyncio.sleep(begun + at * PACE - perf_counter())
            start = perf_counter()
            writer.write(get(urls[at])[1])
            await answer(reader)
            times.append(perf_counter() - start)
        writer.close()
        return times

    return [each for times in await asyncio.gather(*map(lane, range(LANES))) for each in times]


LANES = 8


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
    assert len(urls) > PEOPLE
    return urls


def _until_vacuumed(tracker: Installation) -> None:
    """A server that starts overwrites what is left of deleted rows, which takes the database for itself."""
    done = b'tracker_job_runs_total{job="overwrite what index pages remember of deleted rows",result="done"} 1.0'
    end = monotonic() + PATIENCE
    while done not in tracker.api("GET", "/metrics").body:
        assert monotonic() < end
        sleep(0.1)


def _left(database: Path) -> bool:
    """Whether rows are past their day."""
    with closing(sqlite3.connect(database)) as plain:
        today = day_of(datetime.now(UTC))
        return plain.execute("SELECT 1 FROM deliveries WHERE last_day < ? LIMIT 1", (today,)).fetchone() is not None


def _until_swept(database: Path) -> None:
    end = monotonic() + PATIENCE
    while _left(database):
        assert monotonic() < end
        sleep(0.5)
