"""Writes the report that may go into the answer to a person who asked to be forgotten, in the person's language."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Final

from babel.dates import format_date
from babel.numbers import format_decimal

from tracker.core.calendar import date_of, day_of
from tracker.doors.languages import Languages, period
from tracker.doors.pages import Site
from tracker.flows.forgotten import Kind, Proof, Searched
from tracker.model import Day, Language, Purpose

WIDTH: Final = 78


def report(proof: Proof, site: Site, backup_days: int, languages: Languages, language: Language) -> str:
    """PROOF in plain text, in lines of at most 78 characters. It does not name the address."""
    return _Report(proof, site, backup_days, languages, language).text()


class _Report:
    def __init__(self, proof: Proof, site: Site, backup_days: int, languages: Languages, language: Language) -> None:
        self._proof = proof
        self._site = site
        self._backup_days = backup_days
        self._languages = languages
        self._language = language

    def text(self) -> str:
        proof, said = self._proof, self._said
        title = said("What is left of your data at %(controller)s", controller=self._site.controller)
        date = self._date(day_of(proof.at))
        parts = [
            f"{title}\n{'=' * len(title)}",
            _filled(said("Report of %(date)s.", date=date)),
            _filled(
                said(
                    "We searched for the e-mail address that you gave us, and for the code under which this tracker "
                    "keeps its data, in %(count)s ways of writing (in clear, percent-encoded, hexadecimal, base64, "
                    "digests and others), octet by octet, in these files:",
                    count=self._number(proof.spellings),
                )
            ),
            "\n".join(self._places()),
            *map(_filled, self._address()),
            *map(_filled, self._code()),
            *self._held(),
            _filled(self._vacuum()),
            _filled(
                said(
                    "Backups may hold what was deleted for up to %(period)s. They hold no address, and not the key "
                    "without which nobody can tell whose data they are.",
                    period=period(self._backup_days, self._language),
                )
            ),
            _filled(said("Questions: %(contact)s", contact=self._site.contact)),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"

    def _places(self) -> Iterator[str]:
        kinds = {
            Kind.DATABASE: self._said("database"),
            Kind.JOURNAL: self._said("journal"),
            Kind.LOG: self._said("log"),
        }
        for one in self._proof.searched:
            size = self._said("%(count)s octets", count=self._number(one.octets))
            yield f"  - {one.name} ({kinds[one.kind]}, {size})"

    def _address(self) -> Iterator[str]:
        found = [one for one in self._proof.searched if one.address]
        if not found:
            yield self._said("Your address was found nowhere.")
        if self._proof.of_staff:
            yield self._said(
                "It stands in the database as that of somebody who signs in to this tracker as one of our staff, and "
                "goes with that account; that is why we searched the database for its other ways of writing only."
            )
        for one in found:
            yield self._said(
                "Your address was found in %(file)s (%(spelling)s). It must not be there; we are looking into it.",
                file=one.name,
                spelling=", ".join(one.address),
            )
        for one in self._proof.searched:
            if one.unreadable:
                yield self._said("%(file)s could not be read to its end.", file=one.name)

    def _code(self) -> Iterator[str]:
        found = [one for one in self._proof.searched if one.code]
        if not found:
            yield self._said("The code was found nowhere.")
        for one in found:
            yield self._explained(one)

    def _explained(self, one: Searched) -> str:
        held = self._proof.held
        if one.kind is Kind.JOURNAL:
            return self._said(
                "The code stands in %(file)s: that you said no is kept there for up to %(period)s, so that a backup "
                "that is put back cannot undo it.",
                file=one.name,
                period=period(self._backup_days, self._language),
            )
        if one.kind is Kind.DATABASE and (held.standing.suppressed or held.history):
            return self._said("The code stands in %(file)s because of what is still kept, see below.", file=one.name)
        if one.kind is Kind.DATABASE and not self._site.own_file:
            return self._said(
                "The code was found in %(file)s although nothing is kept under it any more: a row that waits to be "
                "cleared away.",
                file=one.name,
            )
        if one.kind is Kind.DATABASE:
            return self._said(
                "The code was found in %(file)s although nothing is kept under it any more: a row that waits to be "
                "cleared away, or a fragment of one, goes when the database is rewritten next.",
                file=one.name,
            )
        return self._said(
            "The code was found in %(file)s. It must not be there; we are looking into it.", file=one.name
        )

    def _held(self) -> Iterator[str]:
        held, said = self._proof.held, self._said
        if not held.is_only_lawful_rest:
            yield _filled(said("You have not been erased: more than the law asks for is still kept about you."))
        kept = []
        names = {
            Purpose.OPEN: said("that you do not want opens to be measured: until %(date)s"),
            Purpose.CLICK: said("that you do not want clicks to be measured: until %(date)s"),
            Purpose.PHONE: said("that you do not want to be called: until %(date)s"),
        }
        for purpose, last_day in sorted(held.standing.suppressed.items()):
            kept.append(names[purpose] % {"date": self._date(last_day)})
        if held.history:
            until = self._date(max(entry.last_day for entry in held.history))
            kept.append(
                said("the proof of what you agreed to, refused or took back, without your address: until %(date)s")
                % {"date": until}
            )
        if kept:
            lines = (textwrap.fill(line, WIDTH, initial_indent="  - ", subsequent_indent="    ") for line in kept)
            yield "\n".join(
                [_filled(said("This is kept, as the law allows (GDPR Art. 17(3)), and goes by itself:")), *lines]
            )
        elif held.is_only_lawful_rest:
            yield _filled(said("Nothing is kept about you."))

    def _vacuum(self) -> str:
        if not self._site.own_file:
            return self._said(
                "The database server frees deleted rows to be overwritten. Until then it may keep fragments of them, "
                "as may its log of changes; this software cannot search those."
            )
        if self._proof.vacuum_day is None:
            return self._said(
                "The database has not been rewritten as a whole since this is noted; until then its pages may keep "
                "fragments of what was deleted."
            )
        return self._said(
            "The database was last rewritten as a whole on %(date)s. Of what was deleted later its pages may keep "
            "fragments until it is rewritten again, once a day.",
            date=self._date(self._proof.vacuum_day),
        )

    def _said(self, english: str, **values: str) -> str:
        text = self._languages.text(self._language, english)
        return text % values if values else text

    def _date(self, day: Day) -> str:
        return format_date(date_of(day), "long", locale=self._language.value)

    def _number(self, value: int) -> str:
        return format_decimal(value, locale=self._language.value)


def _filled(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)
