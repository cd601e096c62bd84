"""Tells what happens to one copy of a message: consent, survey, plan, register, render, out.

The law: without a live grant no byte changes, and whatever goes wrong the message comes back as it was.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from tracker.core.address import mask_addresses
from tracker.core.calendar import day_of, hour_of, later
from tracker.core.glance import glance
from tracker.core.identity import campaign_key, delivery_id, mail_key, owner_of
from tracker.core.layout import Plan, PlanUrls, lay_out, render
from tracker.core.notice import NoticeTexts
from tracker.core.pseudonym import normalise, pseudonym
from tracker.core.survey import Refused, Survey
from tracker.core.tokens import PLAN_SIZE, STOP_NONCE_SIZE, DeliveryToken, Tokens
from tracker.flows.consent import check_reference
from tracker.model import (
    Day,
    DeliveryId,
    DeliveryRef,
    Envelope,
    InvalidField,
    Language,
    Left,
    MessageKey,
    Owner,
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


@dataclass(frozen=True, slots=True)
class SendPolicy:
    """What the settings say about sending."""

    public_url: str
    max_message: int
    """Octets up to which a message is planned."""
    retention_days: int
    language: Language
    """Of the notice, where the caller names none."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One copy, ready to go. A reason means that it left as it came."""

    message: bytes
    reason: Reason | None
    purposes: frozenset[Purpose] = frozenset()
    links_tracked: int = 0
    links_found: int = 0
    left: Mapping[Left, int] = field(default_factory=dict)
    message_key: MessageKey | None = None


@dataclass(frozen=True, slots=True)
class _Copy:
    """One copy on its way through this flow."""

    envelope: Envelope
    message: bytes
    recipient: Pseudonym
    owner: Owner
    key: MessageKey
    now: datetime

    @property
    def today(self) -> Day:
        return day_of(self.now)


class _Untouched(Exception):
    """Ends the flow: the copy leaves as it came, for `reason`."""

    def __init__(self, reason: Reason) -> None:
        self.reason = reason


class Sender:
    """Rewrites copies for recipients who agreed."""

    def __init__(
        self,
        store: Store,
        tokens: Callable[[], Tokens],
        survey: Callable[[bytes], Awaitable[Survey | Refused]],
        random_bytes: Callable[[int], bytes],
        policy: SendPolicy,
    ) -> None:
        self._store = store
        self._tokens = tokens
        self._survey = survey
        self._random_bytes = random_bytes
        self._policy = policy

    async def rewrite(self, envelope: Envelope, message: bytes, now: datetime) -> Answer:
        """The copy of MESSAGE for the recipient of ENVELOPE.

        Raises:
            InvalidAddress, InvalidField, AddressInValue: the envelope is at fault; nothing was looked at.
        """
        tokens = self._tokens()
        recipient = pseudonym(tokens.ring.pseudonym_keys, normalise(envelope.recipient))
        envelope = _checked(envelope)
        copy = None
        try:
            copy = self._copy(envelope, message, recipient, tokens, now)
            return await self._track(copy, tokens)
        except _Untouched as end:
            reason = end.reason
        except StoreUnavailable:
            reason = Reason.STORE_UNAVAILABLE
        except Exception:
            log.exception("a message could not be rewritten and left untouched")
            reason = Reason.ERROR
        if copy is not None:
            self._count(copy, reason)
        return Answer(message, reason)

    async def _track(self, copy: _Copy, tokens: Tokens) -> Answer:
        if len(copy.message) > self._policy.max_message:
            raise _Untouched(Reason.TOO_LARGE)
        granted = await self._store.grants_of(copy.recipient, copy.today)
        if not granted:
            raise _Untouched(Reason.NO_GRANT)
        survey = await self._survey(copy.message)
        if isinstance(survey, Refused):
            raise _Untouched(survey.reason)
        if survey.foreign_sender:
            raise _Untouched(Reason.FOREIGN_SENDER)
        if survey.named_recipients > 1 and not copy.envelope.single:
            raise _Untouched(Reason.SEVERAL_RECIPIENTS)
        await self._close_quoted(copy, survey, tokens)

        signing = tokens.ring.signing_key(copy.now)
        plan_id = self._random_bytes(PLAN_SIZE)
        urls = PlanUrls(
            self._policy.public_url.encode(),
            {link.target: tokens.sign_link(signing.id, plan_id, link.target) for link in survey.links},
        )
        language = copy.envelope.language or self._policy.language
        texts = NoticeTexts(language)
        plan = lay_out(survey, granted, texts, urls)
        if plan is None:
            raise _Untouched(Reason.NOTHING_TO_TRACK)
        delivery = delivery_id(tokens.ring.digest_keys.delivery, copy.message, copy.recipient, copy.today)
        tracked = await self._register(copy, delivery, survey, plan)
        if tracked != plan.purposes:  # a grant ended since it was read
            plan = lay_out(survey, tracked, texts, urls) if tracked else None
            if plan is None:
                raise _Untouched(Reason.NO_GRANT)

        token = DeliveryToken(
            last_day=self._last_day(copy.today),
            delivery=delivery,
            plan=plan_id,
            message_digest=tokens.message_digest(survey.identity),
            issued=copy.now,
            key_id=signing.id,
        )
        stop = tokens.seal_stop(copy.recipient, language, self._random_bytes(STOP_NONCE_SIZE), signing.id)
        return Answer(
            render(plan, tokens.sign_delivery(token), stop),
            None,
            purposes=plan.purposes,
            links_tracked=plan.links_tracked,
            links_found=survey.links_found,
            left=plan.left,
            message_key=copy.key,
        )

    def _copy(self, envelope: Envelope, message: bytes, recipient: Pseudonym, tokens: Tokens, now: datetime) -> _Copy:
        head = glance(message)
        keys = tokens.ring.digest_keys
        owner = owner_of(keys.owner, envelope.owner or head.from_address or "")
        if envelope.campaign is not None:
            key = campaign_key(keys.message, owner, envelope.campaign)
        else:
            key = mail_key(keys.message, owner, head.identity)
        return _Copy(envelope, message, recipient, owner, key, now)

    async def _close_quoted(self, copy: _Copy, survey: Survey, tokens: Tokens) -> None:
        """Close the deliveries that this message quotes: from now on other people's devices load them.

        Raises _Untouched when a token was issued for this very message.
        """
        read = [token for token in map(tokens.read_delivery, survey.tracker_tokens) if token is not None]
        own = tokens.message_digest(survey.identity)
        if any(token.message_digest == own for token in read):
            raise _Untouched(Reason.ALREADY_TRACKED)
        if read:
            quoted = tuple({DeliveryRef(token.last_day, token.delivery) for token in read})
            await self._store.close_deliveries(quoted, copy.recipient, copy.today)

    async def _register(self, copy: _Copy, delivery: DeliveryId, survey: Survey, plan: Plan) -> frozenset[Purpose]:
        return await self._store.register(
            Registration(
                recipient=copy.recipient,
                delivery=delivery,
                last_day=self._last_day(copy.today),
                sent_hour=hour_of(copy.now),
                message=copy.key,
                owner=copy.owner,
                label=copy.envelope.label,
                links=tuple({link.report for link in survey.links}) if Purpose.CLICK in plan.purposes else (),
                purposes=plan.purposes,
                source=copy.envelope.source,
                reference=copy.envelope.reference,
            ),
            copy.today,
        )

    def _count(self, copy: _Copy, reason: Reason) -> None:
        campaign = copy.envelope.campaign is not None
        self._store.count_untouched(UntouchedCopy(copy.owner, copy.today, reason, copy.key, campaign))

    def _last_day(self, today: Day) -> Day:
        return later(today, self._policy.retention_days)


def _checked(envelope: Envelope) -> Envelope:
    """ENVELOPE with its label free of addresses (promise 7); raises what `check_reference` raises."""
    if envelope.reference is not None:
        check_reference(envelope.reference, "Tracker-Reference")
    if envelope.campaign is not None and not 1 <= len(envelope.campaign) <= LONGEST_LABEL:
        raise InvalidField(f"Tracker-Campaign: 1 to {LONGEST_LABEL} characters")
    if envelope.label is None:
        return envelope
    return replace(envelope, label=mask_addresses(envelope.label)[:LONGEST_LABEL] or None)
