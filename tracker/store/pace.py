"""Keeps work on many rows out of the way of others: short transactions, and a rest after each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Final

BUDGET: Final = 0.01
"""Seconds that one transaction should take, its commit apart: hits wait that much longer at worst."""
LEAST: Final = 100
"""Rows below which a transaction takes no less time: its statements have to be sent all the same."""
REST: Final = 2.0
"""How many times as long as a transaction took others have the database to themselves."""
BUSY_REST: Final = 400.0
"""The same while others write: of a hundred hits fewer than one comes upon a transaction, and has to wait."""
LONGEST_REST: Final = 6.0
"""Seconds."""
LONGEST_PATIENCE: Final = 1_200.0
"""Seconds after which others get no more than REST: what is past its day has to go, however many write."""


class Pace:
    """How many rows the next transaction takes, and how long others go first; learns from what the last ones took."""

    def __init__(
        self, least: int = LEAST, most: int = 2_000, *, others_write: Callable[[], bool] = lambda: False
    ) -> None:
        """OTHERS_WRITE: whether anybody lately had to wait for a transaction of this kind, or might have had to."""
        self.rows = least
        self._least = least
        self._most = most
        self._others_write = others_write
        self._patient_until = perf_counter() + LONGEST_PATIENCE
        self._took = 0.0

    @contextmanager
    def measured(self) -> Iterator[None]:
        """The work of one transaction on as many as `rows`."""
        start = perf_counter()
        yield
        self._took = perf_counter() - start
        fitting = int(self.rows * BUDGET / max(self._took, 1e-6))
        self.rows = max(self._least, min(self._most, fitting, 2 * self.rows))

    async def rest(self) -> None:
        """Let others go first."""
        times = BUSY_REST if self._others_write() and perf_counter() < self._patient_until else REST
        await asyncio.sleep(min(times * self._took, LONGEST_REST))
