"""Makes an installation on a database of its own for a run that looks afterwards at all that was stored."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.harness import Installation
from tests.postgres import Cluster, Plain, programs

DATABASES: Final = ("sqlite", "postgresql")


@dataclass(frozen=True)
class SoakStore:
    """Where an installation keeps what it keeps."""

    opened: Callable[[], AbstractContextManager[sqlite3.Connection | Plain]]
    """A connection of somebody who looks at the tables."""
    folders: tuple[Path, ...]

    def files(self) -> Iterator[tuple[Path, bytes]]:
        """Every file of the installation and of its database, with its octets; one that goes meanwhile is left out."""
        for path in (path for folder in self.folders for path in sorted(folder.rglob("*"))):
            with suppress(FileNotFoundError):
                if path.is_file():
                    yield path, path.read_bytes()


@contextmanager
def installed(database: str, folder: Path) -> Iterator[tuple[Installation, SoakStore]]:
    """A running installation in FOLDER on a DATABASE of its own, one of DATABASES."""
    if database == "sqlite":
        with Installation.copied(folder) as tracker:
            yield tracker, SoakStore(lambda: closing(sqlite3.connect(folder / "tracker.db")), (folder,))
    elif programs() is None:
        raise SystemExit("the soak on PostgreSQL needs PostgreSQL's programs (Debian's package postgresql)")
    else:
        # As servers are run: tables are cleaned up while they are used.
        with Cluster(autovacuum="on") as cluster:
            url = cluster.url(cluster.make())
            with Installation.made(folder, TRACKER_DATABASE_URL=url) as tracker:
                yield tracker, SoakStore(lambda: Plain(url), (folder, cluster.folder))
