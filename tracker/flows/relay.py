"""Tells how a message passes through: a transaction comes in, copies go to the next hop, and only then is it answered.

The law: nothing is queued here. Whatever is acknowledged, the next hop has taken.

Recipients are named to the next hop as the client names them, so that it refuses one where SMTP lets that be told.
At the end of data each tracked copy goes in a transaction of its own, and then all that leave untouched, together:

- a tracked copy that is refused for the time being ends the attempt: the client tries again later, and copies that
  were taken before are marked in the store, so that they are not sent twice;
- a tracked copy that is refused for good is taken back, and goes untouched with the others;
- the answer about those that leave untouched is the answer to the client. Nothing is marked about people who agreed
  to nothing, since their copies are the last: all of them were taken, or none.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import blake2b
from time import perf_counter
from typing import Final, Protocol

from tracker.core.calendar import day_of, later
from tracker.core.control import Controls
from tracker.core.pseudonym import normalise
from tracker.core.smtp_lines import Path
from tracker.flows.send import Addressee, Answer, Sender
from tracker.model import BadRequest, Envelope, InvalidAddress, Left, Reason, Reply, StoreUnavailable
from tracker.store.store import Store

log = logging.getLogger(__name__)

MARKED_DAYS: Final = 7
"""For which a copy that was taken is not sent again when the client tries again; mail servers try for five."""
PATIENCE: Final = 20.0
"""Seconds for one copy to be made; then it, and those after it, go as they came. A store that is away says so before;
a client waits ten minutes, so that a thousand messages that come at once are tracked, one after the other."""
ENOUGH: Final = timedelta(minutes=4)
"""After which the client is asked to try again with the copies that are left; it waits ten minutes for an answer."""
TAKEN: Final = Reply(250, "2.0.0 Ok")
LATER: Final = Reply(451, "4.4.7 The next hop took some copies and takes long; please try again for the others")
SOURCE: Final = "smtp"


class NextHop(Protocol):
    """One connection to the next hop, for one transaction of the client. Answers are the next hop's own.

    Where it cannot be reached the answer is one of ours, with code 451 and the enhanced code 4.4.1.
    """

    async def mail(self, sender: Path) -> Reply:
        """Begin a transaction."""

    async def rcpt(self, recipient: Path) -> Reply:
        """Name a recipient."""

    async def data(self, parts: Sequence[bytes]) -> Reply:
        """Hand over the message that PARTS make; it ends the transaction."""

    async def reset(self) -> Reply:
        """Begin anew."""


class RelayCounter(Protocol):
    """Counts for the operator."""

    def rewrote(self, reason: Reason | None, left: Mapping[Left, int], seconds: float) -> None:
        """One copy was made in SECONDS: tracked, with links LEFT, or untouched for REASON."""

    def foreign(self, found: Mapping[str, int], removed: int) -> None:
        """A copy came with other people's trackers, FOUND by kind; so many pixels were REMOVED."""

    def unsigned(self, removed: int) -> None:
        """A tracked copy leaves without so many DKIM signatures of our own, which were REMOVED."""

    def relayed(self, result: str) -> None:
        """A message was answered: `relayed`, `deferred` or `refused`."""


@dataclass(frozen=True, slots=True)
class Submitter:
    """Who hands a message in."""

    source: str = SOURCE
    """The name of its API key, or `smtp`: whose references these are."""
    owner: str | None = None
    """The rep to whom its key is bound."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message whose data has ended."""

    message: bytes = field(repr=False)
    """As it came, without our control headers."""
    received: bytes = field(repr=False)
    """The line that goes on top of every copy."""
    said: Controls
    who: Submitter


class Transaction:
    """What a client began: passed on to the next hop step by step, so that its answers come from there."""

    def __init__(self, hop: NextHop) -> None:
        self.recipients: list[Path] = []
        """Those that the next hop takes mail for."""
        self.sender: Path | None = None
        self.asked = 0
        """How many recipients the client named, those included that the next hop refused."""
        self._hop = hop
        self._named: list[Path] = []
        """The recipients that the next hop has been told since the last MAIL."""

    async def mail(self, sender: Path) -> Reply:
        """Begin with SENDER."""
        reply = await self._hop.mail(sender)
        if reply.is_yes:
            self.sender = sender
        return reply

    async def rcpt(self, recipient: Path) -> Reply:
        """Add RECIPIENT, if the next hop takes mail for it."""
        self.asked += 1
        reply = await self._hop.rcpt(recipient)
        if reply.is_yes:
            self.recipients.append(recipient)
            self._named.append(recipient)
        return reply

    async def send(self, recipients: Sequence[Path], parts: Sequence[bytes]) -> Reply:
        """Hand over the message that PARTS make, for RECIPIENTS alone: for all of them or for none."""
        if self._named != list(recipients):
            reply = await self._named_anew(recipients)
            if not reply.is_yes:
                return reply
        self._named = []
        return await self._hop.data(parts)

    async def _named_anew(self, recipients: Sequence[Path]) -> Reply:
        assert self.sender is not None
        if self._named:
            reply = await self._hop.reset()
            if not reply.is_yes:
                return reply
            self._named = []
        reply = await self._hop.mail(self.sender)
        for recipient in recipients:
            if not reply.is_yes:
                break
            reply = await self._hop.rcpt(recipient)
            self._named.append(recipient)
        if reply.is_yes:
            return reply
        await self._hop.reset()
        self._named = []
        # It took this recipient a moment ago. When the client tries again it is told which one, if it is one.
        return Reply(451, reply.text_as("4")) if len(recipients) > 1 else reply


class Relay:
    """Passes messages on."""

    def __init__(self, sender: Sender, store: Store, counter: RelayCounter, clock: Callable[[], datetime]) -> None:
        self._sender = sender
        self._store = store
        self._counter = counter
        self._clock = clock

    async def deliver(self, transaction: Transaction, incoming: Incoming) -> Reply:
        """Hand over the copies for all recipients of TRANSACTION; the answer for the client."""
        taken: list[bytes] = []
        reply = await self._delivered(transaction, incoming, taken)
        if taken and (reply.is_yes or reply.is_final):
            await self._unmark(taken)  # who sends the same octets once more means it
        self._counter.relayed("relayed" if reply.is_yes else "refused" if reply.is_final else "deferred")
        return reply

    async def _delivered(self, transaction: Transaction, incoming: Incoming, taken: list[bytes]) -> Reply:
        """The answer; TAKEN becomes the marks of copies that the next hop has by now."""
        untouched: dict[bytes, list[Path]] = {}
        several = transaction.asked > 1  # of whom the next hop may take others than when the client tried before
        began = self._clock()
        reply = TAKEN
        async with aclosing(self._copies(transaction.recipients, incoming)) as copies:
            async for recipient, copy in copies:
                if copy.delivery is None:
                    untouched.setdefault(copy.message, []).append(recipient)
                    continue
                mark = _taken(copy.mark) if several and copy.mark is not None else None
                if mark is not None and await self._was_taken(mark):
                    taken.append(mark)
                    continue
                if taken and self._clock() - began > ENOUGH:
                    return LATER
                reply = await transaction.send([recipient], [incoming.received, copy.message])
                if reply.is_yes:
                    if mark is not None:
                        taken.append(mark)
                        await self._mark(mark)
                elif reply.is_final:
                    await self._take_back(copy)
                    untouched.setdefault(incoming.message, []).append(recipient)
                else:
                    return reply
        for message, recipients in untouched.items():
            if taken and self._clock() - began > ENOUGH:
                return LATER
            reply = await transaction.send(recipients, [incoming.received, message])
            if not reply.is_yes:
                return reply
        return reply

    async def _copies(
        self, recipients: Sequence[Path], incoming: Incoming
    ) -> AsyncGenerator[tuple[Path, Answer], None]:
        """Each of RECIPIENTS with its copy; what fails leaves the copies as they came."""
        known: list[Path] = []
        for one in recipients:
            if not incoming.said.off and _is_address(one.address):
                known.append(one)
            else:
                yield one, Answer(incoming.message, Reason.NO_GRANT)
        copies: AsyncGenerator[Answer, None] | None = None
        failed: Reason | None = None
        for one in known:
            began = perf_counter()
            try:
                if failed is None:
                    async with asyncio.timeout(PATIENCE):
                        if copies is None:
                            copies = await self._begun(known, incoming)
                        copy = await anext(copies)
            except Exception as error:
                log.error("a message was passed on as it came: %s", type(error).__name__)
                failed = Reason.STORE_UNAVAILABLE if isinstance(error, TimeoutError) else Reason.ERROR
            if failed is not None:
                copy = Answer(incoming.message, failed)
            self._counter.rewrote(copy.reason, copy.left, perf_counter() - began)
            self._counter.foreign(copy.foreign, copy.pixels_removed)
            self._counter.unsigned(copy.signatures_removed)
            yield one, copy
        if copies is not None:
            await copies.aclose()

    async def _begun(self, known: Sequence[Path], incoming: Incoming) -> AsyncGenerator[Answer, None]:
        said, who = incoming.said, incoming.who
        envelope = Envelope(
            recipient="",  # each has its own
            source=who.source,
            single=True,
            label=said.label,
            campaign=said.campaign,
            owner=who.owner or said.owner,
            language=said.language,
        )
        reference = said.reference if len(known) == 1 else None  # of one person, and nobody knows which
        try:
            people = [Addressee(one.address, reference) for one in known]
            return await self._sender.batch(envelope, people, incoming.message, self._clock)
        except BadRequest:  # a reference that is none: the mail goes on without it
            people = [Addressee(one.address) for one in known]
            return await self._sender.batch(envelope, people, incoming.message, self._clock)

    # --- copies of several that were taken, when the client has to try again ------------------------

    async def _was_taken(self, mark: bytes) -> bool:
        try:
            return await self._store.is_spent(mark)
        except StoreUnavailable:
            return False

    async def _mark(self, mark: bytes) -> None:
        try:
            await self._store.spend(mark, later(day_of(self._clock()), MARKED_DAYS))
        except StoreUnavailable:
            log.warning("a copy that was taken could not be marked: the store is away")

    async def _unmark(self, marks: Sequence[bytes]) -> None:
        try:
            await self._store.unspend(marks)
        except StoreUnavailable:
            log.warning("marks of copies that were taken could not be forgotten: the store is away")

    async def _take_back(self, copy: Answer) -> None:
        try:
            if copy.delivery is not None:
                await self._store.take_back(copy.delivery)
        except StoreUnavailable:
            log.warning("a delivery that was refused could not be taken back: the store is away")


def _taken(mark: bytes) -> bytes:
    """What the store keeps of a MARK, which is a keyed digest already: apart from those of tokens."""
    return blake2b(mark, digest_size=32, person=b"copy was taken").digest()


def _is_address(address: str) -> bool:
    try:
        normalise(address)
    except InvalidAddress:
        return False
    return True
