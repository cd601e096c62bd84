"""Looks grants up on SQLite: many people in one statement, in one step to a reader's thread and back."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from functools import partial
from typing import Final

from tracker.model import Day, Pseudonym, Purpose
from tracker.store.sqlite import SqliteDatabase

_SIZE: Final = 32
"""Octets of a pseudonym."""
_PURPOSES: Final = {purpose.value[0]: purpose for purpose in Purpose}
# CROSS JOIN keeps the order: each person is looked for by key, whatever SQLite guesses of the tables.
_LIVE: Final = """
    SELECT recipients.pseudonym, grants.purpose
    FROM json_each(:places) AS place
    CROSS JOIN recipients ON recipients.pseudonym = substr(:pseudonyms, place.value, :size)
    CROSS JOIN grants ON grants.recipient = recipients.id
    WHERE grants.last_day >= :today
      AND grants.notice_version NOT IN (SELECT version FROM notices WHERE superseded_day <= :today)
"""


async def read_grants(database: SqliteDatabase, items: Sequence[tuple[Pseudonym, Day]]) -> list[frozenset[Purpose]]:
    """The purposes for which each person has a live grant on the day named with it. Raises StoreUnavailable."""
    today = max(day for _, day in items)
    people = list({pseudonym for pseudonym, _ in items})
    found = await database.read_at_once(partial(_read, people, today))
    return [frozenset(found.get(pseudonym, ())) for pseudonym, _ in items]


def _read(people: Sequence[Pseudonym], today: Day, connection: sqlite3.Connection) -> dict[bytes, set[Purpose]]:
    values = {
        "places": json.dumps([1 + _SIZE * number for number in range(len(people))]),
        "pseudonyms": b"".join(people),
        "size": _SIZE,
        "today": today,
    }
    found: dict[bytes, set[Purpose]] = {}
    for pseudonym, letter in connection.execute(_LIVE, values):
        found.setdefault(pseudonym, set()).add(_PURPOSES[letter])
    return found
