"""Registers tracked copies on SQLite: a whole group is one statement, in one step to the writer's thread and back.

The statement hands the group, as JSON, to a view of the writer's own, whose trigger writes all tables: so SQLite works
through it without asking for the interpreter's lock between two tables, and it is a transaction by itself.

The law: a copy for somebody without a live grant leaves no row, and hits wait for nobody's links. Where there are many
they are written ahead, some at a time.
"""

# ruff: noqa: S608 - every statement is made of the constants in this file
from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from tracker.model import Day, Left, Link, LinkNumber, MessageKey, Purpose, Registration
from tracker.store.sqlite import SqliteDatabase

FEW: Final = 400
"""Links that are written in one transaction; it takes some milliseconds."""
_SIZE: Final = 80
"""Octets of one copy's keys: pseudonym, delivery, message and owner, in this order."""
_PURPOSES: Final = {purpose.value[0]: purpose for purpose in Purpose}
_LETTERS: Final = {purpose: letter for letter, purpose in _PURPOSES.items()}


@dataclass(frozen=True, slots=True)
class _Content:
    """What some copies of a message have in common."""

    copies: list[tuple[int, str]] = field(default_factory=list)
    """Their numbers within the group, each with the letters of what it would track."""
    links: Sequence[Link] = ()
    left: Mapping[Left, int] = field(default_factory=dict)


class Registrar:
    """Registers copies through the writer of one database."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database
        self._prepared: sqlite3.Connection | None = None
        """The connection that has the view."""

    async def __call__(self, items: Sequence[tuple[Registration, Day]]) -> list[frozenset[Purpose]]:
        """Write copies that are about to leave, in one transaction; the purposes for which each is now tracked.

        A copy for somebody without a live grant leaves no row; one that was registered before changes nothing. Where
        messages have many links these are written before, some at a time. Raises StoreUnavailable.
        """
        copies = [copy for copy, _ in items]
        values = _values(copies, max(day for _, day in items))
        contents = _contents(copies)
        if sum(len(content.links) for content in contents) > FEW:
            contents = await self._written_ahead(copies, contents, values)
        values |= {"contents": _json_of(contents), "ahead": 0}
        found = await self._database.write_at_once(partial(self._write, values))
        tracked: defaultdict[int, set[Purpose]] = defaultdict(set)
        for number, letter in json.loads(found):
            tracked[number].add(_PURPOSES[letter])
        return [frozenset(tracked.get(number, ())) for number in range(len(items))]

    async def _written_ahead(
        self, copies: Sequence[Registration], contents: Sequence[_Content], values: Mapping[str, Any]
    ) -> list[_Content]:
        """Write those links of CONTENTS that are not there yet, a few at a time; CONTENTS without links."""
        known = await self._database.read_at_once(partial(_known_links, {copy.message for copy in copies}))
        missing = [
            (content, link)
            for content in contents
            for link in content.links
            if (copies[content.copies[0][0]].message, link.number) not in known
        ]
        for at in range(0, len(missing), FEW):
            chunk: dict[int, tuple[_Content, list[Link]]] = {}
            for content, link in missing[at : at + FEW]:
                chunk.setdefault(id(content), (content, []))[1].append(link)
            some = _json_of([replace(content, links=links, left={}) for content, links in chunk.values()])
            await self._database.write_at_once(partial(self._write, {**values, "contents": some, "ahead": 1}))
        return [replace(content, links=()) for content in contents]

    def _write(self, values: Mapping[str, Any], connection: sqlite3.Connection) -> str:
        """Which copies are tracked now for which purposes, as a JSON array of pairs."""
        if connection is not self._prepared:
            connection.executescript(_VIEW)
            self._prepared = connection
        connection.execute(_WRITE, values)
        if values["ahead"]:
            return "[]"
        ((found,),) = connection.execute(_FOUND, values)
        return str(found)


def _values(copies: Sequence[Registration], today: Day) -> dict[str, Any]:
    rows = [
        (
            copy.last_day,
            copy.sent_hour,
            copy.label,
            _letters(copy),
            copy.source,
            copy.reference,
        )
        for copy in copies
    ]
    return {
        "copies": json.dumps(rows, ensure_ascii=False),  # half a pair of surrogates is refused, not written down
        "octets": b"".join(
            [key for copy in copies for key in (copy.recipient, copy.delivery, copy.message, copy.owner)]
        ),
        "today": today,
    }


def _contents(copies: Sequence[Registration]) -> list[_Content]:
    """What COPIES say of their messages: once for all that say the same, as those of one plan do."""
    found: dict[tuple[MessageKey, int, int], _Content] = {}
    for number, copy in enumerate(copies):
        content = found.setdefault(
            (copy.message, id(copy.links), id(copy.left)), _Content(links=copy.links, left=copy.left)
        )
        content.copies.append((number, _letters(copy)))
    return list(found.values())


def _letters(copy: Registration) -> str:
    return "".join([_LETTERS[purpose] for purpose in copy.purposes])


def _json_of(contents: Iterable[_Content]) -> str:
    rows = [
        (
            content.copies,
            [(link.number, link.host, link.path) for link in content.links],
            # That there was no grant is about the recipient, not about the message.
            [(reason.value, count) for reason, count in content.left.items() if reason is not Left.NO_GRANT],
        )
        for content in contents
    ]
    return json.dumps(rows, ensure_ascii=False)


def _known_links(messages: Iterable[MessageKey], connection: sqlite3.Connection) -> set[tuple[MessageKey, LinkNumber]]:
    query = "SELECT json_group_array(number) FROM links WHERE message = ?"
    return {
        (message, number)
        for message in messages
        for (numbers,) in connection.execute(query, (message,))
        for number in json.loads(numbers)
    }


def _keys(copy: str, values: str) -> dict[str, str]:
    """Where the keys of the copy with the number COPY stand in VALUES."""
    places = (("pseudonym", 1, 32), ("delivery", 33, 16), ("message", 49, 16), ("owner", 65, 16))
    return {name: f"substr({values}octets, {copy} * {_SIZE} + {at}, {size})" for name, at, size in places}


def _live(values: str) -> str:
    return f"""
        grants.last_day >= {values}today
        AND grants.notice_version NOT IN (SELECT version FROM notices WHERE superseded_day <= {values}today)
    """


_COPY: Final = _keys("given.key", "NEW.")
_FIRST: Final = _keys("(content.value ->> '$[0][0][0]')", "NEW.")
_IS_ALLOWED: Final = f"""
    EXISTS (
        SELECT 1 FROM recipients CROSS JOIN grants ON grants.recipient = recipients.id
        WHERE recipients.pseudonym = {_COPY["pseudonym"]} AND instr(given.value ->> 3, grants.purpose)
          AND {_live("NEW.")}
    )
"""
_IS_ALLOWED_TO_ANYBODY: Final = f"""
    EXISTS (
        SELECT 1 FROM json_each(content.value, '$[0]') AS place
        CROSS JOIN recipients ON recipients.pseudonym = {_keys("(place.value ->> 0)", "NEW.")["pseudonym"]}
        CROSS JOIN grants ON grants.recipient = recipients.id
        WHERE instr(place.value ->> 1, grants.purpose) AND {_live("NEW.")}
    )
"""
# CROSS JOIN keeps the order: each row is looked for by its key, whatever SQLite guesses of the tables.
STATEMENTS: Final = (
    f"""
    INSERT INTO messages (id, owner, label, first_hour, last_hour, last_day)
    SELECT {_COPY["message"]}, {_COPY["owner"]}, given.value ->> 2, given.value ->> 1, given.value ->> 1,
           given.value ->> 0
    FROM json_each(NEW.copies) AS given
    WHERE {_IS_ALLOWED}
    ON CONFLICT (id) DO UPDATE SET
        label = coalesce(label, excluded.label),
        first_hour = min(coalesce(first_hour, excluded.first_hour), excluded.first_hour),
        last_hour = max(last_hour, excluded.last_hour),
        last_day = max(last_day, excluded.last_day)
    WHERE first_hour IS NULL OR excluded.first_hour < first_hour OR excluded.last_hour > last_hour
       OR excluded.last_day > last_day OR (label IS NULL AND excluded.label IS NOT NULL)
    """,
    f"""
    INSERT INTO message_left (message, reason, count)
    SELECT {_FIRST["message"]}, link.value ->> 0, link.value ->> 1
    FROM json_each(NEW.contents) AS content CROSS JOIN json_each(content.value, '$[2]') AS link
    WHERE {_IS_ALLOWED_TO_ANYBODY}
    ON CONFLICT DO NOTHING
    """,
    f"""
    INSERT INTO links (message, number, host, path)
    SELECT {_FIRST["message"]}, link.value ->> 0, link.value ->> 1, link.value ->> 2
    FROM json_each(NEW.contents) AS content CROSS JOIN json_each(content.value, '$[1]') AS link
    WHERE {_IS_ALLOWED_TO_ANYBODY}
    ON CONFLICT DO NOTHING
    """,
    f"""
    INSERT INTO deliveries (last_day, id, recipient, message, sent_hour)
    SELECT given.value ->> 0, {_COPY["delivery"]}, recipients.id, {_COPY["message"]}, given.value ->> 1
    FROM json_each(NEW.copies) AS given CROSS JOIN recipients ON recipients.pseudonym = {_COPY["pseudonym"]}
    WHERE NOT NEW.ahead AND {_IS_ALLOWED}
    ON CONFLICT DO NOTHING
    """,
    f"""
    INSERT INTO tracked (last_day, delivery, purpose, recipient, closed)
    SELECT deliveries.last_day, deliveries.id, grants.purpose, grants.recipient, 0
    FROM json_each(NEW.copies) AS given
    CROSS JOIN recipients ON recipients.pseudonym = {_COPY["pseudonym"]}
    CROSS JOIN grants ON grants.recipient = recipients.id AND instr(given.value ->> 3, grants.purpose)
    CROSS JOIN deliveries
            ON deliveries.last_day = given.value ->> 0 AND deliveries.id = {_COPY["delivery"]}
           AND deliveries.recipient = recipients.id
    WHERE NOT NEW.ahead AND {_live("NEW.")}
    ON CONFLICT DO NOTHING
    """,
    f"""
    INSERT INTO external_ids (source, reference, recipient, last_day)
    SELECT given.value ->> 4, given.value ->> 5, recipients.id, (
        SELECT max(grants.last_day) FROM grants WHERE grants.recipient = recipients.id AND {_live("NEW.")}
    )
    FROM json_each(NEW.copies) AS given CROSS JOIN recipients ON recipients.pseudonym = {_COPY["pseudonym"]}
    WHERE NOT NEW.ahead AND given.value ->> 5 IS NOT NULL AND {_IS_ALLOWED}
    ON CONFLICT (source, reference) DO UPDATE SET recipient = excluded.recipient, last_day = excluded.last_day
    WHERE recipient != excluded.recipient OR last_day < excluded.last_day
    """,
)
"""What the trigger does with `NEW`: the values of `_WRITE`."""
_VALUES: Final = ("copies", "octets", "contents", "today", "ahead")
_VIEW: Final = f"""
    CREATE TEMP VIEW registering AS SELECT {", ".join(f"NULL AS {name}" for name in _VALUES)};
    CREATE TEMP TRIGGER register INSTEAD OF INSERT ON registering
    BEGIN {";".join(STATEMENTS)}; END;
"""
_WRITE: Final = f"INSERT INTO registering VALUES ({', '.join(f':{name}' for name in _VALUES)})"
_GIVEN: Final = _keys("given.key", ":")
_FOUND: Final = f"""
    SELECT json_group_array(json_array(given.key, tracked.purpose))
    FROM json_each(:copies) AS given
    CROSS JOIN tracked ON tracked.last_day = given.value ->> 0 AND tracked.delivery = {_GIVEN["delivery"]}
    CROSS JOIN recipients ON recipients.id = tracked.recipient AND recipients.pseudonym = {_GIVEN["pseudonym"]}
    CROSS JOIN grants ON grants.recipient = tracked.recipient AND grants.purpose = tracked.purpose
    WHERE instr(given.value ->> 3, tracked.purpose) AND {_live(":")}
"""
