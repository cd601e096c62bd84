"""Says what the law wants told: fills the privacy notice and the record of processing from settings and inventory.

The law: neither is made while a setting that it needs is missing, and no period and no column stands in a template.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

from babel.dates import format_date
from markupsafe import Markup

from tracker.core.disclosure import Disclosure, Wording
from tracker.core.inventory import About, Category, about
from tracker.doors.languages import period
from tracker.doors.pages import Pages
from tracker.model import Language

BASES: Final = (
    "Opens and clicks, each by itself: consent (GDPR Art. 6(1)(a); for what is stored on or read from the device, the "
    "national law after Art. 5(3) of Directive 2002/58/EC, in Germany section 25(1) TDDDG).",
    "That measured messages were sent, also after a withdrawal, until their period ends: our legitimate interest in "
    "being able to show which messages were measured, and in counting what was sent (GDPR Art. 6(1)(f)).",
    "Proof of what was agreed to or refused, and heeding a no: the duty to be able to show it (GDPR Art. 6(1)(c) with "
    "Art. 5(2) and 7).",
    "Telephone calls: proof of the consent to them (GDPR Art. 6(1)(c), in Germany with section 7a UWG); otherwise our "
    "legitimate interest in knowing who may be called (Art. 6(1)(f)).",
    "Links that we mailed, and requests about your rights: the duty to ask and to answer in a way that can be shown "
    "(GDPR Art. 6(1)(c) with Art. 7(1), 12 and 15 to 17), and our legitimate interest in asking nobody too often "
    "(Art. 6(1)(f)).",
)
STAFF_BASIS: Final = (
    "Data of staff: the employment, and our legitimate interest in a service that is safe and can be checked (GDPR "
    "Art. 6(1)(b) and (f), Art. 32). Check whether the works council has a say; in Germany section 87(1) no. 6 BetrVG."
)


@dataclass(frozen=True, slots=True)
class Told:
    """A category of data in the reader's language."""

    says: str
    kept: str
    fields: tuple[str, ...]
    """Table and column of each."""


class Statements:
    """The notice and the record of one installation. Both raise IncompleteNotice while settings are missing."""

    def __init__(self, pages: Pages, disclosure: Disclosure) -> None:
        self._pages = pages
        self._disclosure = disclosure

    def notice(self, language: Language) -> dict[str, object]:
        """The values of notice.html."""
        return self._values(language)

    def record(self, language: Language, today: date) -> dict[str, object]:
        """The values of art30.html."""
        return {
            **self._values(language),
            "staff_basis": self._pages.languages.text(language, STAFF_BASIS),
            "staff_data": self._categories(About.STAFF, language),
            "date": format_date(today, "long", locale=language.value),
        }

    def _values(self, language: Language) -> dict[str, object]:
        told = self._disclosure
        told.check()
        base = told.public_url
        return {
            "told": told,
            "purposes": self._own_words(told.purposes, language),
            "recipients": self._own_words(told.data_recipients, language),
            "hosting": self._own_words(told.hosting, language),
            "transfers": self._own_words(told.transfers, language),
            "bases": [self._pages.languages.text(language, basis) for basis in BASES],
            "recipients_data": self._categories(About.RECIPIENT, language),
            "privacy_page": Markup('<a href="{0}">{0}</a>').format(f"{base}/privacy"),
            "server": base.partition("://")[2],
        }

    def _own_words(self, words: Wording | None, language: Language) -> Markup | None:
        """What the controller wrote, marked where it is in another language; None where there is nothing to tell."""
        if words is None or words.says_none:
            return None
        text, written_in = words.read_in(language, self._disclosure.language)
        if written_in is language:
            return Markup.escape(text)
        return Markup('<span lang="{}">{}</span>').format(written_in.value, text)

    def _categories(self, whom: About, language: Language) -> list[Told]:
        return [self._told(category, language) for category in about(whom)]

    def _told(self, category: Category, language: Language) -> Told:
        text = self._pages.languages.text
        periods = self._disclosure.periods
        days = {
            "retention": periods.retention_days,
            "consent": periods.consent_days,
            "pending": periods.pending_days,
            "proof": periods.proof_days,
            "backup": periods.backup_days,
            "erased": periods.erased_days,
            "calls": periods.calls_days,
            "mailings": periods.mailings_days,
            "audit": periods.audit_days,
            "invitations": periods.invitations_days,
            "refusals": periods.refusals_days,
        }
        kept = text(language, category.kept) % {name: period(number, language) for name, number in days.items()}
        fields = tuple(f"{table}.{column}" for table, columns in category.columns.items() for column in columns.split())
        return Told(text(language, category.says), kept, fields)
