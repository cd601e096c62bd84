"""Holds what the connections of mail systems have in common: who may do what, and what is on its way."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from ipaddress import ip_network
from typing import Final, Protocol

from tracker.core.calendar import day_of
from tracker.core.control import ControlNames
from tracker.doors.budget import Budget
from tracker.doors.peers import Network, within
from tracker.doors.smtp.hops import Hops, HopTransaction, Offers
from tracker.flows.access import Access
from tracker.flows.relay import Incoming, Relay, Transaction
from tracker.model import ApiKey, Reply, Scope, Unauthorized

LOOPBACK: Final = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
GRACE: Final = 30.0
"""Seconds for messages that are on their way to the next hop when the server stops."""
GRACE_OF_BEGUN: Final = 10.0
"""Seconds of these for transactions that were begun, as HTTP requests have them."""
ARRIVING: Final = 1.0
"""Seconds in which a connection that was taken just before nobody listened becomes a session: TLS greets first."""
PARTING: Final = 1.0
"""Seconds for a client that was answered to say goodbye: told something else, it may take that for the answer."""
LAST_WORDS: Final = 10.0
"""Seconds for a client that is hung up on to take what it was told: slow ones get it, who takes nothing is cut off."""
LOOK: Final = 0.05
"""Seconds between two looks at who is left."""


@dataclass(frozen=True, slots=True)
class SmtpPolicy:
    """What the settings say about the door."""

    name: str
    """The host that we say we are."""
    largest: int
    """Octets of a message that is still passed on."""
    max_message: int
    """Octets up to which one is rewritten."""
    networks: Sequence[Network] = LOOPBACK
    """Who may hand in mail without a login."""
    control_networks: Sequence[Network] = LOOPBACK
    """Whose control headers are heeded without one."""
    names: ControlNames = field(default_factory=ControlNames)
    certificate: ssl.SSLContext | None = field(default=None, repr=False)
    most: int = 1_000
    """Connections at a time."""
    most_recipients: int = 1_000
    """Of a message."""
    idle_seconds: float = 300.0
    """For a client to say something (RFC 5321, section 4.5.3.2.7)."""
    data_seconds: float = 900.0
    """For it to hand over a message."""
    last_words_seconds: float = LAST_WORDS
    """For it to take what it was told, when it is hung up on."""


class Serving(IntEnum):
    """Which transactions are still taken, from none to all."""

    NONE = 0
    BEGUN = 1
    """Those that are under way."""
    FIRST = 2
    """And that of a client who has handed in nothing on its connection yet: it may know no way to come again."""
    ALL = 3


class Session(Protocol):
    """A connection of a client."""

    @property
    def has_begun(self) -> bool:
        """Whether a transaction is under way: named, coming in, or on its way to the next hop."""

    @property
    def is_delivering(self) -> bool:
        """Whether its message is on its way to the next hop."""

    @property
    def had_a_turn(self) -> bool:
        """Whether a transaction has come to its end."""

    def dismiss(self) -> None:
        """Tell the client that it is to come again (421), and end."""


class Office:
    """All that clients' connections have in common."""

    def __init__(
        self,
        policy: SmtpPolicy,
        relay: Relay,
        hops: Hops,
        access: Access,
        budget: Budget,
        clock: Callable[[], datetime],
    ) -> None:
        self._policy = policy
        self._relay = relay
        self._hops = hops
        self._access = access
        self.budget = budget
        self.clock = clock
        self._sessions: set[Session] = set()
        self._deliveries: set[asyncio.Task[Reply]] = set()
        self._serving = Serving.ALL
        self.name = policy.name
        self.largest = policy.largest
        self.max_message = policy.max_message
        self.names = policy.names
        self.certificate = policy.certificate
        self.idle_seconds = policy.idle_seconds
        self.data_seconds = policy.data_seconds
        self.last_words_seconds = policy.last_words_seconds
        self.most_recipients = policy.most_recipients

    async def hand_over(self, seconds: float) -> None:
        """Others serve where we did: let clients end what they began or came for, then have them come again.

        Returns when all have gone. After SECONDS nothing is taken any more; what is on its way to the next hop by then
        is waited for to its end, and answered: a client that hears nothing would send it once more. Whoever called this
        may lose patience before (`tracker.crew`, after ten minutes): copies of one message go one after the other.
        """
        self._serving = Serving.FIRST
        await asyncio.sleep(ARRIVING)
        await self._until(lambda: not self._sessions, seconds - ARRIVING)
        self._dismiss()
        if self._deliveries:
            await asyncio.wait(self._deliveries)

    async def finish(self) -> None:
        """Let what was begun end, above all what is on its way to the next hop, answer it, and hang up."""
        clock = asyncio.get_running_loop().time
        end = clock() + GRACE - PARTING
        self._serving = min(self._serving, Serving.BEGUN)
        await self._until(lambda: not any(one.has_begun for one in self._sessions), GRACE_OF_BEGUN)
        if not any(one.has_begun for one in self._sessions):
            await self._until(lambda: not self._sessions, PARTING)
        self._dismiss()
        if self._deliveries:
            await asyncio.wait(self._deliveries, timeout=end - clock())
        for task in self._deliveries:
            task.cancel()  # not answered: the client tries again
        await self._until(lambda: not self._sessions, PARTING)
        for one in list(self._sessions):
            one.dismiss()
        self._hops.close()

    def _dismiss(self) -> None:
        """Take nothing any more, and tell so whoever has nothing on its way."""
        self._serving = Serving.NONE
        for one in [session for session in self._sessions if not session.is_delivering]:
            one.dismiss()

    async def _until(self, holds: Callable[[], bool], seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not holds():
                    await asyncio.sleep(LOOK)

    # --- what a connection asks -----------------------------------------------------------------------

    def enter(self, session: Session) -> bool:
        """Whether there is room for SESSION."""
        if self._serving < Serving.FIRST or len(self._sessions) >= self._policy.most:
            return False
        self._sessions.add(session)
        return True

    def leave(self, session: Session) -> None:
        """SESSION has ended."""
        self._sessions.discard(session)

    def hears(self, session: Session) -> bool:
        """Whether SESSION may go on, or begin; else it is to come again (RFC 5321, section 3.8)."""
        if session.has_begun:
            return self._serving > Serving.NONE
        return self._serving is Serving.ALL or (self._serving is Serving.FIRST and not session.had_a_turn)

    def is_loopback(self, peer: str) -> bool:
        """Whether PEER is this machine itself."""
        return within(peer, LOOPBACK)

    def admits(self, peer: str) -> bool:
        """Whether PEER may hand in mail without a login: nobody else may, so that this is no open relay."""
        return within(peer, self._policy.networks)

    def heeds(self, peer: str) -> bool:
        """Whether the control headers of PEER count without a login."""
        return within(peer, self._policy.control_networks)

    async def key_of(self, login: bytes, password: bytes) -> ApiKey | None:
        """The API key PASSWORD, if it is called LOGIN and may have mail rewritten. Raises StoreUnavailable."""
        try:
            key = await self._access.authenticate(password.decode("ascii"), day_of(self.clock()))
        except (Unauthorized, UnicodeDecodeError):
            return None
        return key if Scope.REWRITE in key.scopes and key.name.encode() == login else None

    async def offers(self) -> Offers:
        """What the next hop can do."""
        return await self._hops.offers()

    def next_hop(self) -> HopTransaction:
        """A connection to the next hop for one transaction."""
        return self._hops.transaction()

    def deliver(
        self, transaction: Transaction, incoming: Incoming, hop: HopTransaction | None, held: ExitStack
    ) -> asyncio.Task[Reply]:
        """Pass INCOMING on, whatever becomes of the client; HOP and what is HELD are given back at the end."""

        async def delivered() -> Reply:
            with held:
                try:
                    return await self._relay.deliver(transaction, incoming)
                finally:
                    if hop is not None:
                        hop.release()

        task = asyncio.create_task(delivered())
        self._deliveries.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Reply]) -> None:
        self._deliveries.discard(task)
        if not task.cancelled():
            task.exception()  # is told to the client, if it is still there
