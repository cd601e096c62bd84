"""Writes what is held about one person as a JSON object and as a table that a spreadsheet may open (GDPR Art. 15, 20).

The law: both say the same; no cell of the table begins like a formula, whoever put its text in (CWE-1236).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import Any, Final

from tracker.core.calendar import date_of, instant_of
from tracker.core.cells import harmless
from tracker.core.held import Held
from tracker.core.ledger import evidence_text, notice_hash
from tracker.model import Agent, Day, Hour, LedgerContent, Notice, Purpose

FORMAT: Final = "consent-tracker subject 1"
COLUMNS: Final = ("record", "at", "purpose", "state", "message", "link", "by", "details", "kept_until")
AGENTS: Final[Mapping[Agent, str]] = {Agent.HUMAN: "person", Agent.PROXY: "mail-proxy", Agent.MACHINE: "machine"}
"""Who made a hit, as far as it can be told."""


def document(held: Held, notices: Iterable[Notice], about: Mapping[str, object], now: datetime) -> dict[str, Any]:
    """HELD as a JSON object, with the texts that were agreed to (NOTICES) and what Art. 15 asks for (ABOUT)."""
    return {
        "format": FORMAT,
        "made_at": instant(now),
        "about": dict(about),
        "standing": standing(held),
        "messages": [
            {
                "label": one.label,
                "sent": _hour(one.sent),
                "measured": sorted(one.measured),
                "kept_until": _day(one.last_day),
            }
            for one in held.deliveries
        ],
        "events": [
            {
                "purpose": one.purpose,
                "hour": _hour(one.hour),
                "message": one.label,
                "link": _link(one.host, one.path),
                "by": AGENTS[one.agent],
                "kept_until": _day(one.last_day),
            }
            for one in held.events
        ],
        "references": [
            {"source": one.source, "reference": one.reference, "kept_until": _day(one.last_day)}
            for one in held.references
        ],
        "calls": [
            {
                "rep": one.rep,
                "started_at": instant(one.started_at),
                "seconds": one.seconds,
                "call_again": one.call_again,
                "tracking_agreed": one.tracking_agreed,
                "kept_until": _day(one.last_day),
            }
            for one in held.calls
        ],
        "mailings": [
            {"kind": one.kind, "day": _day(one.day), "count": one.count, "kept_until": _day(one.last_day)}
            for one in held.mailings
        ],
        "history": [_entry(one) for one in held.history],
        "notices": [
            {"version": one.version, "language": one.language, "text": one.text, "sha256": notice_hash(one.text)}
            for one in notices
        ],
    }


def standing(held: Held) -> list[dict[str, Any]]:
    """Where the person stands, one object for each purpose that anything is known of."""
    where = held.standing
    said: list[dict[str, Any]] = []
    for purpose in Purpose:
        if purpose in where.grants:
            grant = where.grants[purpose]
            more = {"since": instant(grant.given_at), "notice_version": grant.notice_version}
            said.append({"purpose": purpose, "state": "live", **more, "kept_until": _day(grant.last_day)})
        elif purpose in where.pending:
            waits = where.pending[purpose]
            said.append(
                {"purpose": purpose, "state": "pending", "method": waits.method, "kept_until": _day(waits.last_day)}
            )
        if purpose in where.suppressed:
            said.append({"purpose": purpose, "state": "refused", "kept_until": _day(where.suppressed[purpose])})
    return said


def table(held: Held) -> str:
    """HELD as CSV (RFC 4180), a row for each thing that is held; for a spreadsheet, so no cell is a formula."""
    rows = [
        *_of_standing(held),
        *(
            ("message", _hour(one.sent), " ".join(sorted(one.measured)), "", one.label, "", "", "", _day(one.last_day))
            for one in held.deliveries
        ),
        *(
            ("event", _hour(one.hour), one.purpose, "", one.label, _link(one.host, one.path), AGENTS[one.agent], "",
             _day(one.last_day))
            for one in held.events
        ),
        *(
            ("reference", "", "", "", "", "", one.source, one.reference, _day(one.last_day))
            for one in held.references
        ),
        *(
            ("call", instant(one.started_at), Purpose.PHONE, "", "", "", one.rep,
             _json(seconds=one.seconds, call_again=one.call_again, tracking_agreed=one.tracking_agreed),
             _day(one.last_day))
            for one in held.calls
        ),
        *(
            ("mailing", _day(one.day), "", one.kind, "", "", "", str(one.count), _day(one.last_day))
            for one in held.mailings
        ),
        *map(_of_history, held.history),
    ]  # fmt: skip
    return "".join(",".join(map(_cell, row)) + "\r\n" for row in (COLUMNS, *rows))


def instant(value: datetime) -> str:
    """VALUE as RFC 3339 in UTC."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _of_standing(held: Held) -> list[tuple[str | None, ...]]:
    return [
        ("consent", one.get("since", ""), one["purpose"], one["state"], "", "", "",
         one.get("notice_version") or one.get("method") or "", one["kept_until"])
        for one in standing(held)
    ]  # fmt: skip


def _of_history(entry: LedgerContent) -> tuple[str | None, ...]:
    details = _json(
        entry=entry.entry,
        method=entry.method,
        given_at=entry.given_at and instant(entry.given_at),
        notice_version=entry.notice_version,
        notice_hash=entry.notice_hash,
        language=entry.language,
        evidence=json.loads(evidence_text(entry.evidence)) or None,
    )
    purposes = " ".join(sorted(entry.purposes))
    at, until = instant(entry.recorded_at), _day(entry.last_day)
    return "history", at, purposes, entry.event, "", "", entry.actor, details, until


def _entry(entry: LedgerContent) -> dict[str, Any]:
    said = {
        "entry": entry.entry,
        "event": entry.event,
        "purposes": sorted(entry.purposes),
        "at": instant(entry.recorded_at),
        "actor": entry.actor,
        "method": entry.method,
        "given_at": entry.given_at and instant(entry.given_at),
        "notice_version": entry.notice_version,
        "notice_hash": entry.notice_hash,
        "language": entry.language,
        "evidence": {
            name: instant(value) if isinstance(value, datetime) else value
            for name, value in asdict(entry.evidence).items()
            if value is not None
        },
        "kept_until": _day(entry.last_day),
    }
    return {name: value for name, value in said.items() if value is not None}


def _json(**values: object) -> str:
    return json.dumps({name: value for name, value in values.items() if value is not None}, ensure_ascii=False)


def _cell(text: str | None) -> str:
    return '"' + harmless(text or "").replace('"', '""') + '"'


def _link(host: str | None, path: str | None) -> str | None:
    return None if host is None else f"{host}{path or ''}"


def _hour(hour: Hour) -> str:
    return instant(instant_of(hour))


def _day(day: Day) -> str:
    found: date = date_of(day)
    return found.isoformat()
