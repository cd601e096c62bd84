"""One message on its way to one recipient or to many: surveyed once, laid out once for each set of purposes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

from tracker.core.calendar import day_of
from tracker.core.glance import glance
from tracker.core.identity import campaign_key, delivery_id, mail_key, owner_of
from tracker.core.layout import Plan, PlanUrls, lay_out, render, without_pixels
from tracker.core.notice import NoticeTexts
from tracker.core.survey import Refused, Survey
from tracker.core.tokens import DeliveryToken, Tokens
from tracker.core.traces import Reading, Traces, read
from tracker.model import (
    Day,
    DeliveryId,
    DeliveryRef,
    Envelope,
    Language,
    Left,
    Pseudonym,
    Purpose,
    Reason,
    StoreUnavailable,
)
from tracker.store.store import Store


@dataclass(frozen=True, slots=True)
class Seal:
    """What the copies of one call are signed with."""

    tokens: Tokens
    key_id: str
    plan: bytes
    """The random id that binds link parts to the copies of this call."""
    public_url: str
    language: Language


class Draft:
    """A message, and what its copies have in common."""

    def __init__(
        self,
        message: bytes,
        envelope: Envelope,
        seal: Seal,
        look: Callable[[], Awaitable[Survey | Refused]],
        search: Callable[[], Awaitable[frozenset[str]]],
        digest: bytes,
        signatures_removed: int = 0,
    ) -> None:
        """LOOK surveys MESSAGE without so many of our own DKIM signatures; DIGEST is `digest_of` all of it.

        SEARCH finds all tokens in it. ENVELOPE is that of any copy.
        """
        self.message = message
        self.signatures_removed = signatures_removed
        self._message_digest = digest
        self.envelope = envelope
        self.closing = Closing()
        self.fault_logged = False
        self._seal = seal
        self._look = look
        self._search = search
        self._lock = asyncio.Lock()
        self._survey: Survey | Refused | None = None
        self._found: frozenset[str] | None = None
        self._plans: dict[frozenset[Purpose], Plan | None] = {}
        self._signed: PlanUrls | None = None
        self._targets: dict[str, Reading] | None = None
        keys = seal.tokens.ring.digest_keys
        self.head = glance(message)
        self.owner = owner_of(keys.owner, envelope.owner or self.head.from_address or "")
        if envelope.campaign is not None:
            self.key = campaign_key(keys.message, self.owner, envelope.campaign)
        else:
            self.key = mail_key(keys.message, self.owner, self.head.identity)

    async def survey(self) -> Survey | Refused:
        """What there is to track. A look that failed is not repeated for the next copy: then ERROR."""
        async with self._lock:
            if self._survey is None:
                try:
                    self._survey = await self._look()
                except Exception:
                    self._survey = Refused(Reason.ERROR)
                    raise
            return self._survey

    @property
    def foreign(self) -> Mapping[str, int]:
        """Other people's trackers, by kind; none are known before the message was surveyed."""
        return self._survey.foreign if isinstance(self._survey, Survey) else {}

    @property
    def removable(self) -> int:
        """How many of other people's pixels come out of copies for people who have not agreed to opens."""
        survey = self._survey
        if not isinstance(survey, Survey) or survey.foreign_sender or self.names_several(survey):
            return 0
        return sum(len(body.pixels) for body in survey.bodies)

    @cached_property
    def without_pixels(self) -> bytes:
        """The message without those."""
        return without_pixels(self._survey) if isinstance(self._survey, Survey) else self.message

    def names_several(self, survey: Survey) -> bool:
        """Whether this copy may go to several people."""
        return survey.named_recipients > 1 and not self.envelope.single

    @property
    def is_tracked(self) -> bool:
        """Whether a token that the survey saw was issued for this very message."""
        tokens = self._seal.tokens
        read = map(tokens.read_delivery, self._survey.tracker_tokens if isinstance(self._survey, Survey) else ())
        return any(token is not None and token.message_digest == self._digest for token in read)

    async def quoted(self) -> frozenset[DeliveryRef]:
        """The deliveries of other messages that this one quotes.

        An answer or a forward is searched; of other messages it is known only once they were surveyed.
        """
        found = set(self._survey.tracker_tokens) if isinstance(self._survey, Survey) else set()
        if self.head.quotes:
            async with self._lock:
                if self._found is None:
                    self._found = await self._search()
            found |= self._found
        read = [token for token in map(self._seal.tokens.read_delivery, found) if token is not None]
        return frozenset(
            DeliveryRef(token.last_day, token.delivery) for token in read if token.message_digest != self._digest
        )

    def survey_for(self, survey: Survey, address: str) -> Survey:
        """SURVEY without links that name the (normalised) ADDRESS of a recipient; nearly always SURVEY itself."""
        traces = Traces(address)
        if not traces.shown(survey.said):
            return survey
        if self._targets is None:
            self._targets = {link.target: read([link.target]) for link in survey.links}
        return _without(survey, frozenset(target for target, said in self._targets.items() if traces.shown(said)))

    def plan(self, survey: Survey, purposes: frozenset[Purpose]) -> Plan | None:
        """The plan for copies that track PURPOSES; None where there is nothing to track for them.

        It is kept for other copies, unless SURVEY is one recipient's own.
        """
        if survey is not self._survey:
            return self._laid_out(survey, purposes)
        if purposes not in self._plans:
            self._plans[purposes] = self._laid_out(survey, purposes)
        return self._plans[purposes]

    def delivery(self, recipient: Pseudonym, today: Day) -> DeliveryId:
        """The id of the copy for RECIPIENT."""
        return delivery_id(self._seal.tokens.ring.digest_keys.delivery, self._message_digest, recipient, today)

    def rendered(
        self, plan: Plan, recipient: Pseudonym, delivery: DeliveryRef, issued: datetime, nonce: bytes
    ) -> bytes:
        """The copy of PLAN for RECIPIENT; NONCE: 12 random octets."""
        seal = self._seal
        token = DeliveryToken(
            last_day=delivery.last_day,
            delivery=delivery.delivery,
            plan=seal.plan,
            message_digest=self._digest,
            issued=int(issued.timestamp()),
            key_id=seal.key_id,
        )
        stop = seal.tokens.seal_stop(recipient, seal.language, nonce, seal.key_id)
        return render(plan, seal.tokens.sign_delivery(token), stop)

    @cached_property
    def _digest(self) -> bytes:
        """By which the message knows its own tokens."""
        return self._seal.tokens.message_digest(self.head.identity)

    def _laid_out(self, survey: Survey, purposes: frozenset[Purpose]) -> Plan | None:
        common = self._survey if isinstance(self._survey, Survey) else survey
        return lay_out(survey, purposes, NoticeTexts(self._seal.language), self._urls(common))

    def _urls(self, survey: Survey) -> PlanUrls:
        if self._signed is None:
            seal = self._seal
            targets = dict.fromkeys(link.target for link in survey.links)
            parts = {target: seal.tokens.sign_link(seal.key_id, seal.plan, target) for target in targets}
            self._signed = PlanUrls(seal.public_url.encode(), parts)
        return self._signed


def _without(survey: Survey, targets: frozenset[str]) -> Survey:
    """SURVEY with the links to TARGETS left alone, since an address is in them."""
    links = tuple(link for link in survey.links if link.target not in targets)
    bodies = tuple(
        replace(body, links=tuple(link for link in body.links if link.target not in targets)) for body in survey.bodies
    )
    text = survey.text
    if text is not None:
        text = replace(text, links=tuple(link for link in text.links if link.target not in targets))
    dropped = len(survey.links) - len(links)
    left = {**survey.left, Left.ADDRESS_IN_TARGET: survey.left.get(Left.ADDRESS_IN_TARGET, 0) + dropped}
    return replace(survey, links=links, bodies=bodies, text=text, left=left if dropped else survey.left)


class Closing:
    """Closes what one message quotes, on behalf of all its copies.

    Two recipients are enough: at least one of them is not the person whom a quoted delivery went to.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._done: dict[frozenset[DeliveryRef], set[Pseudonym]] = {}
        self._failed_at: datetime | None = None

    async def close(self, store: Store, refs: frozenset[DeliveryRef], recipient: Pseudonym, now: datetime) -> None:
        """Close REFS, since a copy goes to RECIPIENT.

        Raises StoreUnavailable, for all others at the same NOW too: they do not wait for the store one by one.
        """
        async with self._lock:
            done = self._done.setdefault(refs, set())
            if recipient in done or len(done) > 1:
                return
            if self._failed_at == now:
                raise StoreUnavailable
            try:
                await store.close_deliveries(tuple(refs), recipient, day_of(now))
            except StoreUnavailable:
                self._failed_at = now
                raise
            done.add(recipient)
