"""Makes a new installation: settings, key file, database, and the first notice, without overwriting anything."""

from __future__ import annotations

import secrets
from datetime import datetime
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tracker.config import Settings, load, write_default
from tracker.doors.pages import templates_folder
from tracker.keyfile import KeyFile
from tracker.model import Language, Notice, SetupError
from tracker.store.store import Store

FIRST_NOTICE: Final = "2026-1"
CONFIG_NAME: Final = "tracker.toml"


async def create(
    folder: Path, *, controller: str, contact: str, public_url: str, language: Language, now: datetime
) -> Path:
    """Make an installation in FOLDER, which need not be empty; return the path of its tracker.toml.

    Raises SetupError when a file that would be written is there already, and leaves everything as it was.
    """
    config = folder / CONFIG_NAME
    if config.exists():
        raise SetupError(f"{config} is there already; nothing was overwritten")
    folder.mkdir(parents=True, exist_ok=True)
    write_default(config, controller=controller, contact=contact, public_url=public_url, language=language)
    try:
        settings = load(config, {})
        _refuse_to_overwrite(settings)
        keys = KeyFile(settings.key_file)
        ring = keys.create(now, secrets.token_bytes)
        await Store.create(settings.database_url, fingerprint=ring.fingerprint, notices=first_notices(settings))
    except BaseException:
        config.unlink()  # an installation is made whole or not at all
        raise
    return config


def first_notices(settings: Settings) -> tuple[Notice, ...]:
    """Notice 2026-1 in every language, with the controller's name and contact in it."""
    return tuple(Notice(FIRST_NOTICE, language, _text(settings, language)) for language in Language)


def _text(settings: Settings, language: Language) -> str:
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
    )


def _refuse_to_overwrite(settings: Settings) -> None:
    if settings.key_file.exists():
        raise SetupError(f"{settings.key_file} is there already; a key file is never overwritten")
