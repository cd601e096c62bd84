"""Puts what is on record of one person's consent into the shape of ISO/IEC TS 27560 (by DPV's guide to it).

Fields of the standard have its names; ours beside them: salt, pii_principal_check, the text and SHA-256 of notices,
channel, actor, evidence, recorded_at, prev_hash and record_hash. What the settings do not tell is null.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from tracker.core.calendar import date_of
from tracker.core.disclosure import Disclosure, Wording
from tracker.core.inventory import About, about
from tracker.core.ledger import evidence_fields, instant_text, notice_hash
from tracker.core.receipt import Subject
from tracker.model import Language, LedgerContent, LedgerEvent, Proof, Purpose

SCHEMA: Final = "ISO/IEC TS 27560:2023, consent-tracker 1"
PURPOSES: Final = {
    Purpose.OPEN: "to see whether a message from the controller was opened",
    Purpose.CLICK: "to see which links in a message from the controller were followed",
    Purpose.PHONE: "to be called by the controller",
}
RIGHTS: Final = (
    "access", "rectification", "erasure", "restriction", "portability", "objection", "withdrawal of consent",
    "complaint to a supervisory authority",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Header:
    """What one receipt has of its own."""

    receipt_id: str
    salt: str
    subject: Subject
    issued_at: datetime


def consent_record(proof: Proof, header: Header, told: Disclosure) -> dict[str, object]:
    """The record of PROOF, as plain JSON values."""
    newest = proof.history[-1].entry if proof.history else None
    return {
        "schema_version": SCHEMA,
        "record_id": None if newest is None else proof.seals[newest].digest.hex(),
        "receipt_id": header.receipt_id,
        "issued_at": _instant(header.issued_at),
        "salt": header.salt,
        "pii_principal_id": header.subject.principal,
        "pii_principal_check": None if header.subject.check is None else dict(header.subject.check),
        "processing": _processing(proof, told),
        "parties": _parties(told),
        "events": _events(proof),
    }


def _processing(proof: Proof, told: Disclosure) -> dict[str, object]:
    periods = told.periods
    return {
        "privacy_notice": [
            {
                "version": notice.version,
                "language": notice.language,
                "sha256": notice_hash(notice.text),
                "superseded_on": None if notice.superseded_day is None else str(date_of(notice.superseded_day)),
                "text": notice.text,
            }
            for notice in proof.notices
        ],
        "purpose": [_purpose(purpose, proof) for purpose in Purpose],
        "purpose_of_all": _own_words(told.purposes, told.language),
        "lawful_basis": "consent: Regulation (EU) 2016/679, Art. 6(1)(a)",
        "pii_information": [
            {"type": category.name, "description": category.says} for category in about(About.RECIPIENT)
        ],
        "pii_controllers": ["controller"],
        "recipients": _own_words(told.data_recipients, told.language),
        "storage_locations": _own_words(told.hosting, told.language),
        "retention_period": {
            "opens_and_clicks": f"P{periods.retention_days}D",
            "consent": f"P{periods.consent_days}D",
            "proof": f"P{periods.proof_days}D",
        },
        "jurisdiction": "Regulation (EU) 2016/679",
        "withdrawal_method": f"the link in every measured message, or {told.public_url}/privacy",
        "privacy_rights": list(RIGHTS),
        "authority": told.supervisory_authority,
    }


def _purpose(purpose: Purpose, proof: Proof) -> dict[str, object]:
    standing = proof.standing
    if purpose in standing.grants:
        state, day = "given", standing.grants[purpose].last_day
    elif purpose in standing.pending:
        state, day = "requested", standing.pending[purpose].last_day
    elif purpose in standing.suppressed:
        state, day = "refused or withdrawn", standing.suppressed[purpose]
    else:
        return {"purpose": purpose, "description": PURPOSES[purpose], "state": "none", "until": None}
    return {"purpose": purpose, "description": PURPOSES[purpose], "state": state, "until": str(date_of(day))}


def _parties(told: Disclosure) -> list[dict[str, object]]:
    controller: dict[str, object] = {
        "id": "controller",
        "type": "organisation",
        "role": "PII controller",
        "name": told.controller,
        "address": told.controller_address,
        "contact": told.contact,
    }
    if not told.has_officer:
        return [controller]
    officer: dict[str, object] = {
        "id": "data-protection-officer",
        "type": "person",
        "role": "data protection officer",
        "name": told.data_protection_officer,
        "address": told.controller_address,
        "contact": told.data_protection_officer,
    }
    return [controller, officer]


def _events(proof: Proof) -> list[dict[str, object]]:
    """Every statement on record, oldest first, as states (past ones are kept)."""
    live: set[Purpose] = set()
    events: list[dict[str, object]] = []
    for said in proof.history:
        state = _state(said, live)
        if said.event is LedgerEvent.GIVEN:
            live |= said.purposes
        elif said.event is not LedgerEvent.REQUESTED:
            live -= said.purposes
        seal = proof.seals[said.entry]
        events.append(
            {
                "event_type": "explicitly expressed" if said.event is LedgerEvent.GIVEN else None,
                "event_state": state,
                "event_time": _instant(said.given_at or said.recorded_at),
                "recorded_at": _instant(said.recorded_at),
                "valid_until": _valid_until(said, proof),
                "validity_duration": _duration(said, proof),
                "entity_id": "pii_principal" if said.event is not LedgerEvent.EXPIRED else "controller",
                "purpose": sorted(said.purposes),
                "channel": said.method,
                "actor": said.actor,
                "notice_version": said.notice_version,
                "notice_sha256": said.notice_hash,
                "language": said.language,
                "evidence": evidence_fields(said.evidence),
                "kept_until": str(date_of(said.last_day)),
                "prev_hash": seal.previous.hex(),
                "record_hash": seal.digest.hex(),
            }
        )
    return events


def _state(said: LedgerContent, live: Set[Purpose]) -> str:
    """What was SAID, in the standard's words, of somebody who had agreed to what is LIVE."""
    if said.event is LedgerEvent.GIVEN and said.purposes <= live:
        return "renewed"
    if said.event is LedgerEvent.ERASED:  # the standard knows no such state of a consent
        return LedgerEvent.WITHDRAWN if said.purposes & live else LedgerEvent.REFUSED
    return said.event


def _valid_until(said: LedgerContent, proof: Proof) -> str | None:
    """Until when the grant lasts that rests on what was SAID; None where none does any more."""
    days = [grant.last_day for grant in proof.standing.grants.values() if grant.entry == said.entry]
    return str(date_of(max(days))) if days else None


def _duration(said: LedgerContent, proof: Proof) -> str | None:
    until = _valid_until(said, proof)
    if until is None or said.given_at is None:
        return None
    since = said.given_at.astimezone(UTC).date()
    return f"P{(datetime.fromisoformat(until).date() - since).days}D"


def _own_words(words: Wording | None, usual: Language) -> Sequence[dict[str, object]]:
    if words is None:
        return []
    return [{"language": language or usual, "text": text} for language, text in words.texts]


def _instant(instant: datetime) -> str:
    return instant_text(instant.replace(microsecond=0))
