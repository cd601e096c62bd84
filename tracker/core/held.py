"""What is held about one person, as frozen values: the answer to "what do you know about me?" (GDPR Art. 15)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tracker.model import Agent, Day, Hour, LedgerContent, Purpose, Standing


@dataclass(frozen=True, slots=True)
class HeldDelivery:
    """A measured message that was sent to the person."""

    label: str | None
    sent: Hour
    measured: frozenset[Purpose]
    """The purposes for which events may still hang on it."""
    last_day: Day


@dataclass(frozen=True, slots=True)
class HeldEvent:
    """That a message was opened or a link in it followed."""

    label: str | None
    purpose: Purpose
    hour: Hour
    agent: Agent
    host: str | None
    """Of the link's target, with its path; None for an open."""
    path: str | None
    last_day: Day


@dataclass(frozen=True, slots=True)
class HeldReference:
    """What a mail system calls the person."""

    source: str
    reference: str
    last_day: Day


@dataclass(frozen=True, slots=True)
class HeldCall:
    """A call with the person, as a rep reported it."""

    rep: str
    started_at: datetime
    seconds: int | None
    call_again: bool | None
    tracking_agreed: bool | None
    last_day: Day


@dataclass(frozen=True, slots=True)
class HeldMailing:
    """That we mailed the person ourselves on a day, and how often."""

    kind: str
    day: Day
    count: int
    last_day: Day


@dataclass(frozen=True, slots=True)
class Held:
    """Everything that is held about one person, oldest first; nothing of it is past its last day."""

    standing: Standing = Standing()  # noqa: RUF009 - frozen, may be shared
    history: tuple[LedgerContent, ...] = ()
    deliveries: tuple[HeldDelivery, ...] = ()
    events: tuple[HeldEvent, ...] = ()
    references: tuple[HeldReference, ...] = ()
    calls: tuple[HeldCall, ...] = ()
    mailings: tuple[HeldMailing, ...] = ()

    @property
    def is_only_lawful_rest(self) -> bool:
        """Whether nothing is left but what erasing leaves: the refusals and the proof (GDPR Art. 17(3))."""
        erasable = (self.deliveries, self.events, self.references, self.calls, self.mailings)
        return not any(erasable) and not self.standing.grants and not self.standing.pending
