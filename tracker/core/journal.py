"""Writes and reads the lines of the journal, which outlives a database that goes back to an older state.

The law: a line tells of a person by pseudonym alone; each is sealed together with the one before it under a key outside
the database, so that a changed, removed or exchanged line is found. Only a last line that was cut may be dropped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from hmac import compare_digest
from typing import Any, Final, TypeAlias

from tracker.model import BadJournal, Language, No, NoKind, Pseudonym, Purpose

SEAL_SIZE: Final = 32
ID_SIZE: Final = 8
NOTHING: Final = bytes(SEAL_SIZE)
"""What stands for the seal of a line that does not exist."""

_PERSON: Final = b"tracker.journal"


@dataclass(frozen=True, slots=True)
class Begin:
    """The first line of a segment: which journal it belongs to, and where the segment before it ended."""

    journal: bytes
    number: int
    """Of the last no before this segment; 0 when there was none."""
    last: bytes
    """The seal of that no."""
    previous: bytes
    """The seal of the line before."""


@dataclass(frozen=True, slots=True)
class Noted:
    """A no, numbered within its journal."""

    number: int
    generation: int
    """How many pseudonym keys there were: a later rekey wraps the pseudonym further."""
    no: No


@dataclass(frozen=True, slots=True)
class Anchor:
    """The ledger's head, and how far the database had applied the journal."""

    at: datetime
    entry: int
    digest: bytes
    applied: int
    """The number of the last no that the database knew to have applied."""


@dataclass(frozen=True, slots=True)
class Restored:
    """An older database was put in place: what the ledger had after ENTRY is lost."""

    at: datetime
    entry: int


Record: TypeAlias = Begin | Noted | Anchor | Restored


@dataclass(frozen=True, slots=True)
class Line:
    """A record as it stands in a segment."""

    record: Record
    seal: bytes
    end: int
    """Octets from where reading began to the line's end."""


def opening(key: bytes, segment: str) -> bytes:
    """What the first line of SEGMENT (such as 2026-11) is sealed together with."""
    return _seal(key, NOTHING, segment.encode("ascii"))


def written(key: bytes, previous: bytes, record: Record) -> tuple[bytes, bytes]:
    """RECORD as a line after one with the seal PREVIOUS, and its own seal."""
    said = json.dumps(_said(record), sort_keys=True, separators=(",", ":")).encode("ascii")
    seal = _seal(key, previous, said)
    return said + b" " + seal.hex().encode("ascii") + b"\n", seal


def lines(key: bytes, previous: bytes, octets: bytes) -> Iterator[Line]:
    """The whole lines of OCTETS, which follow one with the seal PREVIOUS. A last line that was cut is left out.

    Raises BadJournal for a line that was changed, or stands in another's place.
    """
    end = 0
    for raw in octets.split(b"\n")[:-1]:
        said, _, seal = raw.rpartition(b" ")
        expected = _seal(key, previous, said)
        if not compare_digest(seal, expected.hex().encode("ascii")):
            raise BadJournal("a line was changed, or lines were removed before it")
        previous, end = expected, end + len(raw) + 1
        yield Line(_record(json.loads(said)), expected, end)


def _said(record: Record) -> dict[str, Any]:
    match record:
        case Begin():
            seals = {"last": record.last.hex(), "previous": record.previous.hex()}
            return {"kind": "begin", "journal": record.journal.hex(), "number": record.number, **seals}
        case Noted(number, generation, no):
            return {
                "kind": no.kind,
                "number": number,
                "generation": generation,
                "pseudonym": no.pseudonym.hex(),
                "purposes": sorted(no.purposes),
                "at": _text(no.at),
                "actor": no.actor,
                "language": no.language,
            }
        case Anchor():
            head = {"entry": record.entry, "digest": record.digest.hex()}
            return {"kind": "anchor", "at": _text(record.at), **head, "applied": record.applied}
        case Restored():
            return {"kind": "restored", "at": _text(record.at), "entry": record.entry}


def _record(said: dict[str, Any]) -> Record:
    match said["kind"]:
        case "begin":
            seals = bytes.fromhex(said["last"]), bytes.fromhex(said["previous"])
            return Begin(bytes.fromhex(said["journal"]), said["number"], *seals)
        case "anchor":
            head = said["entry"], bytes.fromhex(said["digest"])
            return Anchor(datetime.fromisoformat(said["at"]), *head, said["applied"])
        case "restored":
            return Restored(datetime.fromisoformat(said["at"]), said["entry"])
        case kind:
            no = No(
                kind=NoKind(kind),
                pseudonym=Pseudonym(bytes.fromhex(said["pseudonym"])),
                purposes=frozenset(map(Purpose, said["purposes"])),
                at=datetime.fromisoformat(said["at"]),
                actor=said["actor"],
                language=Language(said["language"]) if said["language"] else None,
            )
            return Noted(said["number"], said["generation"], no)


def _text(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat()


def _seal(key: bytes, previous: bytes, said: bytes) -> bytes:
    return blake2b(previous + said, key=key, digest_size=SEAL_SIZE, person=_PERSON).digest()
