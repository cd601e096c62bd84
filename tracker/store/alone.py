"""Lets a piece of work on a database be done by one process at a time, whoever else would do the same."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from tracker.model import AnotherSweep

PATIENCE: Final = 60.0
"""Seconds that one waits for another."""
LOOK: Final = 0.1
"""Seconds between two looks whether the other has ended; such work takes long, and nobody waits for it in a hurry."""
SWEEP: Final = "sweep"


async def until_alone(take: Callable[[], Awaitable[bool]], seconds: float = PATIENCE) -> None:
    """Wait until TAKE takes what the others have to take first. Raises AnotherSweep after SECONDS."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not await take():
        if loop.time() >= end:
            raise AnotherSweep
        await asyncio.sleep(LOOK)
