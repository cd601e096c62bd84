"""Puts what is held about a person into words, for the page of a session."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from babel.dates import format_date

from tracker.core.calendar import date_of, day_of, instant_of
from tracker.core.held import Held, HeldCall, HeldMailing
from tracker.doors.languages import Languages
from tracker.model import (
    Agent,
    Day,
    Hour,
    Language,
    LedgerContent,
    LedgerEvent,
    MailKind,
    OwnActor,
    Purpose,
    is_account,
)

MOST_ROWS: Final = 200
"""Rows of one table on the page; the files have them all."""


class HeldView:
    """Speaks one language."""

    def __init__(self, languages: Languages, language: Language) -> None:
        self._languages = languages
        self._language = language

    def values(self, held: Held) -> dict[str, object]:
        """What the page shows of HELD, newest first."""
        said = self._said
        what = {Purpose.OPEN: said("opened"), Purpose.CLICK: said("link followed"), Purpose.PHONE: said("called")}
        agents = {
            Agent.HUMAN: said("probably a person"),
            Agent.PROXY: said("your mail provider, perhaps for you"),
            Agent.MACHINE: said("a program"),
        }
        purposes = self._purposes(held)
        return {
            "purposes": purposes,
            "can_stop": any(one["can_stop"] for one in purposes),
            "events": [
                {
                    "hour": self._hour(one.hour),
                    "what": what[one.purpose],
                    "label": one.label,
                    "link": "" if one.host is None else f"{one.host}{one.path or ''}",
                    "agent": agents[one.agent],
                    "until": self._day(one.last_day),
                }
                for one in held.events[: -MOST_ROWS - 1 : -1]
            ],
            "more_events": len(held.events) > MOST_ROWS,
            "messages": [
                {"hour": self._hour(one.sent), "label": one.label, "until": self._day(one.last_day)}
                for one in held.deliveries[: -MOST_ROWS - 1 : -1]
            ],
            "more_messages": len(held.deliveries) > MOST_ROWS,
            "references": [
                {"source": one.source, "reference": one.reference, "until": self._day(one.last_day)}
                for one in held.references
            ],
            "calls": [{"said": self._call(one)} for one in held.calls],
            "mailings": [{"said": self._mailing(one)} for one in held.mailings],
            "history": [self._entry(one) for one in reversed(held.history)],
        }

    def _purposes(self, held: Held) -> list[Mapping[str, object]]:
        said = self._said
        where = held.standing
        stops = {
            Purpose.OPEN: said("Do not measure opens"),
            Purpose.CLICK: said("Do not measure clicks"),
            Purpose.PHONE: said("Do not call me"),
        }
        phone = Purpose.PHONE in {*where.grants, *where.pending, *where.suppressed} or bool(held.calls)
        return [
            {
                "purpose": purpose.value,
                "name": self._names[purpose],
                "state": self._state(held, purpose),
                "can_stop": purpose in where.grants or purpose in where.pending or purpose not in where.suppressed,
                "stop": stops[purpose],
            }
            for purpose in Purpose
            if purpose is not Purpose.PHONE or phone
        ]

    def _state(self, held: Held, purpose: Purpose) -> str:
        where = held.standing
        if purpose in where.grants:
            grant = where.grants[purpose]
            return self._said(
                "You agreed on %(since)s. That ends by itself after %(until)s.",
                since=self._day(day_of(grant.given_at)),
                until=self._day(grant.last_day),
            )
        if purpose in where.pending:
            return self._said(
                "Somebody reported that you agree. Nothing is measured before you confirm it; kept until %(until)s.",
                until=self._day(where.pending[purpose].last_day),
            )
        if purpose in where.suppressed:
            return self._said(
                "You do not want this. That is noted until %(until)s, and longer if somebody tries to change it.",
                until=self._day(where.suppressed[purpose]),
            )
        return self._said("You did not agree, so nothing is measured.")

    def _entry(self, entry: LedgerContent) -> Mapping[str, str]:
        said = self._said
        events = {
            LedgerEvent.REQUESTED: said("reported, not confirmed by you"),
            LedgerEvent.GIVEN: said("agreed"),
            LedgerEvent.REFUSED: said("refused"),
            LedgerEvent.WITHDRAWN: said("taken back"),
            LedgerEvent.EXPIRED: said("ended by itself"),
            LedgerEvent.ERASED: said("erased, except for what the law keeps"),
        }
        actors: dict[str, str] = {
            OwnActor.RECIPIENT: said("you"),
            OwnActor.CLI: said("the operator"),
            OwnActor.TRACKER: said("this tracker"),
        }
        return {
            "at": self._instant(entry.recorded_at),
            "what": events[entry.event],
            "purposes": ", ".join(self._names[purpose] for purpose in Purpose if purpose in entry.purposes),
            "actor": said("the privacy officer") if is_account(entry.actor) else actors.get(entry.actor, entry.actor),
            "notice": entry.notice_version or "–",
            "until": self._day(entry.last_day),
        }

    def _call(self, call: HeldCall) -> str:
        return self._said(
            "A call of “%(rep)s” on %(at)s UTC, %(seconds)s seconds. May we call again: %(again)s. Tracking agreed "
            "to: %(tracking)s. Kept until %(until)s.",
            rep=call.rep,
            at=self._instant(call.started_at),
            seconds="?" if call.seconds is None else str(call.seconds),
            again=self._answer(call.call_again),
            tracking=self._answer(call.tracking_agreed),
            until=self._day(call.last_day),
        )

    def _mailing(self, mailing: HeldMailing) -> str:
        said = self._said
        kinds: dict[str, str] = {
            MailKind.ASK: said("the link to the question"),
            MailKind.CONFIRMATION: said("the request to confirm your consent"),
            MailKind.MAILBOX: said("the link to what is stored about you"),
        }
        return said(
            "That we mailed you %(what)s on %(day)s (%(count)s×); kept until %(until)s.",
            what=kinds.get(mailing.kind, mailing.kind),
            day=self._day(mailing.day),
            count=str(mailing.count),
            until=self._day(mailing.last_day),
        )

    @property
    def _names(self) -> Mapping[Purpose, str]:
        said = self._said
        return {Purpose.OPEN: said("Opens"), Purpose.CLICK: said("Clicks"), Purpose.PHONE: said("Calls")}

    def _answer(self, answer: bool | None) -> str:
        if answer is None:
            return self._said("not asked")
        return self._said("yes") if answer else self._said("no")

    def _hour(self, hour: Hour) -> str:
        return self._instant(instant_of(hour))

    def _instant(self, instant: datetime) -> str:
        return f"{self._day(day_of(instant))}, {instant.astimezone(UTC):%H:%M}"

    def _day(self, day: Day) -> str:
        return format_date(date_of(day), "medium", locale=self._language.value)

    def _said(self, english: str, **values: str) -> str:
        text = self._languages.text(self._language, english)
        return text % values if values else text
