"""Examines an installation as a careful operator would, without changing anything."""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tracker.config import Settings
from tracker.core.calendar import day_of
from tracker.core.keys import KeyRing
from tracker.keyfile import KeyFile
from tracker.model import Day, TrackerError
from tracker.store.engine import database_path
from tracker.store.store import Store


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    fine: bool
    why: str = ""


async def examine(settings: Callable[[], Settings], now: datetime) -> tuple[Finding, ...]:
    """Everything that can be looked at from here; what cannot be reached because of a finding is left out."""
    try:
        effective = settings()
    except TrackerError as error:
        return (_wrong("settings", error),)
    found = [Finding("settings", fine=True)]
    try:
        ring = KeyFile(effective.key_file).load()
    except TrackerError as error:
        return (*found, _wrong("key file", error))
    found += [Finding("key file", fine=True), _signing(ring, now)]
    found += [_mode(path) for path in _private_files(effective)]
    try:
        store = await Store.open(effective.database_url, ledger_key=ring.ledger_key, fingerprint=ring.fingerprint)
    except TrackerError as error:
        return (*found, _wrong("database", error))
    try:
        found += [Finding("database", fine=True), *await _ledger(store, day_of(now))]
        overdue = {table: rows for table, rows in (await store.overdue(day_of(now))).items() if rows}
        why = "; ".join(
            f"{rows} rows of {table} are past their day: is `tracker serve` running?" for table, rows in overdue.items()
        )
        found.append(Finding("nothing is overdue", fine=not overdue, why=why))
    finally:
        await store.close()
    return tuple(found)


async def _ledger(store: Store, today: Day) -> list[Finding]:
    missing = await store.missing_guards()
    broken = await store.broken_entry(today)
    return [
        Finding(
            "the database guards the ledger",
            fine=not missing,
            why=f"these triggers are gone: {', '.join(sorted(missing))}" if missing else "",
        ),
        Finding(
            "the ledger's chain holds",
            fine=broken is None,
            why="" if broken is None else f"entry {broken} was changed or removed, or stands in another's place",
        ),
    ]


def _private_files(settings: Settings) -> list[Path]:
    database = database_path(settings.database_url)
    siblings = [Path(f"{database}{suffix}") for suffix in ("", "-wal", "-shm")]
    return [path for path in siblings if path.exists()]


def _mode(path: Path) -> Finding:
    mode = stat.S_IMODE(path.stat().st_mode)
    return Finding(
        f"only the tracker's user reads {path.name}",
        fine=not mode & 0o077,
        why=f"its mode is {mode:04o}; chmod 600 it" if mode & 0o077 else "",
    )


def _signing(ring: KeyRing, now: datetime) -> Finding:
    try:
        ring.signing_key(now)
    except TrackerError as error:
        return _wrong("a key signs now", error)
    return Finding("a key signs now", fine=True)


def _wrong(what: str, error: TrackerError) -> Finding:
    return Finding(what, fine=False, why=f"{error.title} {error.detail}. {error.remedy}")
