"""Slows down who tries passwords or codes: in memory, by account and by address, ever longer after each failure.

The law (promise 7): an address is looked at and forgotten; it reaches no log and no database. The tries at all workers
of a server count together.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from tracker.core.tries import LONG, Tried, Tries
from tracker.model import TooManyAttempts

FORGET: Final = timedelta(seconds=LONG)
LONGEST: Final = timedelta(hours=1)
MOST: Final = 100
"""Failures in a row after which a name rests for a day (NIST SP 800-63B-4 section 3.2.2)."""


class Throttle:
    """Counts attempts by name. An attempt counts when it begins, so that many at once are no way around."""

    def __init__(self, tries: Tries, free: int, *, most: int | None = None) -> None:
        """TRIES: where they are counted, by all workers of a server together; names of others may stand there too.

        FREE attempts cost nothing; each further one doubles the pause, from a second to an hour. MOST: attempts after
        which it is a day.
        """
        self._tries = tries
        self._free = free
        self._most = most

    def begin(self, name: str, now: datetime) -> None:
        """Count an attempt at NAME. Raises TooManyAttempts, and counts nothing, while NAME rests."""
        at = now.timestamp()
        with self._tries.locked():
            tried = self._tries.of(name)
            if tried is None or at - tried.last >= FORGET.total_seconds():
                tried = Tried(0, at)
            elif at < tried.last + self._pause(tried.count).total_seconds():
                raise TooManyAttempts
            self._tries.remember(name, Tried(tried.count + 1, at))

    def take_back(self, name: str) -> None:
        """That attempt at NAME was right; what was tried before still counts."""
        with self._tries.locked():
            tried = self._tries.of(name)
            if tried is not None and tried.count > 0:
                self._tries.remember(name, Tried(tried.count - 1, tried.last))

    def forget(self, name: str) -> None:
        """Whoever tried NAME is who they say."""
        with self._tries.locked():
            self._tries.forget(name)

    def _pause(self, count: int) -> timedelta:
        if self._most is not None and count >= self._most:
            return FORGET
        if count < self._free:
            return timedelta()
        return min(timedelta(seconds=2 ** min(count - self._free, 20)), LONGEST)


def network_of(peer: str) -> str:
    """What one household or one company tries from: PEER itself, of IPv6 the first 64 bits."""
    try:
        address = ip_address(peer)
    except ValueError:
        return "-"
    if isinstance(address, IPv6Address):
        return str(ip_network((address, 64), strict=False))
    return str(address)
