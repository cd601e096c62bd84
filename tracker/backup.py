"""Makes a backup: database, journal and settings, never the keys.

The law: what is there is never overwritten, nobody else can read the copy, and it holds nothing that was deleted.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tracker.config import Settings
from tracker.model import BadBackupFolder
from tracker.store.journal import Journal
from tracker.store.store import Store

JOURNAL: Final = "journal"


async def make(
    settings: Settings, store: Store, journal: Journal, config: Path | None, folder: Path
) -> tuple[str, ...]:
    """Copy database, journal and CONFIG into FOLDER, which is made; the names of what was copied.

    The journal is copied last, so that it is never behind the copied database. Made whole or not at all.
    Raises BadBackupFolder when FOLDER is not empty or cannot be written, BadJournal, StoreUnavailable.
    """
    with ExitStack() as undo:
        _make(folder)
        undo.callback(_clear, folder)
        names = [(await store.copy_to(folder)).name]
        try:
            if config is not None:
                await asyncio.to_thread(_copy, config, folder / config.name)
                names.append(config.name)
            await journal.copy_to(folder / JOURNAL)
        except OSError as error:
            raise BadBackupFolder(f"the backup cannot be written: {error.strerror}") from None
        undo.pop_all()
        await store.note_backup(folder)
        return (*names, JOURNAL)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise BadBackupFolder("DIR is not empty; nothing was overwritten")
    except OSError as error:
        raise BadBackupFolder(f"DIR cannot be made: {error.strerror}") from None


def _copy(source: Path, target: Path) -> None:
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(source.read_bytes())
        file.flush()
        os.fsync(descriptor)


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
