"""Rows as months of mail leave them, made fast: for measuring what a database costs as it grows."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, Final

import asyncpg

from tracker.model import Agent, Day, DeliveryId, MessageKey, Pseudonym

EVENTS_OF_A_COPY: Final = 4
"""An open by a machine and one by a person, a click on each of two links."""
COPIES_OF_A_PERSON: Final = 20
COPIES_OF_A_CAMPAIGN: Final = 1_000
"""Of the first campaign, and of the others where there are enough copies for one on each day."""
DAYS: Final = 90
"""How many last days the copies have, from today on."""
LINKS: Final = (0x1A2B3C4D5E6F, 0x6F5E4D3C2B1A)
CHUNK: Final = 20_000

Row = tuple[Any, ...]
COLUMNS: Final = {
    "recipients": "id pseudonym",
    "ledger": "entry last_day content_digest previous digest",
    "ledger_contents": "entry last_day salt recipient event purposes method given_at notice_version notice_hash "
    "language recorded_at actor evidence",
    "grants": "recipient purpose entry last_day given_at notice_version",
    "messages": "id owner label first_hour last_hour last_day engaged_hour",
    "links": "message number host path",
    "deliveries": "last_day id recipient message sent_hour",
    "tracked": "last_day delivery purpose recipient closed",
    "events": "last_day delivery purpose link hour agent",
}
"""The tables that are filled, parents first, each with its columns."""


class Filling:
    """The rows of a database with so many EVENTS of copies with one of DAYS last days from TODAY on.

    What an act touches is alike in every size: each day has copies, one campaign at least has a thousand, and of those
    who are measured in others everybody has twenty copies, each of another campaign.
    """

    def __init__(self, events: int, today: Day, days: int = DAYS, most: int = COPIES_OF_A_CAMPAIGN) -> None:
        """MOST: copies of a campaign, if other than a thousand."""
        self.today = today
        self.days = days
        self.copies = max(1, events // EVENTS_OF_A_COPY)
        self._first = min(self.copies, most)
        others = self.copies - self._first
        self._size = min(most, max(1, others // max(1, days - 1)))
        self.regulars = max(1, others // COPIES_OF_A_PERSON)
        self.people = self.regulars + self._first
        self.campaigns = 1 + -(-others // self._size)
        self.large = self.campaigns if self._size == most else 1
        """How many campaigns, from the first on, have so many copies (the last may have fewer)."""

    def rows(self, table: str) -> Iterator[Row]:
        """The rows of TABLE, in the order of its columns and of time."""
        rows: dict[str, Iterable[Row]] = {
            "recipients": ((person, self.pseudonym(person)) for person in self._everybody()),
            "ledger": self._ledger(),
            "ledger_contents": (self._content(person) for person in self._everybody()),
            "grants": (
                (person, purpose, person, self.today + 400, GIVEN, "2026-1")
                for person in self._everybody()
                for purpose in "oc"
            ),
            "messages": (self._message(campaign) for campaign in range(self.campaigns)),
            "links": (
                (self.message(campaign), link, "shop.example.com", f"/offers/{link % 100}")
                for campaign in range(self.campaigns)
                for link in LINKS
            ),
            "deliveries": (
                (self.day(copy), self.delivery(copy), self.person(copy), self.message_of(copy), self._sent(copy))
                for copy in range(self.copies)
            ),
            "tracked": (
                (self.day(copy), self.delivery(copy), purpose, self.person(copy), 0)
                for copy in range(self.copies)
                for purpose in "oc"
            ),
            "events": self._events(),
        }
        return iter(rows[table])

    def pseudonym(self, person: int) -> Pseudonym:
        """Of the PERSON of that number, from 1."""
        return Pseudonym(blake2b(b"p%d" % person, digest_size=32).digest())

    def person(self, copy: int) -> int:
        """Who got COPY: the regulars come first, then those who got nothing but the first campaign."""
        if copy < self._first:
            return self.regulars + copy + 1
        return (copy - self._first) % self.regulars + 1

    def delivery(self, copy: int) -> DeliveryId:
        """The id of COPY."""
        return DeliveryId(blake2b(b"d%d" % copy, digest_size=16).digest())

    def day(self, copy: int) -> Day:
        """The last day of COPY."""
        return Day(self.today + self.campaign(copy) % self.days)

    def campaign(self, copy: int) -> int:
        """The number of the campaign that COPY is of."""
        return 0 if copy < self._first else 1 + (copy - self._first) // self._size

    def copies_of(self, campaign: int) -> range:
        """The copies of CAMPAIGN."""
        if campaign == 0:
            return range(self._first)
        first = self._first + (campaign - 1) * self._size
        return range(first, min(first + self._size, self.copies))

    def message(self, campaign: int) -> MessageKey:
        """The id of the message of CAMPAIGN."""
        return MessageKey(blake2b(b"m%d" % campaign, digest_size=16).digest())

    def message_of(self, copy: int) -> MessageKey:
        """The message that COPY is of."""
        return self.message(self.campaign(copy))

    def _everybody(self) -> range:
        return range(1, self.people + 1)

    def _sent(self, copy: int) -> int:
        return (self.day(copy) - DAYS) * 24

    def _ledger(self) -> Iterator[Row]:
        previous = bytes(32)
        for person in self._everybody():
            digest = self.pseudonym(person)
            yield person, self.today + 1_500, digest, previous, digest
            previous = digest

    def _content(self, person: int) -> Row:
        last_day, salt = self.today + 1_500, self.pseudonym(person)[:16]
        about = (person, "given", "click,open", "web-form", GIVEN, "2026-1", "hash", "de", GIVEN, "crm", "{}")
        return person, last_day, salt, *about

    def _message(self, campaign: int) -> Row:
        copy = self.copies_of(campaign)[0]
        hour, owner = self._sent(copy), self.pseudonym(campaign)[:16]
        return self.message(campaign), owner, f"Offer {campaign}", hour, hour, self.day(copy), hour + HITS[-1][2]

    def _events(self) -> Iterator[Row]:
        """As they come in: the readers of a campaign in any order."""
        drawn = random.Random(1)
        for campaign in range(self.campaigns):
            hits = [(copy, hit) for copy in self.copies_of(campaign) for hit in range(EVENTS_OF_A_COPY)]
            drawn.shuffle(hits)
            for copy, hit in hits:
                purpose, link, hours, agent = HITS[hit]
                yield self.day(copy), self.delivery(copy), purpose, link, self._sent(copy) + hours, agent


GIVEN: Final = "2026-01-01T09:00:00Z"
HITS: Final = (
    ("o", 0, 0, int(Agent.MACHINE)),
    ("o", 0, 5, int(Agent.HUMAN)),
    ("c", LINKS[0], 5, int(Agent.HUMAN)),
    ("c", LINKS[1], 6, int(Agent.HUMAN)),
)


def chunks(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """ROWS in lists of at most CHUNK."""
    while chunk := list(islice(rows, CHUNK)):
        yield chunk


def fill_sqlite(path: Path, filling: Filling) -> None:
    """Write the rows of FILLING into the fresh database at PATH, in pages as its own writer would."""
    with closing(sqlite3.connect(path, isolation_level=None)) as plain:
        plain.execute("PRAGMA synchronous = OFF")
        for table, columns in COLUMNS.items():
            names = columns.split()
            insert = f"INSERT INTO {table} ({','.join(names)}) VALUES ({','.join('?' * len(names))})"
            for chunk in chunks(filling.rows(table)):
                plain.execute("BEGIN IMMEDIATE")
                plain.executemany(insert, chunk)
                plain.execute("COMMIT")


def sqlite_bytes(path: Path) -> int:
    """Bytes of the database at PATH without its log."""
    with closing(sqlite3.connect(path)) as plain:
        pages, size, free = (
            plain.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size", "freelist_count")
        )
    return int((pages - free) * size)


async def fill_postgres(url: str, filling: Filling) -> None:
    """The same into the fresh database that URL names, which has its partitions; whoever it names may do anything."""
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        await connection.execute("SET session_replication_role = replica")
        for table, columns in COLUMNS.items():
            for chunk in chunks(filling.rows(table)):
                await connection.copy_records_to_table(table, records=chunk, columns=columns.split())
        await connection.execute("RESET session_replication_role")
        await connection.execute("VACUUM (ANALYZE)")  # as autovacuum has done by the time that rows are of yesterday
    finally:
        await connection.close()


POSTGRES_BYTES: Final = """
    SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('{table}')
    WHERE isleaf AND pg_relation_size(relid) > 0
"""
"""The query for the bytes of a large table with its indexes, leaving out days without rows."""
