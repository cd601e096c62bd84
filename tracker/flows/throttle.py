"""Slows down who tries passwords or codes: in memory, by account and by address, ever longer after each failure.

The law (promise 7): an address is looked at and forgotten with the process; it reaches no log and no database.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from tracker.model import TooManyAttempts

CAPACITY: Final = 20_000
"""The most names that are remembered; the one that was not tried for longest is forgotten first."""
FORGET: Final = timedelta(days=1)
LONGEST: Final = timedelta(hours=1)
MOST: Final = 100
"""Failures in a row after which a name rests for a day (NIST SP 800-63B-4 section 3.2.2)."""


@dataclass(slots=True)
class _Tries:
    count: int
    last: datetime


class Throttle:
    """Counts attempts by name. An attempt counts when it begins, so that many at once are no way around."""

    def __init__(self, free: int, *, most: int | None = None) -> None:
        """FREE attempts cost nothing; each further one doubles the pause, from a second to an hour.

        MOST: attempts after which it is a day.
        """
        self._free = free
        self._most = most
        self._tries: OrderedDict[str, _Tries] = OrderedDict()

    def begin(self, name: str, now: datetime) -> None:
        """Count an attempt at NAME. Raises TooManyAttempts, and counts nothing, while NAME rests."""
        tries = self._tries.get(name)
        if tries is None or now - tries.last >= FORGET:
            tries = _Tries(0, now)
        elif now < tries.last + self._pause(tries.count):
            raise TooManyAttempts
        tries.count += 1
        tries.last = now
        self._tries[name] = tries
        self._tries.move_to_end(name)
        if len(self._tries) > CAPACITY:
            self._tries.popitem(last=False)

    def take_back(self, name: str) -> None:
        """That attempt at NAME was right; what was tried before still counts."""
        tries = self._tries.get(name)
        if tries is not None and tries.count > 0:
            tries.count -= 1

    def forget(self, name: str) -> None:
        """Whoever tried NAME is who they say."""
        self._tries.pop(name, None)

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
