"""Holds what a controller must say about itself and its processing (GDPR Art. 13 and 30), and says what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

from tracker.core.consent import ConsentPolicy, suppression_last_day
from tracker.core.periods import AUDIT_DAYS, OPEN_DAYS, PROOF_OF_CALLS, SIX_MONTHS, TELL_DAYS
from tracker.model import Day, IncompleteNotice, Language

NONE: Final = "none"
"""What a controller writes who has no data protection officer, or sends nothing to third countries."""


@dataclass(frozen=True, slots=True)
class Wording:
    """A controller's own words: one text for every reader, or a text for each of some languages."""

    texts: tuple[tuple[Language | None, str], ...]
    """Either one text of no language in particular, or texts by language."""

    def read_in(self, language: Language, usual: Language) -> tuple[str, Language]:
        """The text for readers of LANGUAGE and the language it is in; USUAL is that of the installation."""
        known: Mapping[Language | None, str] = dict(self.texts)
        for candidate in (language, usual):
            if candidate in known:
                return known[candidate], candidate
        first, text = self.texts[0]
        return text, usual if first is None else first

    @property
    def says_none(self) -> bool:
        """Whether it says that there is nothing to tell."""
        return all(text.lower() == NONE for _, text in self.texts)

    def __str__(self) -> str:
        return "; ".join(text if language is None else f"{language}: {text}" for language, text in self.texts)


@dataclass(frozen=True, slots=True)
class Periods:
    """For how many days what is kept: from the settings, and what no setting changes."""

    retention_days: int
    consent_days: int
    pending_days: int
    proof_days: int
    backup_days: int
    erased_days: int = TELL_DAYS
    calls_days: int = PROOF_OF_CALLS * 365
    """Told as years, and meant as such."""
    mailings_days: int = SIX_MONTHS
    audit_days: int = AUDIT_DAYS
    invitations_days: int = OPEN_DAYS + SIX_MONTHS

    @property
    def refusals_days(self) -> int:
        """For how long a no holds."""
        return refusals_days(self.proof_days)


def refusals_days(proof_days: int) -> int:
    """For how many days a no holds at least, where its proof is kept for PROOF_DAYS."""
    return suppression_last_day(Day(0), ConsentPolicy(proof_days=proof_days))


@dataclass(frozen=True, slots=True)
class Disclosure:
    """What the notice, the record of processing and a receipt say of the controller; None: not told yet.

    The fields are called as the settings are.
    """

    controller: str
    contact: str
    public_url: str
    language: Language
    periods: Periods
    controller_address: str | None = None
    data_protection_officer: str | None = None
    supervisory_authority: str | None = None
    purposes: Wording | None = None
    data_recipients: Wording | None = None
    hosting: Wording | None = None
    transfers: Wording | None = None
    told_system: str = ""
    """What the system that webhooks tell is called; empty: none is told."""

    @property
    def has_officer(self) -> bool:
        """Whether there is a data protection officer."""
        return (self.data_protection_officer or NONE).lower() != NONE

    def missing(self) -> tuple[str, ...]:
        """The settings without which neither the notice nor the record of processing is complete."""
        return tuple(field.name for field in fields(self) if getattr(self, field.name) is None)

    def check(self) -> None:
        """Raise IncompleteNotice, which names them, while settings are missing."""
        if missing := self.missing():
            raise IncompleteNotice(f"not set: {', '.join(missing)}")
