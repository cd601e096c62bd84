"""Lets a piece of work on an SQLite file be done by one process at a time, whoever else would do the same."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tracker.model import AnotherSweep
from tracker.store.lock_file import open_lock_file, taken

PATIENCE: Final = 60.0
"""Seconds that one waits for another."""
LOOK: Final = 0.1
"""Seconds between two looks whether the other has ended; such work takes long, and nobody waits for it in a hurry."""
SWEEP: Final = "sweep"


@asynccontextmanager
async def alone(database: Path, name: str, seconds: float = PATIENCE) -> AsyncIterator[None]:
    """Be the only one that does the work NAME on the file DATABASE while the block runs.

    Raises AnotherSweep when that takes longer than SECONDS, OSError.
    """
    descriptor = open_lock_file(database, name)
    try:
        try:
            async with asyncio.timeout(seconds):
                while not taken(descriptor):
                    await asyncio.sleep(LOOK)
        except TimeoutError:
            raise AnotherSweep from None
        yield
    finally:
        os.close(descriptor)
