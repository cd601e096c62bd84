"""Prepares what the hits of a benchmark are about: many deliveries to people who agreed, and their tokens."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tests.harness import Installation
from tracker.core.calendar import day_of, hour_of, later
from tracker.core.tokens import DeliveryToken, Tokens
from tracker.keyfile import KeyFile
from tracker.model import DeliveryId

PEOPLE = 500
RETENTION = 90
TARGET = "https://shop.example.com/werkbank/?utm_source=newsletter"


@dataclass(frozen=True)
class Paths:
    """What can be asked for; each path of a list belongs to a delivery of its own."""

    pixels: list[str]
    links: list[str]
    forged: list[str]


def paths(tracker: Installation, copies: int) -> Paths:
    """The paths of so many COPIES that left an hour ago, of a mail to people who granted both purposes.

    The rows are written as the store writes them, past the server, which must not run: at its own pace it would take
    longer than what is measured.
    """
    now = datetime.now(UTC).replace(microsecond=0)
    chance = random.Random(11)
    tokens = Tokens(KeyFile(tracker.folder / "tracker.keys").load())
    key, plan = tokens.ring.signing_key(now).id, chance.randbytes(5)
    last_day = later(day_of(now), RETENTION)
    issued = now - timedelta(hours=1)
    copies_of = [
        DeliveryToken(last_day, DeliveryId(chance.randbytes(16)), plan, chance.randbytes(6), issued, key)
        for _ in range(copies)
    ]
    with closing(sqlite3.connect(tracker.folder / "tracker.db")) as database, database:
        people = _people(database, last_day, chance)
        message = chance.randbytes(16)
        database.execute(
            "INSERT INTO messages (id, owner, label, first_hour, last_hour, last_day) VALUES (?, ?, 'bench', ?, ?, ?)",
            (message, chance.randbytes(16), hour_of(issued), hour_of(issued), last_day),
        )
        database.executemany(
            "INSERT INTO deliveries (last_day, id, recipient, message, sent_hour) VALUES (?, ?, ?, ?, ?)",
            (
                (last_day, copy.delivery, people[number % PEOPLE], message, hour_of(issued))
                for number, copy in enumerate(copies_of)
            ),
        )
        database.executemany(
            "INSERT INTO tracked (last_day, delivery, purpose, recipient, closed) VALUES (?, ?, ?, ?, 0)",
            (
                (last_day, copy.delivery, purpose, people[number % PEOPLE])
                for purpose in "co"
                for number, copy in enumerate(copies_of)
            ),
        )
    part = tokens.sign_link(key, plan, TARGET)
    rest = f"{part.part.decode()}/{part.host.decode()}/"
    signed = [tokens.sign_delivery(copy).decode() for copy in copies_of]
    return Paths(
        pixels=[f"/o/{token}.gif" for token in signed],
        links=[f"/c/{token}/{rest}" for token in signed],
        forged=[f"/c/{token[:-8]}{'AAAAAAAA'}/{rest}" for token in signed[:2_000]],
    )


def _people(database: sqlite3.Connection, last_day: int, chance: random.Random) -> list[int]:
    """The ids of people with a live grant for both purposes, like that of the one person who has one already."""
    grants = database.execute("SELECT purpose, entry, given_at, notice_version FROM grants").fetchall()
    assert {grant[0] for grant in grants} == {"o", "c"}
    people = [chance.getrandbits(62) for _ in range(PEOPLE)]
    database.executemany(
        "INSERT INTO recipients (id, pseudonym) VALUES (?, ?)", ((person, chance.randbytes(32)) for person in people)
    )
    database.executemany(
        "INSERT INTO grants (recipient, purpose, entry, last_day, given_at, notice_version) VALUES (?, ?, ?, ?, ?, ?)",
        ((person, grant[0], grant[1], last_day, *grant[2:]) for person in people for grant in grants),
    )
    return people


def stored(tracker: Installation) -> int:
    """How many events there are."""
    with closing(sqlite3.connect(tracker.folder / "tracker.db")) as database:
        ((count,),) = database.execute("SELECT count(*) FROM events")
    return int(count)
