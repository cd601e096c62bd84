"""Makes a new installation: settings, key file, database, and the first notice, without overwriting anything."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tracker.config import Settings, load, write_default
from tracker.core.calendar import day_of
from tracker.core.keys import KeyRing
from tracker.doors.pages import templates_folder
from tracker.keyfile import KeyFile
from tracker.model import Feature, Language, Notice, SetupError
from tracker.store.engine import database_file
from tracker.store.journal import Journal
from tracker.store.journal_files import SUFFIX
from tracker.store.store import Store

FIRST_NOTICE: Final = "2026-1"
CONFIG_NAME: Final = "tracker.toml"


async def create(
    folder: Path,
    *,
    controller: str,
    contact: str,
    public_url: str,
    language: Language,
    now: datetime,
    environ: Mapping[str, str],
    live: bool = False,
) -> Path:
    """Make an installation in FOLDER, which need not be empty; return the path of its tracker.toml.

    ENVIRON may say where key file and database lie. LIVE: the first notice lets reps watch as it happens. All is made
    or nothing: whatever fails, what this call made is gone again. Raises BadSetting, and SetupError when something
    that would be written is there already.
    """
    config = folder / CONFIG_NAME
    async with AsyncExitStack() as undo:
        _make_folder(folder, undo)
        write_default(config, controller=controller, contact=contact, public_url=public_url, language=language)
        undo.callback(config.unlink)
        settings = load(config, environ)
        database = database_file(settings.database_url)
        for path in (settings.key_file, database, *settings.journal.glob(f"*{SUFFIX}")):
            if path is not None and path.exists():
                raise SetupError(f"{path.name} is there already; nothing was overwritten")
        ring = KeyFile(settings.key_file).create(now, secrets.token_bytes)
        undo.callback(settings.key_file.unlink)
        if database is not None:  # a file that was begun is ours, a database on a server only when it is made
            undo.push_async_callback(Store.unmake, settings.database_url)
        await Store.create(
            settings.database_url, fingerprint=ring.fingerprint, notices=first_notices(settings, live=live)
        )
        if database is None:
            undo.push_async_callback(Store.unmake, settings.database_url)
        undo.callback(_remove_journal, settings.journal, settings.journal.exists())
        await begin_journal(settings, ring, now)
        undo.pop_all()
    return config


async def begin_journal(settings: Settings, ring: KeyRing, now: datetime) -> None:
    """Make an empty journal, let the database know it, and make room for the first week.

    Raises BadJournal, StoreUnavailable.
    """
    journal = Journal(settings.journal, ring.journal_key)
    mark = journal.create(now, secrets.token_bytes)
    store = await Store.open(settings.database_url, ledger_key=ring.ledger_key, fingerprint=ring.fingerprint)
    try:
        await store.make_room(day_of(now), settings.retention_days)
        async with store.restoring() as book:
            await book.set_mark(journal.id, mark)
    finally:
        await store.close()


def first_notices(settings: Settings, *, live: bool = False) -> tuple[Notice, ...]:
    """Notice 2026-1 in every language, with controller and contact; LIVE: it lets reps watch, and says so."""
    features = frozenset({Feature.LIVE}) if live else frozenset[Feature]()
    return tuple(
        Notice(FIRST_NOTICE, language, _text(settings, language, live=live), features) for language in Language
    )


def _text(settings: Settings, language: Language, *, live: bool) -> str:
    environment = Environment(  # noqa: S701 - plain text
        loader=FileSystemLoader(templates_folder() / "consent"), undefined=StrictUndefined, keep_trailing_newline=True
    )
    return environment.get_template(f"{language}.txt").render(
        controller=settings.controller,
        contact=settings.contact,
        public_url=settings.public_url,
        retention_days=settings.retention_days,
        consent_days=settings.consent_days,
        proof_days=settings.proof_days,
        live=live,
    )


def _make_folder(folder: Path, undo: AsyncExitStack) -> None:
    try:
        if not folder.exists():
            folder.mkdir(parents=True)
            undo.callback(folder.rmdir)
    except OSError as error:
        raise SetupError(f"the folder cannot be made: {error.strerror}") from None


def _remove_journal(folder: Path, was_there: bool) -> None:
    for path in folder.glob(f"*{SUFFIX}"):
        path.unlink()
    if not was_there:
        folder.rmdir()
