"""Prepares what a load of hits is about: many deliveries to people who agreed, and the paths in their copies."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tests.harness import Installation
from tracker.core.calendar import day_of, hour_of, later
from tracker.core.target import report
from tracker.core.tokens import DeliveryToken, Tokens
from tracker.keyfile import KeyFile
from tracker.model import DeliveryId

PEOPLE = 500
RETENTION = 90
TARGETS = [f"https://shop.example.com/werkbank/{number}?utm_source=newsletter" for number in range(20)]


@dataclass(frozen=True)
class Copy:
    """A copy that left, and what can be asked for."""

    last_day: int
    delivery: bytes
    pixel: str
    """The path."""
    link: str
    """That of its one link."""
    number: int
    """The link's in the database."""
    forged: str
    """That of the link with another signature."""


def send(tracker: Installation, count: int, issued: datetime | None = None) -> list[Copy]:
    """COUNT copies, ISSUED then (default: an hour ago), of mails to people who granted both purposes.

    The rows are written as the store writes them, past the server, which must not run: at its own pace it would take
    longer than what is measured.
    """
    now = datetime.now(UTC).replace(microsecond=0)
    issued = issued or now - timedelta(hours=1)
    last_day = later(day_of(now), RETENTION)
    chance = random.Random(11)
    deliveries = [chance.randbytes(16) for _ in range(count)]
    _write(tracker, deliveries, hour_of(issued), last_day, chance)
    tokens = Tokens(KeyFile(tracker.folder / "tracker.keys").load())
    key, plan = tokens.ring.signing_key(now).id, chance.randbytes(5)
    parts = [(tokens.sign_link(key, plan, target), report(target).number) for target in TARGETS]
    copies = []
    for number, delivery in enumerate(deliveries):
        fields = last_day, DeliveryId(delivery), plan, chance.randbytes(6), int(issued.timestamp()), key
        token = tokens.sign_delivery(DeliveryToken(*fields)).decode()
        link, link_number = parts[number % len(parts)]
        rest = f"{link.part.decode()}/{link.host.decode()}/"
        altered = f"{token[:-1]}{'A' if token[-1] != 'A' else 'B'}"
        paths = f"/o/{token}.gif", f"/c/{token}/{rest}", link_number, f"/c/{altered}/{rest}"
        copies.append(Copy(last_day, delivery, *paths))
    return copies


def stored(tracker: Installation) -> set[tuple[bytes, int]]:
    """The distinct (delivery, link) of all events on disk."""
    with closing(sqlite3.connect(tracker.folder / "tracker.db")) as database:
        return set(database.execute("SELECT delivery, link FROM events"))


def _write(tracker: Installation, deliveries: list[bytes], hour: int, last_day: int, chance: random.Random) -> None:
    with closing(sqlite3.connect(tracker.folder / "tracker.db")) as database, database:
        people = _people(database, last_day, chance)
        message = chance.randbytes(16)
        database.execute(
            "INSERT INTO messages (id, owner, label, first_hour, last_hour, last_day) VALUES (?, ?, 'load', ?, ?, ?)",
            (message, chance.randbytes(16), hour, hour, last_day),
        )
        database.executemany(
            "INSERT INTO deliveries (last_day, id, recipient, message, sent_hour) VALUES (?, ?, ?, ?, ?)",
            (
                (last_day, delivery, people[number % PEOPLE], message, hour)
                for number, delivery in enumerate(deliveries)
            ),
        )
        database.executemany(
            "INSERT INTO tracked (last_day, delivery, purpose, recipient, closed) VALUES (?, ?, ?, ?, 0)",
            (
                (last_day, delivery, purpose, people[number % PEOPLE])
                for purpose in "co"
                for number, delivery in enumerate(deliveries)
            ),
        )


def _people(database: sqlite3.Connection, last_day: int, chance: random.Random) -> list[int]:
    """The ids of people with live grants like those of the one person who has some already."""
    grants = database.execute("SELECT purpose, entry, given_at, notice_version FROM grants").fetchall()
    assert {grant[0] for grant in grants} == {"o", "c"}, "somebody granted both purposes before"
    people = [chance.getrandbits(62) for _ in range(PEOPLE)]
    database.executemany(
        "INSERT INTO recipients (id, pseudonym) VALUES (?, ?)", ((person, chance.randbytes(32)) for person in people)
    )
    database.executemany(
        "INSERT INTO grants (recipient, purpose, entry, last_day, given_at, notice_version) VALUES (?, ?, ?, ?, ?, ?)",
        ((person, purpose, entry, last_day, *rest) for person in people for purpose, entry, *rest in grants),
    )
    return people
