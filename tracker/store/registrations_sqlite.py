"""Registers tracked copies on SQLite: a whole group is one statement, in one step to the writer's thread and back.

The statement hands the group, as JSON, to a view of the writer's own, whose trigger writes all tables: so SQLite works
through it without asking for the interpreter's lock between two tables, and it is a transaction by itself.

The law: a copy for somebody without a live grant leaves no row, and hits wait for nobody's links. Where there are many
they are written ahead, some at a time.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from tracker.model import Day, Left, Link, LinkNumber, MessageKey, Purpose, Registration
from tracker.store.registering import FOUND, VIEW, WRITE
from tracker.store.sqlite import SqliteDatabase

FEW: Final = 400
"""Links that are written in one transaction; it takes some milliseconds."""
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
            connection.executescript(VIEW)
            self._prepared = connection
        connection.execute(WRITE, values)
        if values["ahead"]:
            return "[]"
        ((found,),) = connection.execute(FOUND, values)
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


def _known_links(
    messages: Collection[MessageKey], connection: sqlite3.Connection
) -> set[tuple[MessageKey, LinkNumber]]:
    places = ", ".join("?" * len(messages))
    rows = connection.execute(
        f"SELECT message, json_group_array(number) FROM links WHERE message IN ({places}) GROUP BY message",  # noqa: S608
        tuple(messages),
    )
    return {(message, number) for message, numbers in rows for number in json.loads(numbers)}
