"""Tells how a message passes through: a transaction comes in, copies go to the next hop, and only then is it answered.

The law: nothing is queued here. Whatever is acknowledged, the next hop has taken.

Recipients are named to the next hop as the client names them, so that it refuses one where SMTP lets that be told.
At the end of data, where there is one answer for all, all copies that leave untouched go first, together, and then each
tracked copy in a transaction of its own:

- when the untouched ones are refused, that is the answer, and nothing else has gone out;
- a tracked copy that is refused for good is taken back, and goes untouched when all others have gone;
- whatever is refused for the time being ends the attempt: the client tries again later, and what was taken before is
  marked in the store, so that nobody gets it twice. A mark is a keyed digest of the octets and the person, and goes
  when the message is answered for good.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from hashlib import blake2b
from itertools import compress
from time import perf_counter
from typing import Final, Protocol

from tracker.core.calendar import day_of, later
from tracker.core.control import Controls
from tracker.core.pseudonym import normalise
from tracker.core.smtp_lines import Path
from tracker.flows.send import Addressee, Answer, Decided, Sender
from tracker.model import BadRequest, DeliveryRef, Envelope, InvalidAddress, Left, Reason, Reply, StoreUnavailable
from tracker.store.store import Store

log = logging.getLogger(__name__)

MARKED_DAYS: Final = 7
"""For which a copy that was taken is not sent again when the client tries again; mail servers try for five."""
PATIENCE: Final = 20.0
"""Seconds for what is decided about a message; then it goes as it came. A store that is away says so before; a client
waits ten minutes, so that a thousand messages that come at once are tracked, one after the other."""
ENOUGH: Final = timedelta(minutes=4)
"""After which the client is asked to try again with the copies that are left; it waits ten minutes for an answer."""
TAKEN: Final = Reply(250, "2.0.0 Ok")
LATER: Final = Reply(451, "4.4.7 The next hop took some copies and takes long; please try again for the others")
SOURCE: Final = "smtp"
_ENHANCED: Final = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3} ")


class NextHop(Protocol):
    """One connection to the next hop, for one transaction of the client. Answers are the next hop's own.

    Where it cannot be reached the answer is one of ours, with code 451 and the enhanced code 4.4.1.
    """

    async def mail(self, sender: Path) -> Reply:
        """Begin a transaction."""

    async def rcpt(self, recipient: Path) -> Reply:
        """Name a recipient."""

    async def begin(self, sender: Path, recipients: Sequence[Path]) -> Sequence[Reply]:
        """Begin anew with SENDER and RECIPIENTS: the answer to each of them, in order."""

    async def data(self, parts: Sequence[bytes]) -> Reply:
        """Hand over the message that PARTS, all of which end with CRLF but the last perhaps, make.

        It ends the transaction.
        """

    async def reset(self) -> Reply:
        """End the transaction; nothing of it is delivered."""


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


@dataclass(frozen=True, slots=True)
class _Step:
    """What goes to some recipients in one transaction."""

    recipients: Sequence[Path]
    message: Callable[[], bytes]
    """Writes it down: of tracked copies there is one at a time."""
    delivery: DeliveryRef | None = None
    """Of a tracked copy."""


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
        self._named = []
        replies = await self._hop.begin(self.sender, recipients)
        refused = next((reply for reply in replies if not reply.is_yes), None)
        if refused is None:
            self._named = list(recipients)
            return replies[0]
        await self._hop.reset()
        # It took this recipient a moment ago. When the client tries again it is told which one, if it is one.
        return Reply(451, refused.text_as("4")) if len(recipients) > 1 else refused


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
        """The answer; TAKEN becomes the marks of what the next hop has by now."""
        began = self._clock()
        steps = deque(await self._steps(transaction.recipients, incoming))
        late: list[Path] = []
        """Those whose tracked copy was refused for good."""
        served = 0
        reply = TAKEN
        marks = await self._marks(transaction, incoming)
        """By recipient; empty where there is but one, and the client hears at once what becomes of it."""
        had = await self._were_taken(marks.values())
        taken += had
        while steps:
            step = steps.popleft()
            recipients = [one for one in step.recipients if marks.get(one.address) not in had]
            served += len(step.recipients) - len(recipients)
            if not recipients:
                continue
            if taken and self._clock() - began > ENOUGH:
                return LATER
            reply = await transaction.send(recipients, [incoming.received, step.message()])
            if reply.is_yes:
                served += len(recipients)
                if marks and (steps or late):  # after the last one the client is answered
                    now_taken = [marks[one.address] for one in recipients]
                    taken += now_taken
                    await self._mark(now_taken)
            elif not reply.is_final:
                return reply
            else:
                await self._take_back(step.delivery)
                if step.delivery is None:  # as it came, or nearly so: this is the answer
                    for unsent in steps:
                        await self._take_back(unsent.delivery)
                    return _with_note(reply, served, len(transaction.recipients))
                late += recipients
            if late and not steps:
                steps.append(_Step(late, lambda: incoming.message))
                late = []
        return reply

    async def _steps(self, recipients: Sequence[Path], incoming: Incoming) -> list[_Step]:
        """What is to be sent to whom, one after the other."""
        untouched: dict[bytes, list[Path]] = {}
        tracked: list[_Step] = []
        for recipient, decided, seconds in await self._fates(recipients, incoming):
            made = partial(self._written, decided, seconds)
            if decided.delivery is None:
                untouched.setdefault(made(), []).append(recipient)
            else:
                tracked.append(_Step([recipient], made, decided.delivery))
        return [_Step(people, partial(bytes, message)) for message, people in untouched.items()] + tracked

    async def _fates(self, recipients: Sequence[Path], incoming: Incoming) -> Sequence[tuple[Path, Decided, float]]:
        """What is decided for each of RECIPIENTS, and in how many seconds; what fails leaves copies as they came."""
        as_it_came = Decided(None, partial(Answer, incoming.message, Reason.NO_GRANT))
        are_known = [not incoming.said.off and _is_address(one.address) for one in recipients]
        known = list(compress(recipients, are_known))
        if not known:
            return [(one, as_it_came, 0.0) for one in recipients]
        began = perf_counter()
        try:
            async with asyncio.timeout(PATIENCE):
                decided = await self._decided(known, incoming)
        except Exception as error:
            log.error("a message was passed on as it came: %s", type(error).__name__)
            reason = Reason.STORE_UNAVAILABLE if isinstance(error, TimeoutError) else Reason.ERROR
            decided = [Decided(None, partial(Answer, incoming.message, reason))] * len(known)
        seconds = (perf_counter() - began) / len(known)
        following = iter(decided)
        return [
            (one, next(following), seconds) if is_known else (one, as_it_came, 0.0)
            for one, is_known in zip(recipients, are_known, strict=True)
        ]

    def _written(self, decided: Decided, seconds: float) -> bytes:
        """The copy, counted."""
        began = perf_counter()
        copy = decided.answer()
        self._counter.rewrote(copy.reason, copy.left, seconds + perf_counter() - began)
        self._counter.foreign(copy.foreign, copy.pixels_removed)
        self._counter.unsigned(copy.signatures_removed)
        return copy.message

    async def _decided(self, known: Sequence[Path], incoming: Incoming) -> Sequence[Decided]:
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
            return await self._sender.decide(envelope, people, incoming.message, self._clock)
        except BadRequest:  # a reference that is none: the mail goes on without it
            people = [Addressee(one.address) for one in known]
            return await self._sender.decide(envelope, people, incoming.message, self._clock)

    # --- copies of several that were taken, when the client has to try again ------------------------

    async def _marks(self, transaction: Transaction, incoming: Incoming) -> Mapping[str, bytes]:
        if transaction.asked < 2 or incoming.said.off:  # off: all of them together, or nobody
            return {}
        addresses = [one.address for one in transaction.recipients]
        try:
            marks = await self._sender.marks(incoming.message, addresses)
        except Exception as error:
            log.error("copies that are taken will not be marked: %s", type(error).__name__)
            return {}
        return {address: _taken(mark) for address, mark in zip(addresses, marks, strict=True)}

    async def _were_taken(self, marks: Collection[bytes]) -> frozenset[bytes]:
        try:
            return await self._store.spent_among(list(marks)) if marks else frozenset()
        except StoreUnavailable:
            return frozenset()

    async def _mark(self, marks: Sequence[bytes]) -> None:
        try:
            await self._store.spend_all(marks, later(day_of(self._clock()), MARKED_DAYS))
        except StoreUnavailable:
            log.warning("copies that were taken could not be marked: the store is away")

    async def _unmark(self, marks: Sequence[bytes]) -> None:
        try:
            await self._store.unspend(marks)
        except StoreUnavailable:
            log.warning("marks of copies that were taken could not be forgotten: the store is away")

    async def _take_back(self, delivery: DeliveryRef | None) -> None:
        try:
            if delivery is not None:
                await self._store.take_back(delivery)
        except StoreUnavailable:
            log.warning("a delivery that was refused could not be taken back: the store is away")


def _taken(mark: bytes) -> bytes:
    """What the store keeps of a MARK, which is a keyed digest already: apart from those of tokens."""
    return blake2b(mark, digest_size=32, person=b"copy was taken").digest()


def _with_note(refusal: Reply, served: int, recipients: int) -> Reply:
    """REFUSAL, which is one for all of RECIPIENTS; for whoever reads the bounce it says how many were SERVED."""
    if not served:
        return refusal
    code = _ENHANCED.match(refusal.text)
    note = f"{code[0] if code else ''}{served} of {recipients} recipients have this message all the same"
    return Reply(refusal.code, f"{refusal.text}\n{note}")


def _is_address(address: str) -> bool:
    try:
        normalise(address)
    except InvalidAddress:
        return False
    return True
