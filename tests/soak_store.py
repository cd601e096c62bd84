"""Makes an installation on a database of its own for a run that looks afterwards at all that was stored."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from tests.bench.filling import Filling, fill_postgres, fill_sqlite
from tests.harness import Installation
from tests.postgres import Cluster, Plain, programs
from tracker.core.calendar import later
from tracker.store.partitions import ensure_partitions
from tracker.store.postgres import PostgresDatabase

DATABASES: Final = ("sqlite", "postgresql")
WORKERS: Final = 2
"""On PostgreSQL; on SQLite the server is one process."""
SWEPT: Final = b'tracker_job_runs_total{job="delete what has passed its last day",result="done"} 1.0'


@dataclass(frozen=True)
class SoakStore:
    """Where an installation keeps what it keeps."""

    opened: Callable[[], AbstractContextManager[sqlite3.Connection | Plain]]
    """A connection of somebody who looks at the tables."""
    folders: tuple[Path, ...]
    fill: Callable[[Filling], None]
    """Write its rows beside those that are there."""

    def files(self) -> Iterator[tuple[Path, bytes]]:
        """Every file of the installation and of its database, with its octets; one that goes meanwhile is left out."""
        for path in (path for folder in self.folders for path in sorted(folder.rglob("*"))):
            with suppress(FileNotFoundError):
                if path.is_file():
                    yield path, path.read_bytes()


@contextmanager
def installed(database: str, folder: Path) -> Iterator[tuple[Installation, SoakStore]]:
    """A running installation in FOLDER on a DATABASE of its own, one of DATABASES, whose server has swept already."""
    if database == "sqlite":
        path = folder / "tracker.db"
        with _running(Installation.copied(folder)) as tracker:
            yield tracker, SoakStore(lambda: closing(sqlite3.connect(path)), (folder,), partial(fill_sqlite, path))
    elif programs() is None:
        raise SystemExit("the soak on PostgreSQL needs PostgreSQL's programs (Debian's package postgresql)")
    else:
        # As servers are run: tables are cleaned up while they are used.
        with Cluster(autovacuum="on") as cluster:
            url = cluster.url(cluster.make())
            with _running(Installation.made(folder, TRACKER_DATABASE_URL=url), WORKERS) as tracker:
                folders = (folder, cluster.folder)
                yield tracker, SoakStore(lambda: Plain(url), folders, lambda filling: asyncio.run(_fill(url, filling)))


@contextmanager
def _running(tracker: Installation, workers: int | None = None) -> Iterator[Installation]:
    """TRACKER with a server of so many WORKERS; its next sweep is a quarter of an hour away."""
    try:
        tracker.start(workers)
        tracker.until_told(SWEPT)
        yield tracker
    finally:
        tracker.kill()


async def _fill(url: str, filling: Filling) -> None:
    """With the partitions that it takes, which were made when its days had not passed."""
    database = PostgresDatabase(url)
    try:
        await ensure_partitions(database, filling.today, later(filling.today, filling.days - 1))
    finally:
        await database.close()
    await fill_postgres(url, filling)
