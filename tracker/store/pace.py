"""Keeps work on many rows out of the way of others: short transactions, and a rest after each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Final

BUDGET: Final = 0.01
"""Seconds that one transaction should take: hits wait that much longer at worst."""
LEAST: Final = 100
"""Rows below which a transaction takes no less time: its statements have to be sent all the same."""
REST: Final = 2.0
"""How many times as long as a transaction took others have the database to themselves."""


class Pace:
    """How many rows the next transaction takes; learns from how long the last ones took."""

    def __init__(self, least: int = LEAST, most: int = 2_000) -> None:
        self.rows = least
        self._least = least
        self._most = most
        self._took = 0.0

    @contextmanager
    def measured(self) -> Iterator[None]:
        """The work of one transaction on as many as `rows`, its commit included."""
        start = perf_counter()
        yield
        self._took = perf_counter() - start
        fitting = int(self.rows * BUDGET / max(self._took, 1e-6))
        self.rows = max(self._least, min(self._most, fitting, 2 * self.rows))

    async def rest(self) -> None:
        """Let others go first."""
        await asyncio.sleep(REST * self._took)
