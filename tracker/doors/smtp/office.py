"""Holds what the connections of mail systems have in common: who may do what, and what is on its way."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
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


class Session(Protocol):
    """A connection of a client."""

    async def hang_up_politely(self) -> None:
        """Tell the client that this server stops, and end."""


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
        self._stopping = False
        self.name = policy.name
        self.largest = policy.largest
        self.max_message = policy.max_message
        self.names = policy.names
        self.certificate = policy.certificate
        self.idle_seconds = policy.idle_seconds
        self.data_seconds = policy.data_seconds
        self.most_recipients = policy.most_recipients

    async def finish(self) -> None:
        """Let what is on its way to the next hop arrive, answer it, and hang up; whoever comes now is sent away."""
        self._stopping = True
        if self._deliveries:
            await asyncio.wait(self._deliveries, timeout=GRACE)
        for task in self._deliveries:
            task.cancel()  # not answered: the client tries again
        await asyncio.sleep(0)  # those that were answered just now say so
        await asyncio.gather(*(session.hang_up_politely() for session in list(self._sessions)))
        self._hops.close()

    # --- what a connection asks -----------------------------------------------------------------------

    def enter(self, session: Session) -> bool:
        """Whether there is room for SESSION."""
        if self._stopping or len(self._sessions) >= self._policy.most:
            return False
        self._sessions.add(session)
        return True

    def leave(self, session: Session) -> None:
        """SESSION has ended."""
        self._sessions.discard(session)

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
