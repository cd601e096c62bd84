"""Examines an installation as a careful operator would, without changing anything."""

from __future__ import annotations

import stat
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from shutil import which

from tracker.config import Settings
from tracker.core.calendar import day_of
from tracker.core.journal import Anchor
from tracker.core.keys import KeyRing
from tracker.findings import Finding
from tracker.keyfile import KeyFile
from tracker.model import Day, Reason, TrackerError
from tracker.store.engine import database_file
from tracker.store.journal import Journal
from tracker.store.journal_files import SUFFIX, put_aside
from tracker.store.store import Store
from tracker.told import told
from tracker.webhook_findings import webhooks_taken


async def examine(settings: Callable[[], Settings], now: datetime) -> tuple[Finding, ...]:
    """Everything that can be looked at from here; what cannot be reached because of a finding is left out."""
    try:
        effective = settings()
    except TrackerError as error:
        return (_wrong("settings", error),)
    found = [Finding("settings", fine=True), _open_to(effective), _proxies(effective)]
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
        found.append(await _durable(store))
        found += _dumped(effective)
        found += [await _journal(store, Journal(effective.journal, ring.journal_key))]
        found += [_apart(effective.key_file, await store.backup_folder())]
        found += told(await store.notices(), effective)
        found += await webhooks_taken(store, effective, now)
        found.append(_signed(await store.outcomes()))
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


async def _durable(store: Store) -> Finding:
    kept = await store.keeps_commits()
    why = (
        "synchronous_commit is off, although each connection sets it: hits and withdrawals can be lost; connect to the "
        "server directly, or through a pooler in session mode"
    )
    return Finding("what is acknowledged stays, whatever ends", fine=kept, why="" if kept else why)


def _dumped(settings: Settings) -> list[Finding]:
    """Whether the program is there with which a database on a server is copied."""
    if database_file(settings.database_url) is not None:
        return []
    there = which("pg_dump") is not None
    why = "" if there else "pg_dump is missing, and `tracker backup` needs it: install postgresql-client"
    return [Finding("a backup can be made", fine=True, note=not there, why=why)]


async def _journal(store: Store, journal: Journal) -> Finding:
    """Whether the journal is whole and the database no older than it; several servers would each look at their own."""
    what = "the journal is whole and fits the database"
    try:
        await journal.load()
        async with store.restoring() as book:
            mark = (await book.marks()).applied.get(journal.id)
            anchor = journal.anchor
            lost = isinstance(anchor, Anchor) and not await book.has_head(anchor.entry, anchor.digest)
    except TrackerError as error:
        return _wrong(what, error)
    if mark is None or not journal.reaches(mark):
        return Finding(
            what, fine=False, why="the database knows another one, or more of it; run `tracker restore-check`"
        )
    why = "an older database was put in place: `tracker serve` replays what it lacks" if lost else ""
    return Finding(what, fine=not lost, why=why)


def _open_to(settings: Settings) -> Finding:
    """Whether nobody but this machine hands in mail without a login."""
    wide = [str(each) for each in settings.smtp_networks if not each.is_loopback] if settings.smtp_listen else []
    return Finding(
        "only this machine hands in mail without a login",
        fine=not wide,
        why=f"smtp_networks lets in {', '.join(wide)}: whoever is there sends mail in your name; take them out and let "
        "them log in with an API key"
        if wide
        else "",
    )


def _proxies(settings: Settings) -> Finding:
    """Whether who asks is told from the reverse proxy that passes it on."""
    unknown = settings.public_url.startswith("https://") and not settings.trusted_proxies
    return Finding(
        "the reverse proxy is known",
        fine=True,
        note=unknown,
        why="trusted_proxies is empty, and so everybody seems to be the proxy that gives https: programs are told from "
        "people less well"
        if unknown
        else "",
    )


def _signed(outcomes: Counter[Reason | None]) -> Finding:
    """Whether mail comes to the tracker before it is signed; what nobody agreed to was not looked at for that."""
    looked_at = outcomes.total() - outcomes[Reason.NO_GRANT]
    signed = outcomes[Reason.DKIM_SIGNED]
    many = 5 * signed > looked_at
    return Finding(
        "mail comes before it is signed",
        fine=True,
        note=many,
        why=f"{signed} of {looked_at} copies came with a DKIM signature and left untouched; sign after the tracker, or "
        "see `resign_domains`"
        if many
        else "",
    )


def _apart(key_file: Path, backup: Path | None) -> Finding:
    """Whether whoever takes the last backup, or the folder in which it stands, does not take the keys along."""
    beside = backup is not None and (key_file.parent == backup.parent or key_file.is_relative_to(backup))
    return Finding(
        "the keys lie apart from the backup",
        fine=not beside,
        why=f"the key file lies where the last backup went, {backup}: together they show who is who" if beside else "",
    )


def _private_files(settings: Settings) -> list[Path]:
    database = database_file(settings.database_url)
    siblings = [] if database is None else [Path(f"{database}{suffix}") for suffix in ("", "-wal", "-shm")]
    journals = (settings.journal, *(aside for aside, _ in put_aside(settings.journal)))
    segments = (path for journal in journals for path in sorted(journal.glob(f"*{SUFFIX}")))
    return [path for path in (*siblings, *segments) if path.exists()]


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
