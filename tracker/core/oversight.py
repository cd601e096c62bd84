"""What a privacy officer sees of consents, the audit trail and deletion, as frozen values: no person, no engagement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tracker.model import Day, LedgerEvent, Purpose, Reason


@dataclass(frozen=True, slots=True)
class ConsentState:
    """Where all people together stand."""

    live: Mapping[Purpose, int] = field(default_factory=dict)
    pending: Mapping[Purpose, int] = field(default_factory=dict)
    suppressed: Mapping[Purpose, int] = field(default_factory=dict)
    days: Mapping[Day, Mapping[LedgerEvent, int]] = field(default_factory=dict)
    """What was recorded on each of the last days, newest first; a day without anything is not there."""
    tracked: int = 0
    """Copies of messages that could be measured, as far back as copies are remembered."""
    untouched: Mapping[Reason, int] = field(default_factory=dict)
    """Copies that went out as they came in the same time, most first."""

    @property
    def sent(self) -> int:
        """Copies that went out, measurable or not."""
        return self.tracked + sum(self.untouched.values())


@dataclass(frozen=True, slots=True)
class AuditLine:
    """Who did what, and when."""

    id: int
    at: datetime
    actor: str
    """An API key's name, `cli`, or `user:` with the number of an account."""
    action: str
    case: str | None


@dataclass(frozen=True, slots=True)
class Deletion:
    """What went because its last day had passed, and what should have gone."""

    overdue: Mapping[str, int] = field(default_factory=dict)
    """Table → rows past their day; only those that have some."""
    days: Mapping[Day, Mapping[str, int]] = field(default_factory=dict)
    """Day of deletion → table → rows, newest first; a day on which nothing was due has an empty entry."""
