"""People, messages and days to test the store with."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import asyncpg

from tests.postgres import Plain
from tracker.core.calendar import day_of, hour_of, later
from tracker.model import (
    MAIL_PURPOSES,
    NO_LINK,
    Agent,
    ConsentReport,
    Day,
    DeliveryId,
    Event,
    Evidence,
    Language,
    Link,
    LinkNumber,
    MessageKey,
    Method,
    Owner,
    Pseudonym,
    Purpose,
    Registration,
)
from tracker.store.store import Store

NOW: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)
TODAY: Final = day_of(NOW)
LEDGER_KEY: Final = b"l" * 32
FINGERPRINT: Final = b"f" * 16
RETENTION: Final = 90
PROOF: Final = 1095
GRANTED: Final = 730

ANNA: Final = Pseudonym(b"a" * 32)
BERT: Final = Pseudonym(b"b" * 32)
JONAS: Final = Owner(b"j" * 16)
MARIA: Final = Owner(b"m" * 16)
OFFER: Final = MessageKey(b"O" * 16)
SHOP: Final = Link(LinkNumber(2**46 + 1), "shop.example.com", "/a")
BLOG: Final = Link(LinkNumber(2**46 + 2), "blog.example.com", "/b")


def person(number: int) -> Pseudonym:
    """Somebody else."""
    return Pseudonym(blake2b(number.to_bytes(8, "big"), digest_size=32).digest())


def at(day: int) -> datetime:
    """Noon, DAY days from now."""
    return NOW + timedelta(days=day)


def on(day: int) -> Day:
    """The day DAY days from now."""
    return later(TODAY, day)


def report(who: Pseudonym = ANNA, **changes: Any) -> ConsentReport:
    """A confirmed consent."""
    plain = ConsentReport(
        pseudonym=who,
        purposes=MAIL_PURPOSES,
        method=Method.WEB_FORM,
        given_at=NOW,
        notice_version="2026-1",
        language=Language.DE,
        evidence=Evidence(source="form", confirmed_at=NOW, confirmed_by="link-in-mail"),
        actor="crm",
    )
    return replace(plain, **changes)


def copy(who: Pseudonym = ANNA, **changes: Any) -> Registration:
    """A copy of the offer for WHO, sent now."""
    plain = Registration(
        recipient=who,
        delivery=DeliveryId(blake2b(who, digest_size=16).digest()),
        last_day=on(RETENTION),
        sent_hour=hour_of(NOW),
        message=OFFER,
        owner=JONAS,
        label="Offer",
        links=(SHOP, BLOG),
        purposes=MAIL_PURPOSES,
        source="crm",
    )
    return replace(plain, **changes)


def opened(sent: Registration, **changes: Any) -> Event:
    """A person's mail program loaded the pixel of a copy."""
    return Event(sent.last_day, sent.delivery, Purpose.OPEN, NO_LINK, hour_of(NOW), Agent.HUMAN)._replace(**changes)


def clicked(sent: Registration, link: Link = SHOP, **changes: Any) -> Event:
    """A person followed a link of a copy."""
    return Event(sent.last_day, sent.delivery, Purpose.CLICK, link.number, hour_of(NOW), Agent.HUMAN)._replace(
        **changes
    )


@dataclass
class World:
    """An open store and the database under it, on one of the two engines."""

    store: Store
    url: str

    @property
    def on_postgres(self) -> bool:
        """Whether it is not on SQLite."""
        return self.url.startswith("postgresql")

    @property
    def path(self) -> Path:
        """The file, on SQLite."""
        assert not self.on_postgres
        return Path(self.url.partition(":///")[2])

    @property
    def refused(self) -> tuple[type[Exception], ...]:
        """What the driver raises for a statement that a key or a trigger forbids."""
        if self.on_postgres:
            return (asyncpg.IntegrityConstraintViolationError,)
        return (sqlite3.IntegrityError, sqlite3.OperationalError)

    async def give(
        self,
        who: Pseudonym = ANNA,
        purposes: frozenset[Purpose] = MAIL_PURPOSES,
        *,
        days: int = GRANTED,
        now: datetime = NOW,
        **changes: Any,
    ) -> int:
        """Let WHO agree for DAYS."""
        async with self.store.consents() as book:
            return await book.give(
                report(who, given_at=now, **changes),
                purposes,
                grant_last_day=later(day_of(now), days),
                content_last_day=later(day_of(now), days + PROOF),
                today=day_of(now),
                now=now,
                notice_hash="h",
            )

    async def withdraw(
        self, who: Pseudonym = ANNA, purposes: frozenset[Purpose] = MAIL_PURPOSES, now: datetime = NOW
    ) -> bool:
        """Let WHO say no."""
        async with self.store.consents() as book:
            return await book.withdraw(
                who,
                purposes,
                now=now,
                actor="recipient",
                language=Language.DE,
                content_last_day=later(day_of(now), PROOF),
                suppression_last_day=later(day_of(now), PROOF),
            )

    async def send(self, who: Pseudonym = ANNA, **changes: Any) -> Registration:
        """Let WHO agree, and register a copy for them."""
        await self.give(who)
        sent = copy(who, **changes)
        assert await self.store.register(sent, TODAY) == sent.purposes
        return sent

    def rows(self, query: str, *values: Any) -> list[Any]:
        """What a person with sqlite3 or psql would see."""
        with self.connected() as plain:
            return list(plain.execute(query, values).fetchall())

    def count(self, table: str) -> int:
        """The number of rows of TABLE."""
        found = self.rows(f"SELECT count(*) FROM {table}")
        return int(found[0][0])

    @contextmanager
    def connected(self) -> Iterator[Any]:
        """A person with sqlite3 or psql, each of whose statements is kept."""
        if self.on_postgres:
            with Plain(self.url) as other:
                yield other
        else:
            with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
                connection.execute("PRAGMA foreign_keys = ON")
                yield connection

    @contextmanager
    def plain(self) -> Iterator[Any]:
        """The same, and nothing is kept."""
        with self.connected() as connection:
            connection.execute("BEGIN" if self.on_postgres else "BEGIN IMMEDIATE")
            yield connection
            connection.execute("ROLLBACK")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Another process holds the database: nothing can be written."""
        with self.plain() as other:
            if self.on_postgres:
                names = (
                    name for (name,) in other.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
                )
                other.execute(f"LOCK TABLE {', '.join(names)} IN EXCLUSIVE MODE")
            yield
