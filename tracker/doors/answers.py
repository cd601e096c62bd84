"""The JSON that the API answers with, field by field, for its description; tests hold the real answers against it."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tracker.model import ConsentState, Language, LedgerEvent, Left, Method, Purpose, Reason

Counted = Annotated[int, Field(ge=0)]
MailPurpose = Literal[Purpose.OPEN, Purpose.CLICK]
MessageId = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]


class Answer(BaseModel):
    """A JSON object."""

    model_config = ConfigDict(extra="forbid")


class Problem(BaseModel):
    """An error (RFC 9457). It quotes nothing of what was sent."""

    type: str = Field(description="`urn:tracker:problem:` and a word for what it is.")
    title: str
    status: int
    detail: str | None = Field(None, description="Which field, header or scope.")
    meaning: str = Field(description="What it means for mail or data.")
    remedy: str = Field(description="What to do.")


class Recorded(Answer):
    """What became of an answer."""

    state: ConsentState
    until: date | None


class ConsentAnswer(Recorded):
    """What became of a reported consent; `phone` of what a call said about further calls, beside mail."""

    phone: Recorded | None = None


class LineAnswer(Answer):
    """What became of a line: a state, or a problem."""

    line: int
    state: ConsentState | None = None
    until: date | None = None
    phone: Recorded | None = None
    type: str | None = None
    status: int | None = None
    title: str | None = None
    detail: str | None = None


class GrantAnswer(Answer):
    """A consent in force."""

    purpose: Purpose
    given_at: datetime
    notice_version: str
    until: date


class PendingAnswer(Answer):
    """A report that the person has not confirmed."""

    purpose: Purpose
    method: Method
    until: date


class SuppressedAnswer(Answer):
    """A no."""

    purpose: Purpose
    until: date


class EntryAnswer(Answer):
    """An entry of the ledger."""

    entry: int
    event: LedgerEvent
    purposes: list[Purpose]
    at: datetime
    actor: str
    method: Method | None = None
    given_at: datetime | None = None
    notice_version: str | None = None
    notice_hash: str | None = None
    language: Language | None = None
    evidence: dict[str, Any]


class LookupAnswer(Answer):
    """Where a person stands, and how it came about."""

    grants: list[GrantAnswer]
    pending: list[PendingAnswer]
    suppressed: list[SuppressedAnswer]
    history: list[EntryAnswer]


class WithdrawnAnswer(Answer):
    """The no is recorded."""

    state: Literal["withdrawn"]
    purposes: list[Purpose]


class InvitationAnswer(Answer):
    """A link with which a sender may ask."""

    url: str
    expires_at: datetime


class ChangeAnswer(Answer):
    """What became of somebody's consent."""

    reference: str
    event: LedgerEvent
    purposes: list[Purpose] | None = None
    at: datetime | None = None
    until: date | None = None


class ChangesAnswer(Answer):
    """A page of changes."""

    changes: list[ChangeAnswer]
    next: str
    more: bool


class SubjectAnswer(Answer):
    """All that is held about a person."""

    format: str
    made_at: datetime
    about: dict[str, Any]
    standing: list[dict[str, Any]]
    messages: list[dict[str, Any]]
    events: list[dict[str, Any]]
    references: list[dict[str, Any]]
    calls: list[dict[str, Any]]
    mailings: list[dict[str, Any]]
    history: list[dict[str, Any]]
    notices: list[dict[str, Any]]


class ErasedAnswer(Answer):
    """The person is erased; `news` is false when there was nothing any more."""

    state: Literal["erased"]
    news: bool


class LinkAnswer(Answer):
    """Clicks on a link, in distinct copies."""

    host: str
    path: str
    people: Counted
    machines: Counted = Field(description="Copies in which only machines followed it.")


class MessageAnswer(Answer):
    """What became of a message; counts are of distinct copies. Who withdrew is on neither side of a rate."""

    id: MessageId
    label: str | None
    references: list[str] = Field(description="What this key's system calls those who got it, where they are few.")
    first_sent: datetime
    last_sent: datetime
    last_engaged: datetime | None = Field(description="The last hour in which a person opened or clicked.")
    sent: Counted
    tracked: Counted = Field(description="Copies that left tracked, also to those who withdrew since.")
    measured: Counted = Field(description="Copies of which anything could be measured: the base of `engaged`.")
    measurable: dict[MailPurpose, Counted] = Field(description="The bases of `opened` and of `clicked`.")
    opened: Counted = Field(description="Copies whose image a person's mail program loaded. Not: that were read.")
    opened_by_machines_only: Counted
    clicked: Counted
    clicked_by_machines_only: Counted
    engaged: Counted = Field(description="Copies that a person opened or clicked.")
    machines_only: Counted = Field(description="Copies that only machines touched.")
    links: list[LinkAnswer]
    left: dict[Left, Counted] = Field(description="Links that stayed as they were, by reason.")
    untouched: dict[Reason, Counted] = Field(description="Copies that could not be measured, by reason.")


class MomentAnswer(Answer):
    """What happened in an hour; in a day where there is more than three days to tell of."""

    begin: datetime = Field(alias="from")
    opened: Counted
    clicked: Counted
    machines: Counted


class OneMessageAnswer(MessageAnswer):
    """A message with its timeline."""

    timeline: list[MomentAnswer]


class MessagesAnswer(Answer):
    """A page of messages; all of them, with `format=json`, which has no `next`."""

    messages: list[MessageAnswer]
    next: str | None = None


class EngagementAnswer(Answer):
    """One person and one message."""

    id: MessageId
    label: str | None
    sent: datetime
    measurable: list[MailPurpose]
    opened: datetime | None
    clicked: datetime | None
    machines: bool
    links: list[LinkAnswer]


class PersonAnswer(Answer):
    """What one person did."""

    purposes: list[Purpose]
    messages: list[EngagementAnswer]


class RecipientsAnswer(Answer):
    """In the order of the question; null for a reference that this key never gave."""

    recipients: list[PersonAnswer | None]


class CopyAnswer(Answer):
    """One copy of a batch."""

    address: str
    outcome: Literal["tracked", "untouched"]
    reason: Reason | None = None
    removed: int | None = None
    message: str = Field(description="Base64.")


class HealthAnswer(Answer):
    """Whether mail would be tracked just now."""

    status: str
    trouble: dict[str, str] | None = None
