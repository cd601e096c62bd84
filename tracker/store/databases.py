"""Opens the database that a URL names, on either engine."""

from __future__ import annotations

from tracker.store.engine import BUSY_SECONDS, Database, database_file
from tracker.store.postgres import PostgresDatabase
from tracker.store.sqlite import SqliteDatabase


def database_of(url: str, busy_seconds: float = BUSY_SECONDS, *, patient: bool = False) -> Database:
    """The database that URL names, not looked at yet; a statement waits BUSY_SECONDS for another process, at most.

    PATIENT: for work on the whole of it. Raises BadSetting.
    """
    path = database_file(url)
    if path is not None:
        return SqliteDatabase(path, busy_seconds)
    return PostgresDatabase(url, busy_seconds, patient=patient)
