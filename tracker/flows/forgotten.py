"""Proves that somebody was forgotten: searches database, journal and logs, octet by octet, and says what is left.

The law (GDPR Art. 5(1)(e), 17): what is found is told as it is; whoever cannot look says so. The only addresses that
may stand in the database are those of staff: what is part of one of them is no find.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, Final, cast

from tracker.core.calendar import day_of, later
from tracker.core.held import Held
from tracker.core.periods import AUDIT_DAYS
from tracker.core.pseudonym import normalise, pseudonym
from tracker.core.spellings import Spelling, of_address, of_pseudonyms
from tracker.core.tokens import Tokens
from tracker.flows.subject import Request, check_case
from tracker.model import Day
from tracker.store.store import Store

CHUNK: Final = 2**20
"""Octets that are searched at a time."""
STAFF: Final = ("accounts", "aliases")
"""Tables that hold addresses of staff."""
_PACKED: Final[dict[str, Callable[..., Any]]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
"""Rotated logs."""


class Kind(StrEnum):
    """What a file is."""

    DATABASE = "database"
    JOURNAL = "journal"
    LOG = "log"


@dataclass(frozen=True, slots=True)
class Place:
    """A file, or a folder with all that is in it, to be searched."""

    kind: Kind
    path: Path


@dataclass(frozen=True, slots=True)
class Searched:
    """A file that was searched, and the ways of writing that were found in it."""

    kind: Kind
    name: str
    octets: int
    address: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    unreadable: bool = False


@dataclass(frozen=True, slots=True)
class Proof:
    """What was searched for and where, what was found, and what is held."""

    at: datetime
    spellings: int
    """Ways of writing that were searched for."""
    searched: tuple[Searched, ...]
    held: Held
    vacuum_day: Day | None
    of_staff: bool = False
    """Whether the address is one of somebody who signs in to the dashboard, and stands in the database for that."""

    @property
    def address_found(self) -> bool:
        """Whether the address itself is on disk, in whatever encoding."""
        return any(one.address for one in self.searched)

    @property
    def code_is_explained(self) -> bool:
        """Whether the code stands only where a row that is held, or the journal, accounts for it."""
        has_row = bool(self.held.standing.suppressed or self.held.history)
        return all(
            one.kind is Kind.JOURNAL or (one.kind is Kind.DATABASE and has_row) for one in self.searched if one.code
        )

    @property
    def holds(self) -> bool:
        """Whether the person is forgotten as far as the law goes, and every place could be searched."""
        all_read = not any(one.unreadable for one in self.searched)
        return all_read and not self.address_found and self.code_is_explained and self.held.is_only_lawful_rest


class Forgetting:
    """Searches for one person."""

    def __init__(self, store: Store, tokens: Callable[[], Tokens]) -> None:
        self._store = store
        self._tokens = tokens

    async def prove(self, address: str, places: Sequence[Place], request: Request, now: datetime) -> Proof:
        """Search PLACES for the person behind ADDRESS; leaves a line in the audit trail.

        Raises InvalidAddress, AddressInValue and InvalidField for the case number, StoreUnavailable.
        """
        normalised = normalise(address)
        if request.case is not None:
            check_case(request.case, normalised)
        keys = self._tokens().ring.pseudonym_keys
        generations = [pseudonym(keys[: count + 1], normalised) for count in range(len(keys))]
        addresses, codes = of_address(address, normalised), of_pseudonyms(generations)
        today = day_of(now)
        ends = later(today, AUDIT_DAYS)
        async with self._store.subjects() as book:
            await book.audit(at=now, actor=request.actor, action="prove forgotten", case=request.case, last_day=ends)
            held = await book.held(generations[-1], today)
        async with self._store.staff_as_it_is() as staff:
            logins = {login for account in await staff.all() for login in account.logins}
        known = tuple(login.lower().encode() for login in logins)
        searched = tuple(
            replace(search(place.kind, path, addresses, codes, known), name=_name(place, path))
            for place in places
            for path in _files(place)
        )
        searched += await self._search_rows(addresses, codes, known)
        vacuum_day = await self._store.vacuum_day()
        return Proof(now, len(addresses) + len(codes), searched, held, vacuum_day, of_staff=normalised in logins)

    async def _search_rows(
        self, addresses: Sequence[Spelling], codes: Sequence[Spelling], known: Sequence[bytes]
    ) -> tuple[Searched, ...]:
        """What is found in the tables of a database that is no file here; each counts as one."""
        octets: Counter[str] = Counter()
        found: dict[str, set[Spelling]] = defaultdict(set)
        async for table, row in self._store.octets():
            octets[table] += len(row)
            found[table] |= _found(_without(row.lower(), known if table in STAFF else ()), (*addresses, *codes))
        return tuple(
            Searched(Kind.DATABASE, table, octets[table], _names(found[table], addresses), _names(found[table], codes))
            for table in octets
        )


def database_files(path: Path) -> Iterator[Path]:
    """The database at PATH and the files that SQLite keeps beside it, those that are there."""
    beside = (path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm", "-journal"))
    return (one for one in beside if one.exists())


def search(
    kind: Kind, path: Path, addresses: Sequence[Spelling], codes: Sequence[Spelling], known: Sequence[bytes] = ()
) -> Searched:
    """Which of ADDRESSES and CODES stand in the file at PATH; a rotated log is unpacked first.

    In a database what is part of one of KNOWN, the addresses of staff in lower case, is no find.
    """
    known = known if kind is Kind.DATABASE else ()
    longest = max(len(octets) for octets in (*known, *(spelling.octets for spelling in (*addresses, *codes))))
    found: set[Spelling] = set()
    octets, text, begin = 0, b"", 0
    try:
        with _opened(path) as stream:
            while True:
                chunk = stream.read(CHUNK)
                octets += len(chunk)
                text += chunk.lower()
                # Near an edge it cannot be seen yet what an address is part of: it is looked at with the next chunk.
                end = len(text) - longest if chunk else len(text)
                found |= _found(_without(text, known)[begin : max(begin, end)], (*addresses, *codes))
                if not chunk:
                    break
                text = text[-3 * longest :]
                begin = max(0, len(text) - 2 * longest)
    except (OSError, EOFError, lzma.LZMAError, zlib.error):
        return Searched(kind, path.name, octets, unreadable=True)
    return Searched(kind, path.name, octets, _names(found, addresses), _names(found, codes))


def _files(place: Place) -> Iterator[Path]:
    if place.kind is Kind.DATABASE:
        yield from database_files(place.path)
    elif place.path.is_dir():
        yield from (path for path in sorted(place.path.rglob("*")) if path.is_file())
    elif place.path.exists():
        yield place.path


def _name(place: Place, path: Path) -> str:
    """What PATH is called in the report; the segments of every journal, those put aside too, are called alike."""
    return f"{place.path.name}/{path.name}" if place.kind is Kind.JOURNAL else path.name


def _opened(path: Path) -> IO[bytes]:
    return cast(IO[bytes], _PACKED.get(path.suffix, open)(path, "rb"))


def _without(text: bytes, known: Sequence[bytes]) -> bytes:
    """TEXT with octets of nothing where one of KNOWN stands."""
    for one in sorted(known, key=len, reverse=True):
        text = text.replace(one, bytes(len(one)))
    return text


def _found(text: bytes, spellings: Sequence[Spelling]) -> set[Spelling]:
    """Which of SPELLINGS stand in TEXT, which is in lower case."""
    return {spelling for spelling in spellings if spelling.octets in text}


def _names(found: set[Spelling], spellings: Sequence[Spelling]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(spelling.name for spelling in spellings if spelling in found))
