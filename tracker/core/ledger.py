"""Seals what the ledger says: an entry carries keyed digests of its content and of the entry before it.

The law: the chain stays for ever and says nothing by itself; a content goes on its day, and its salt with it, so that
what is left cannot be guessed back. Whoever changes, inserts or drops an entry without the key is found out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from hashlib import blake2b, sha256
from typing import Final

from tracker.model import Day, Evidence, Language, LedgerEvent, Method, Purpose

SALT_SIZE: Final = 16
DIGEST_SIZE: Final = 32
GENESIS: Final = bytes(DIGEST_SIZE)
"""What the first entry names as the digest before it."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What an entry says, in the form that is sealed. `recipient` is the store's random id: it outlives a rekey."""

    recipient: int
    event: LedgerEvent
    purposes: frozenset[Purpose]
    last_day: Day
    recorded_at: datetime
    actor: str
    method: Method | None = None
    given_at: datetime | None = None
    notice_version: str | None = None
    notice_hash: str | None = None
    language: Language | None = None
    evidence: Evidence = Evidence()  # noqa: RUF009 - frozen, may be shared
    ends: tuple[int, ...] = ()
    """Entries that nothing rests on since this one."""


ERASURE: Final = Evidence(source="erasure")
"""Of the entry about an erasure: every journal that follows the ledger knows by it that more went than a grant."""


def notice_hash(text: str) -> str:
    """SHA-256 of a notice's TEXT in UTF-8, in hex: which words a person agreed to."""
    return sha256(text.encode()).hexdigest()


def instant_text(instant: datetime) -> str:
    """An aware INSTANT as it is stored and sealed: ISO 8601 in UTC."""
    return instant.astimezone(UTC).isoformat()


def purposes_text(purposes: frozenset[Purpose]) -> str:
    """PURPOSES as they are stored and sealed: their names in alphabetical order with commas between."""
    return ",".join(sorted(purposes))


def evidence_text(evidence: Evidence) -> str:
    """EVIDENCE as it is stored and sealed: a JSON object of what is there."""
    return _json(evidence_fields(evidence))


def evidence_fields(evidence: Evidence) -> dict[str, object]:
    """What is there of EVIDENCE, as JSON values by name."""
    said = {field.name: value for field in fields(evidence) if (value := getattr(evidence, field.name)) is not None}
    return {name: instant_text(value) if isinstance(value, datetime) else value for name, value in said.items()}


def evidence_of(text: str) -> Evidence:
    """What `evidence_text` wrote."""
    said = json.loads(text)
    for name in ("confirmed_at", "call_started_at"):
        if name in said:
            said[name] = datetime.fromisoformat(said[name])
    return Evidence(**said)


def content_digest(key: bytes, statement: Statement, salt: bytes) -> bytes:
    """The digest of STATEMENT under the ledger's KEY and the entry's own SALT: 32 bytes."""
    content = {
        "recipient": statement.recipient,
        "event": statement.event,
        "purposes": purposes_text(statement.purposes),
        "last_day": statement.last_day,
        "recorded_at": instant_text(statement.recorded_at),
        "actor": statement.actor,
        "method": statement.method,
        "given_at": instant_text(statement.given_at) if statement.given_at else None,
        "notice_version": statement.notice_version,
        "notice_hash": statement.notice_hash,
        "language": statement.language,
        "evidence": evidence_text(statement.evidence),
        "ends": sorted(statement.ends),
    }
    return _digest(key, b"tracker.content", salt, _json(content).encode())


def entry_digest(key: bytes, entry: int, previous: bytes, last_day: Day, content: bytes) -> bytes:
    """The digest of the ENTRY after the digest PREVIOUS, which seals the digest CONTENT until LAST_DAY: 32 bytes."""
    return _digest(key, b"tracker.chain", entry.to_bytes(8, "big"), previous, last_day.to_bytes(8, "big"), content)


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _digest(key: bytes, kind: bytes, *fields: bytes) -> bytes:
    # All fields but the last have a fixed length, so that no two lists of fields run together to the same bytes.
    digest = blake2b(key=key, digest_size=DIGEST_SIZE, person=kind)
    for field in fields:
        digest.update(field)
    return digest.digest()
