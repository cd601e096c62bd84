"""Writes events on SQLite: the only insert into `events`, which applies the grant again.

A whole group is one statement, run in the writer's own thread with the rows as one JSON array: as long as SQLite works
on it nothing else of the program has to wait.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from sqlalchemy import FromClause, Integer, LargeBinary, Select, Text, and_, bindparam, exists, func, literal, select

from tracker.model import Day, Event
from tracker.store.bursts import Struck, mark_bursts_at_once, nothing_struck, struck_of
from tracker.store.compiled import compiled
from tracker.store.group import Then
from tracker.store.outbox import due, is_to_be_told
from tracker.store.schema import events, grants, is_live, outbox, tracked
from tracker.store.sqlite import SqliteDatabase, in_transaction
from tracker.store.upsert import upsert

Item: TypeAlias = tuple[Event, Day]
"""What is to be written, and the day on which it came in."""
_ID_SIZE: Final = 16


async def record_events(
    database: SqliteDatabase,
    items: Sequence[Item],
    then: Then[bool, Item],
    struck: Struck = nothing_struck,
    told_to: str | None = None,
) -> Sequence[bool]:
    """Write events in one transaction, each with the day it came in; whether each found a live grant to hang on.

    One that is there already is accepted and changes nothing. Where STRUCK knows of a burst, what people seem to have
    done becomes a program's. What is new and may be told to TOLD_TO, who gave references for people, is put into the
    outbox with it. After the commit THEN takes the answers; the items that it gives are written next, in the same
    thread; those of the last are returned. Raises StoreUnavailable.
    """

    def write(connection: sqlite3.Connection) -> Sequence[bool]:
        answers = _write_group(items, struck, told_to, connection)
        while more := then(answers):
            answers = _write_group(more, struck, told_to, connection)
        return answers

    return await database.write_at_once(write)


def _write_group(
    items: Sequence[Item], struck: Struck, told_to: str | None, connection: sqlite3.Connection
) -> Sequence[bool]:
    """Write ITEMS; whether each found a live grant."""
    rows = list({event for event, _ in items})
    values = {
        "rows": json.dumps([(row.last_day, row.purpose[0], row.link, row.hour, row.agent) for row in rows]),
        "ids": b"".join([row.delivery for row in rows]),
        "today": max(day for _, day in items),
    }
    found = _write(rows, values, struck, told_to, connection)
    if found is None:
        return [True] * len(items)
    accepted = {rows[key] for key in json.loads(found)}
    return [event in accepted for event, _ in items]


def _write(
    rows: Sequence[Event],
    values: Mapping[str, Any],
    struck: Struck,
    told_to: str | None,
    connection: sqlite3.Connection,
) -> str | None:
    """Insert ROWS, all different; which of them found a live grant, as a JSON array, or None for all.

    Of bursts it is enough to ask now: this process has the turn to write, so whoever sees one later writes later.
    """
    bursts = struck_of(rows, struck)
    if not bursts and told_to is None:
        return _insert(len(rows), values, connection)
    with in_transaction(connection):
        if told_to is not None:  # first, as long as it can be seen which are new
            tell, always = _TELL
            connection.execute(tell, {**always, **values, "told_to": told_to})
        found = _insert(len(rows), values, connection)
        mark_bursts_at_once(connection, bursts)
    return found


def _insert(count: int, values: Mapping[str, Any], connection: sqlite3.Connection) -> str | None:
    insert, always = _INSERT
    if connection.execute(insert, {**always, **values}).rowcount == count:
        return None
    # Some were there already, or found nothing to hang on: which, says the same question again. In one row: for each
    # one that is fetched the interpreter's lock changes hands.
    select, always = _FOUND
    ((found,),) = connection.execute(select, {**always, **values})
    return str(found)


def _open(columns: Sequence[Any], given: FromClause) -> Select[Any]:
    """The tracked deliveries that the events GIVEN may hang on."""
    today = bindparam("today", type_=Integer)
    delivery = func.substr(bindparam("ids", type_=LargeBinary), given.c.key * _ID_SIZE + 1, _ID_SIZE)
    return (
        select(*columns)
        .select_from(given)
        .join(
            tracked,
            (tracked.c.last_day == _field(given, 0))
            & (tracked.c.delivery == delivery)
            & (tracked.c.purpose == _field(given, 1)),
        )
        .join(grants, (grants.c.recipient == tracked.c.recipient) & (grants.c.purpose == tracked.c.purpose))
        .where(tracked.c.closed == 0, tracked.c.last_day >= today, is_live(today))
    )


def _field(given: FromClause, number: int) -> Any:
    return func.json_extract(given.c.value, f"$[{number}]")


_GIVEN: Final = func.json_each(bindparam("rows")).table_valued("key", "value", name="given")
_COLUMNS: Final = ("last_day", "delivery", "purpose", "link", "hour", "agent")
_VALUES: Final = (
    *(tracked.c[name] for name in _COLUMNS[:3]),
    *(_field(_GIVEN, number).label(name) for number, name in enumerate(_COLUMNS[3:], 2)),
)
"""A row of `events`: what it hangs on as it is stored there, the rest as it was given."""
_INSERT: Final = compiled(
    upsert(events)
    .from_select(
        _COLUMNS,
        _open(
            _VALUES,
            _GIVEN,
        ),
    )
    .on_conflict_do_nothing()
)
_TELL: Final = compiled(
    upsert(outbox)
    .from_select(
        [*_COLUMNS, "due", "tries"],
        _open(
            [*_VALUES, due(_field(_GIVEN, 3)), literal(0)],
            _GIVEN,
        ).where(
            is_to_be_told(bindparam("told_to", type_=Text), bindparam("today", type_=Integer)),
            ~exists().where(
                and_(*(events.c[name] == tracked.c[name] for name in _COLUMNS[:3])),
                and_(*(events.c[name] == _field(_GIVEN, number) for number, name in enumerate(_COLUMNS[3:], 2))),
            ),
        ),
    )
    .on_conflict_do_nothing()
)
_FOUND: Final = compiled(_open([func.json_group_array(_GIVEN.c.key)], _GIVEN))
