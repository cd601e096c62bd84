"""Tells what happens to copies of a message: consent, survey, plan, register, render, out.

The law: without a live grant no byte changes, and whatever goes wrong the message comes back as it was. (One setting,
off by default, takes other people's pixels out where there is no grant for opens; the answer says how many.)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Final

from tracker.core.address import mask_addresses
from tracker.core.calendar import day_of, hour_of, later
from tracker.core.identity import delivery_id, digest_of
from tracker.core.layout import Plan
from tracker.core.pseudonym import normalise, pseudonym
from tracker.core.quotation import quoted_tokens
from tracker.core.resign import without_signatures
from tracker.core.survey import Refused
from tracker.core.tokens import PLAN_SIZE, STOP_NONCE_SIZE, Tokens
from tracker.core.traces import Traces, read
from tracker.flows.consent import check_reference
from tracker.flows.copies import Draft, Seal
from tracker.flows.counted import Counted
from tracker.flows.surveys import Look, Surveys, read_through
from tracker.model import (
    MAIL_PURPOSES,
    Day,
    DeliveryRef,
    Envelope,
    InvalidAddress,
    InvalidField,
    Language,
    Left,
    MessageKey,
    Pseudonym,
    Purpose,
    Reason,
    Registration,
    StoreUnavailable,
    UntouchedCopy,
)
from tracker.store.store import Store

log = logging.getLogger(__name__)

LONGEST_LABEL: Final = 200
CHUNK: Final = 500
"""Copies of a batch that are decided on together."""


@dataclass(frozen=True, slots=True)
class SendPolicy:
    """What the settings say about sending."""

    public_url: str
    max_message: int
    """Octets up to which a message is planned."""
    retention_days: int
    language: Language
    """Of the notice, where the caller names none."""
    remove_pixels: bool = False
    """Other people's, from copies for people who have not agreed to opens."""
    resign_domains: frozenset[str] = frozenset()
    """Whose DKIM signature tracked copies leave without, since the next hop signs again."""
    observe: bool = False
    """Change nothing, and say what would be done."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One copy, ready to go. A reason means that it left untracked: as it came, but for the pixels removed."""

    message: bytes
    reason: Reason | None
    purposes: frozenset[Purpose] = frozenset()
    links_tracked: int = 0
    links_found: int = 0
    left: Mapping[Left, int] = field(default_factory=dict)
    message_key: MessageKey | None = None
    foreign: Mapping[str, int] = field(default_factory=dict)
    """Other people's trackers in the message as it came, by kind, where it was looked into."""
    pixels_removed: int = 0
    """How many of those the copy has no longer."""
    delivery: DeliveryRef | None = field(default=None, repr=False)
    """What was registered for a copy that leaves tracked."""
    signatures_removed: int = 0
    """How many DKIM signatures of our own a tracked copy leaves without."""


@dataclass(frozen=True, slots=True)
class Addressee:
    """One of the recipients of a batch; `address` never goes below this flow."""

    address: str
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """What is decided about one copy: registered if it leaves tracked, and written down when it is asked for."""

    delivery: DeliveryRef | None
    """What was registered; None for a copy that leaves untracked."""
    answer: Callable[[], Answer] = field(repr=False)
    """Writes the copy. One that was to leave tracked leaves as it came when that fails."""


@dataclass(frozen=True, slots=True)
class _Person:
    recipient: Pseudonym
    reference: str | None
    address: str = field(repr=False)
    """Normalised; for recognising it in what the copy says, and never stored."""


@dataclass(frozen=True, slots=True)
class _Tracked:
    """A copy that may leave tracked: it is registered, and only has to be written."""

    plan: Plan
    links_found: int
    delivery: DeliveryRef


@dataclass(frozen=True, slots=True)
class _AsItCame:
    """A copy that leaves untracked."""

    reason: Reason
    cleared: bool = False
    """Without other people's pixels, where they come out at all."""


class _Untouched(Exception):
    """Ends the flow: the copy leaves as it came, for a reason; CLEARED where there is surely no grant for opens."""

    def __init__(self, reason: Reason, *, cleared: bool = False) -> None:
        self.fate = _AsItCame(reason, cleared)


async def _search(message: bytes) -> frozenset[str]:
    return quoted_tokens(message)


class Sender:
    """Rewrites copies for recipients who agreed."""

    def __init__(
        self,
        store: Store,
        tokens: Callable[[], Tokens],
        survey: Look | Surveys,
        random_bytes: Callable[[int], bytes],
        policy: SendPolicy,
        search: Callable[[bytes], Awaitable[frozenset[str]]] = _search,
    ) -> None:
        """SEARCH finds what looks like a delivery token in a message, as `quoted_tokens` does."""
        self._store = store
        self._tokens = tokens
        self._surveys = survey if isinstance(survey, Surveys) else Surveys(survey, memory=False)
        self._random_bytes = random_bytes
        self._policy = policy
        self._search = search
        self._counted = Counted()

    async def rewrite(self, envelope: Envelope, message: bytes, now: datetime) -> Answer:
        """The copy of MESSAGE for the recipient of ENVELOPE.

        Raises:
            InvalidAddress, InvalidField, AddressInValue: the envelope is at fault; nothing was looked at.
        """
        tokens = self._tokens()
        address = normalise(envelope.recipient)
        person = _Person(pseudonym(tokens.ring.pseudonym_keys, address), envelope.reference, address)
        if envelope.reference is not None:
            check_reference(envelope.reference, "Tracker-Reference", address)
        envelope = await _unnamed(_checked(envelope), [person])
        draft = await self._draft(envelope, message, tokens, now)
        if draft is None:
            return Answer(message, Reason.ERROR)
        return self._answer(draft, person, await self._decide(draft, person, now), now)

    async def batch(
        self, envelope: Envelope, people: Sequence[Addressee], message: bytes, clock: Callable[[], datetime]
    ) -> AsyncGenerator[Answer, None]:
        """Copies of MESSAGE for PEOPLE, in order; what ENVELOPE says but its recipient and reference is said of all.

        Each copy goes to one person alone. Before the copies of CHUNK people are made, their grants are looked up and
        their deliveries written; who stops asking for copies leaves at most that many written and not sent.

        Raises, before anything is looked up:
            InvalidAddress, InvalidField, AddressInValue: the envelope or one of PEOPLE is at fault; says which.
        """
        return self._copies(self._chunks(*await self._understood(envelope, people), message, clock))

    async def decide(
        self, envelope: Envelope, people: Sequence[Addressee], message: bytes, clock: Callable[[], datetime]
    ) -> list[Decided]:
        """What becomes of the copies for PEOPLE, in order, before the first of them is written; raises as `batch`."""
        chunks = self._chunks(*await self._understood(envelope, people), message, clock)
        return [each async for chunk in chunks for each in chunk]

    async def marks(self, message: bytes, addresses: Sequence[str]) -> list[bytes]:
        """A keyed digest for each of ADDRESSES: the same for the same octets to the same person, on whatever day."""
        ring = self._tokens().ring
        digest = await read_through(digest_of, message)
        marks: list[bytes] = []
        for address in addresses:
            try:
                person = pseudonym(ring.pseudonym_keys, normalise(address))
            except InvalidAddress:
                person = Pseudonym(address.encode())
            marks.append(delivery_id(ring.digest_keys.delivery, digest, person, Day(0)))
        return marks

    async def _understood(
        self, envelope: Envelope, people: Sequence[Addressee]
    ) -> tuple[Envelope, Sequence[_Person], Tokens]:
        """ENVELOPE and PEOPLE, when they are in order."""
        tokens = self._tokens()
        envelope = _checked(replace(envelope, reference=None, single=True))
        persons = await _persons(people, tokens)
        return await _unnamed(envelope, persons), persons, tokens

    async def _copies(self, chunks: AsyncGenerator[list[Decided], None]) -> AsyncGenerator[Answer, None]:
        async for chunk in chunks:
            for each in chunk:
                yield each.answer()

    async def _chunks(
        self,
        envelope: Envelope,
        persons: Sequence[_Person],
        tokens: Tokens,
        message: bytes,
        clock: Callable[[], datetime],
    ) -> AsyncGenerator[list[Decided], None]:
        draft = await self._draft(envelope, message, tokens, clock())
        for at in range(0, len(persons), CHUNK):
            chunk, now = persons[at : at + CHUNK], clock()
            if draft is None:
                yield [Decided(None, partial(Answer, message, Reason.ERROR)) for _ in chunk]
                continue
            # All at once, so that the store takes their lookups in one statement, and their deliveries in another.
            deciding = [self._decide(draft, person, now) for person in chunk]
            fates = await asyncio.gather(*deciding) if len(deciding) > 1 else [await deciding[0]]
            yield [
                Decided(
                    fate.delivery if isinstance(fate, _Tracked) else None,
                    partial(self._answer, draft, person, fate, now),
                )
                for person, fate in zip(chunk, fates, strict=True)
            ]

    async def _draft(self, envelope: Envelope, message: bytes, tokens: Tokens, now: datetime) -> Draft | None:
        """What is common to all copies; None when that fails, which is logged."""
        try:
            seal = Seal(
                tokens=tokens,
                key_id=tokens.ring.signing_key(now).id,
                plan=self._random_bytes(PLAN_SIZE),
                public_url=self._policy.public_url,
                language=envelope.language or self._policy.language,
            )
            read = message[: self._policy.max_message]
            unsigned, signatures = without_signatures(message, self._policy.resign_domains)
            return Draft(
                message,
                envelope,
                seal,
                look=partial(self._surveys, unsigned, envelope.source, now),
                search=partial(self._search, read),
                digest=await read_through(digest_of, message),
                signatures_removed=signatures,
            )
        except Exception:
            log.exception("a message could not be rewritten and left untouched")
            return None

    async def _decide(self, draft: Draft, person: _Person, now: datetime) -> _Tracked | _AsItCame:
        """What becomes of the copy for PERSON; never raises."""
        try:
            return await self._track(draft, person, now)
        except _Untouched as end:
            fate = end.fate
        except StoreUnavailable:
            fate = _AsItCame(Reason.STORE_UNAVAILABLE)
        except Exception:
            self._log(draft, "a message could not be rewritten and left untouched")
            fate = _AsItCame(Reason.ERROR)
        if fate.reason is not Reason.STORE_UNAVAILABLE:
            await self._close_untracked(draft, person, now)
        return fate

    async def _track(self, draft: Draft, person: _Person, now: datetime) -> _Tracked:
        today = day_of(now)
        if len(draft.message) > self._policy.max_message:
            raise _Untouched(Reason.TOO_LARGE)
        granted = MAIL_PURPOSES & await self._store.grants_of(person.recipient, today)
        cleared = Purpose.OPEN not in granted
        if not granted:
            await self._look_for_pixels(draft)
            raise _Untouched(Reason.NO_GRANT, cleared=cleared)
        survey = await draft.survey()
        if isinstance(survey, Refused):
            raise _Untouched(survey.reason)
        if survey.foreign_sender:
            raise _Untouched(Reason.FOREIGN_SENDER)
        if draft.names_several(survey):
            raise _Untouched(Reason.SEVERAL_RECIPIENTS)
        if draft.is_tracked:
            raise _Untouched(Reason.ALREADY_TRACKED, cleared=cleared)
        survey = draft.survey_for(survey, person.address)
        plan = draft.plan(survey, granted)
        if plan is None:
            raise _Untouched(Reason.NOTHING_TO_TRACK, cleared=cleared)
        if self._policy.observe:
            raise _Untouched(Reason.OBSERVED)
        await self._close_quoted(draft, person, now)
        delivery = DeliveryRef(later(today, self._policy.retention_days), draft.delivery(person.recipient, today))
        tracked = await self._register(draft, person, delivery, plan, now)
        if tracked != plan.purposes:  # a grant ended since it was read
            plan = draft.plan(survey, tracked) if tracked else None
            if plan is None:
                raise _Untouched(Reason.NO_GRANT, cleared=Purpose.OPEN not in tracked)
        return _Tracked(plan, survey.links_found, delivery)

    def _answer(self, draft: Draft, person: _Person, fate: _Tracked | _AsItCame, now: datetime) -> Answer:
        """The copy for PERSON, written down only now: a batch holds one at a time."""
        if isinstance(fate, _Tracked):
            try:
                nonce = self._random_bytes(STOP_NONCE_SIZE)
                return Answer(
                    draft.rendered(fate.plan, person.recipient, fate.delivery, now, nonce),
                    None,
                    purposes=fate.plan.purposes,
                    links_tracked=fate.plan.links_tracked,
                    links_found=fate.links_found,
                    left=fate.plan.left,
                    message_key=draft.key,
                    foreign=draft.foreign,
                    pixels_removed=fate.plan.pixels_removed,
                    delivery=fate.delivery,
                    signatures_removed=draft.signatures_removed,
                )
            except Exception:
                self._log(draft, "a copy could not be written and left untouched")
                fate = _AsItCame(Reason.ERROR)
        today = day_of(now)
        if self._counted.is_news(draft.delivery(person.recipient, today), today):
            campaign = draft.envelope.campaign is not None
            self._store.count_untouched(UntouchedCopy(draft.owner, today, fate.reason, draft.key, campaign))
        return self._untracked(draft, fate)

    def _untracked(self, draft: Draft, fate: _AsItCame) -> Answer:
        """The copy as it came, or without other people's pixels."""
        if fate.cleared and self._policy.remove_pixels and not self._policy.observe:
            try:
                removed = draft.removable
                if removed:
                    cleared = draft.without_pixels
                    return Answer(cleared, fate.reason, foreign=draft.foreign, pixels_removed=removed)
            except Exception:
                self._log(draft, "other people's pixels could not be removed")
        return Answer(draft.message, fate.reason, foreign=draft.foreign)

    async def _look_for_pixels(self, draft: Draft) -> None:
        """Survey a message that nobody agreed to have tracked, if it is of use; a failure leaves it as it is."""
        if self._policy.remove_pixels or self._policy.observe:
            try:
                await draft.survey()
            except Exception:
                self._log(draft, "a message could not be searched for other people's pixels")

    async def _close_quoted(self, draft: Draft, person: _Person, now: datetime) -> None:
        """Close the deliveries that this message quotes: from now on other people's devices load them."""
        quoted = await draft.quoted()
        if quoted:
            await draft.closing.close(self._store, quoted, person.recipient, now)

    async def _close_untracked(self, draft: Draft, person: _Person, now: datetime) -> None:
        """The same for a copy that leaves as it came; a failure does not change what becomes of it."""
        try:
            await self._close_quoted(draft, person, now)
        except StoreUnavailable:
            log.warning("what a message quotes could not be closed: the store is away")
        except Exception:
            self._log(draft, "what a message quotes could not be closed")

    async def _register(
        self,
        draft: Draft,
        person: _Person,
        delivery: DeliveryRef,
        plan: Plan,
        now: datetime,
    ) -> frozenset[Purpose]:
        return await self._store.register(
            Registration(
                recipient=person.recipient,
                delivery=delivery.delivery,
                last_day=delivery.last_day,
                sent_hour=hour_of(now),
                message=draft.key,
                owner=draft.owner,
                label=draft.envelope.label,
                links=plan.links,
                purposes=plan.purposes,
                source=draft.envelope.source,
                reference=person.reference,
                left=plan.left,
            ),
            day_of(now),
        )

    def _log(self, draft: Draft, what: str) -> None:
        if not draft.fault_logged:  # once is enough, however many copies there are
            draft.fault_logged = True
            log.exception(what)


async def _persons(people: Sequence[Addressee], tokens: Tokens) -> list[_Person]:
    """PEOPLE by pseudonym; raises as `Sender.batch` says."""
    persons = []
    for number, one in enumerate(people):
        if number % CHUNK == CHUNK - 1:
            await asyncio.sleep(0)  # others have their turn
        try:
            address = normalise(one.address)
        except InvalidAddress:
            raise InvalidAddress(f"recipients.{number}.address") from None
        if one.reference is not None:
            check_reference(one.reference, f"recipients.{number}.reference", address)
        persons.append(_Person(pseudonym(tokens.ring.pseudonym_keys, address), one.reference, address))
    return persons


async def _unnamed(envelope: Envelope, persons: Sequence[_Person]) -> Envelope:
    """ENVELOPE without its label if that names one of PERSONS in whatever way."""
    if envelope.label is None:
        return envelope
    said = read([envelope.label])
    for number, person in enumerate(persons):
        if number % CHUNK == CHUNK - 1:
            await asyncio.sleep(0)
        if Traces(person.address).shown(said):
            return replace(envelope, label=None)
    return envelope


def _checked(envelope: Envelope) -> Envelope:
    """ENVELOPE with its label free of addresses (promise 7). Raises InvalidField."""
    if envelope.campaign is not None and not 1 <= len(envelope.campaign) <= LONGEST_LABEL:
        raise InvalidField(f"Tracker-Campaign: 1 to {LONGEST_LABEL} characters")
    if envelope.label is None:
        return envelope
    return replace(envelope, label=mask_addresses(envelope.label)[:LONGEST_LABEL] or None)
