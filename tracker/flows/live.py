"""Tells reps who have their list open what people do just now who agreed to be watched, and when the hour has turned.

The law: one look for all who watch at one process, and none while nobody does. What is new is told by comparing with
the look before, in memory: no time but the hour is ever stored. Who watches does so as long as the session holds, and
watching does not keep it alive.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from tracker.core.calendar import hour_of
from tracker.core.identity import owner_of
from tracker.core.tokens import Tokens
from tracker.model import Hour, Owner, StaffSession
from tracker.store.store import Store
from tracker.store.watched import Told, Touch

MOST: Final = 200
"""Lists that are open at a time at one process."""
OF_A_SESSION: Final = 3
"""Of one browser, which has few connections to a host: the one that was opened first ends for a fourth."""
BEAT: Final = timedelta(seconds=15)
"""After how long a connection on which nothing happened is used, so that nobody in between closes it."""
LATE: Final = timedelta(seconds=10)
"""How long after the end of an hour its last events may be written."""
SHARE: Final = 9
"""How many times as long as a look took there is none: of a campaign of very many it takes longer."""
LONG_AGO: Final = datetime.fromtimestamp(0, UTC)
KEPT: Final = 20
"""What is told together at most; of more the newest."""


@dataclass(frozen=True, slots=True)
class News:
    """What has happened since somebody was told last."""

    now: datetime
    new: tuple[Told, ...] = ()
    gone: frozenset[Touch] = frozenset()
    """What was taken back, with a withdrawal or because it was a machine's, or lies before this hour."""
    changed: bool = False
    """Whether the list may look different; else this only keeps the connection open."""


@dataclass(eq=False)
class Watch:
    """One open list of one browser."""

    session: StaffSession
    owners: frozenset[Owner]
    over: bool = False
    for_good: bool = True
    """When it is over: whether there is no use in coming back; another process may serve who does."""
    is_new: bool = True
    """Whether it was not told yet how things are."""
    _new: list[Told] = field(default_factory=list)
    _gone: set[Touch] = field(default_factory=set)
    _now: datetime = LONG_AGO
    _changed: bool = False
    _told: asyncio.Event = field(default_factory=asyncio.Event)

    async def next(self) -> News | None:
        """What comes next, when it comes; None: it is over."""
        await self._told.wait()
        if self.over:
            return None
        news = News(self._now, tuple(self._new), frozenset(self._gone), self._changed)
        self._new, self._gone, self._changed = [], set(), False
        self._told.clear()
        return news

    def tell(self, now: datetime, new: Iterable[Told] = (), gone: Collection[Touch] = (), *, changed: bool) -> None:
        """Something happened; what was not heard yet is kept with it."""
        self._new = [told for told in self._new if told.touch not in gone]
        self._new = [*self._new, *new][-KEPT:]
        self._gone |= set(gone)
        self._now, self._changed = now, self._changed or changed
        self.is_new = self.is_new and not changed
        self._told.set()

    def end(self, *, for_good: bool = True) -> None:
        """It is over."""
        self.over, self.for_good = True, for_good
        self._told.set()


class Live:
    """Who watches at this process, and what they know."""

    def __init__(self, store: Store, tokens: Callable[[], Tokens], clock: Callable[[], datetime]) -> None:
        self._store = store
        self._tokens = tokens
        self._clock = clock
        self._watches: list[Watch] = []
        self._known: dict[Owner, frozenset[Touch]] = {}
        self._hours: tuple[Hour, Hour] | None = None
        """The one that is running, and the first of which something may still come in."""
        self._beaten = self._rests_until = LONG_AGO
        self._ended = False

    def begin(self, session: StaffSession) -> Watch | None:
        """Let whoever has SESSION watch their own messages; None when too many do already.

        At the first look it is told that the list may have changed: what came in before has to be shown.
        """
        theirs = [watch for watch in self._watches if watch.session.digest == session.digest]
        if len(theirs) >= OF_A_SESSION:
            theirs[0].end()
            self.leave(theirs[0])
        if self._ended or len(self._watches) >= MOST:
            return None
        key = self._tokens().ring.digest_keys.owner
        watch = Watch(session, frozenset(owner_of(key, login) for login in session.account.logins))
        self._watches.append(watch)
        return watch

    @property
    def watching(self) -> int:
        """How many lists are open."""
        return len(self._watches)

    def leave(self, watch: Watch) -> None:
        """Nobody reads WATCH any more."""
        if watch in self._watches:
            self._watches.remove(watch)

    def end(self) -> None:
        """End every watch, and begin none any more: the process is about to leave."""
        self._ended = True
        self._end(self._watches, for_good=False)

    async def look(self, now: datetime) -> None:
        """Look for what has happened until NOW, and tell whoever watches. Raises StoreUnavailable."""
        if not self._watches:
            self._known = {}
            return
        self._end([watch for watch in self._watches if watch.session.ends <= now])
        try:
            if now >= self._rests_until:
                await self._see(now)
        finally:
            self._beat(now)

    async def _see(self, now: datetime) -> None:
        watches = list(self._watches)  # others may begin meanwhile
        owners = frozenset[Owner]().union(*(watch.owners for watch in watches))
        began, since = self._clock(), hour_of(now - LATE)
        digests = frozenset(watch.session.digest for watch in watches)
        open_now, touches = await self._store.watch(digests, owners, now, since)
        self._end([watch for watch in watches if watch.session.digest not in open_now])
        found = {owner: frozenset(touch for touch in touches if touch.owner == owner) for owner in owners}
        new = {touch for owner in owners & self._known.keys() for touch in found[owner] - self._known[owner]}
        told = await self._store.told(new) if new else ()
        hours = (hour_of(now), since)
        turned, self._hours = self._hours != hours, hours
        for watch in watches:
            self._tell(watch, now, found, told, turned=turned)
        self._known = found
        self._rests_until = now + SHARE * (self._clock() - began)

    def _tell(
        self,
        watch: Watch,
        now: datetime,
        found: dict[Owner, frozenset[Touch]],
        told: Iterable[Told],
        *,
        turned: bool,
    ) -> None:
        """Tell WATCH what is new, unless it was not there at the look before."""
        if watch.over:
            return
        new = [one for one in told if one.touch.owner in watch.owners]
        gone = {touch for owner in watch.owners for touch in self._known.get(owner, frozenset()) - found[owner]}
        if new or gone or turned or watch.is_new:
            watch.tell(now, new, gone, changed=True)

    def _beat(self, now: datetime) -> None:
        if now - self._beaten >= BEAT:
            self._beaten = now
            for watch in self._watches:
                watch.tell(now, changed=False)

    def _end(self, watches: Iterable[Watch], *, for_good: bool = True) -> None:
        for watch in list(watches):
            watch.end(for_good=for_good)
            self.leave(watch)
