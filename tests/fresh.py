"""Gives tests new databases and installations: each kind is made once in this process, and copied, which is fast."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from pathlib import Path

from tracker import installation
from tracker.model import Language, Notice
from tracker.store.store import Store


async def new_database(folder: Path, fingerprint: bytes, notices: Sequence[Notice]) -> str:
    """A new SQLite database in FOLDER for the keys with FINGERPRINT, with NOTICES; its URL."""
    first = _place(fingerprint, *notices) / "tracker.db"
    if not first.exists():
        await Store.create(_url(first), fingerprint=fingerprint, notices=notices)
    return _url(Path(shutil.copy2(first, folder / "tracker.db")))


async def new_installation(folder: Path, language: Language, now: datetime) -> Path:
    """A new installation in FOLDER, made NOW; the path of its tracker.toml. Those of one process have the same keys."""
    first = _place(language, now) / "tracker"
    if not first.exists():
        await installation.create(
            first,
            controller="Werkstatt Nord GmbH",
            contact="privacy@werkstatt-nord.example",
            public_url="https://t.example.com",
            language=language,
            now=now,
            environ={},
        )
    return shutil.copytree(first, folder, dirs_exist_ok=True) / "tracker.toml"


def _url(path: Path) -> str:
    return f"sqlite+aiosqlite:///{path}"


@cache
def _place(*_kind: object) -> Path:
    """A folder for what is made once of this kind."""
    folder = tempfile.mkdtemp(prefix="tracker-fresh-")
    atexit.register(shutil.rmtree, folder)
    return Path(folder)
