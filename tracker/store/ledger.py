"""Appends to the ledger, reads what it says of one person, and checks that its chain holds."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from hmac import compare_digest
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, Table, case, exists, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.core.ledger import (
    GENESIS,
    SALT_SIZE,
    Statement,
    content_digest,
    entry_digest,
    evidence_of,
    evidence_text,
    instant_text,
    purposes_text,
)
from tracker.model import Day, Language, LedgerContent, LedgerEvent, Method, Purpose
from tracker.store.schema import grants, ledger, ledger_contents, ledger_ends, pending

_CHUNK = 1_000


async def append(connection: AsyncConnection, key: bytes, statement: Statement) -> int:
    """Append STATEMENT to the chain, sealed with the ledger's KEY; the number of its entry."""
    return await append_all(connection, key, [statement])


async def append_all(connection: AsyncConnection, key: bytes, statements: Sequence[Statement]) -> int:
    """Append STATEMENTS, one at least, in their order; the number of the last one's entry.

    Only the last of them may end others: the database takes what an entry ends together with it.
    """
    entry, previous = await head(connection)
    links, contents = [], []
    for statement in statements:
        entry += 1
        salt = secrets.token_bytes(SALT_SIZE)
        content = content_digest(key, statement, salt)
        digest = entry_digest(key, entry, previous, statement.last_day, content)
        links.append(
            {
                "entry": entry,
                "last_day": statement.last_day,
                "content_digest": content,
                "previous": previous,
                "digest": digest,
            }
        )
        contents.append({"entry": entry, "salt": salt, **_columns(statement)})
        previous = digest
    await connection.execute(insert(ledger), links)
    await connection.execute(insert(ledger_contents), contents)
    last = statements[-1]
    for ended in last.ends:
        day = select(ledger.c.last_day).where(ledger.c.entry == ended).scalar_subquery()
        later = case((day > last.last_day, day), else_=last.last_day)
        await connection.execute(insert(ledger_ends).values(ended=ended, entry=entry, last_day=later))
    return entry


async def head(connection: AsyncConnection) -> tuple[int, bytes]:
    """The last entry of the chain and its digest; 0 and GENESIS while there is none."""
    last = (
        await connection.execute(select(ledger.c.entry, ledger.c.digest).order_by(ledger.c.entry.desc()).limit(1))
    ).first()
    return (last.entry, last.digest) if last else (0, GENESIS)


async def unsupported(connection: AsyncConnection, recipient: int) -> tuple[int, ...]:
    """The entries that gave or asked for something on which nothing rests any more and that nothing ended yet."""
    entry = ledger_contents.c.entry
    rows = await connection.execute(
        select(entry)
        .where(
            ledger_contents.c.recipient == recipient,
            ledger_contents.c.event.in_([LedgerEvent.GIVEN, LedgerEvent.REQUESTED]),
            ~exists().where(grants.c.recipient == recipient, grants.c.entry == entry),
            ~exists().where(pending.c.recipient == recipient, pending.c.entry == entry),
            ~exists().where(ledger_ends.c.ended == entry),
        )
        .order_by(entry)
    )
    return tuple(rows.scalars())


async def history(connection: AsyncConnection, recipient: int, today: Day) -> tuple[LedgerContent, ...]:
    """What the ledger says of RECIPIENT, oldest first, as far as its day has not passed on TODAY."""
    rows = await connection.execute(
        select(ledger_contents)
        .where(ledger_contents.c.recipient == recipient, ~_is_due(ledger_contents, today))
        .order_by(ledger_contents.c.entry)
    )
    return tuple(_content(row) for row in rows)


def ended_by(today: Day) -> Select[tuple[int]]:
    """The entries that were ended by one which has passed its own day on TODAY: their content goes with it."""
    ender = ledger.alias("ender")
    return select(ledger_ends.c.ended).join(ender, ender.c.entry == ledger_ends.c.entry).where(ender.c.last_day < today)


def ended_with(today: Day) -> Select[tuple[int]]:
    """The same, found by the contents of such entries that are still there."""
    ender = ledger_contents.alias("ender")
    return select(ledger_ends.c.ended).join(ender, ender.c.entry == ledger_ends.c.entry).where(ender.c.last_day < today)


async def digest_of(connection: AsyncConnection, entry: int) -> bytes | None:
    """The digest of ENTRY, and so of all before it; None when there is none such."""
    found = await connection.execute(select(ledger.c.digest).where(ledger.c.entry == entry))
    return found.scalar_one_or_none()


async def entries_after(connection: AsyncConnection, entry: int, today: Day, limit: int) -> dict[int, int]:
    """Up to LIMIT entries after ENTRY, oldest first, whose day has not passed on TODAY: each with its person."""
    rows = await connection.execute(
        select(ledger_contents.c.entry, ledger_contents.c.recipient)
        .where(ledger_contents.c.entry > entry, ~_is_due(ledger_contents, today))
        .order_by(ledger_contents.c.entry)
        .limit(limit)
    )
    return {row.entry: row.recipient for row in rows}


async def contents(connection: AsyncConnection, entries: Collection[int]) -> tuple[LedgerContent, ...]:
    """What ENTRIES say, oldest first."""
    rows = await connection.execute(
        select(ledger_contents).where(ledger_contents.c.entry.in_(entries)).order_by(ledger_contents.c.entry)
    )
    return tuple(_content(row) for row in rows)


def _is_due(entries: Table, today: Day) -> ColumnElement[bool]:
    """Whether the content of one of ENTRIES (`ledger` or `ledger_contents`) has passed its day on TODAY."""
    ended = ended_by(today).where(ledger_ends.c.ended == entries.c.entry)
    return or_(entries.c.last_day < today, ended.exists())


async def first_broken(connection: AsyncConnection, key: bytes, today: Day) -> int | None:
    """The first entry that does not fit the chain, or whose content is missing before its day or was changed.

    None when all is well. The contents are read as they were sealed with KEY.
    """
    previous, expected, reached = GENESIS, 1, 0
    while chain := await chain_after(connection, reached, today):
        reached = chain[-1].entry
        contents = await content_digests(connection, key, chain[0].entry, reached)
        for link in chain:
            digest = entry_digest(key, link.entry, previous, link.last_day, link.content_digest)
            content = contents.get(link.entry, link.content_digest if link.due else b"")
            fits = link.entry == expected and link.previous == previous
            if not (fits and compare_digest(link.digest, digest) and compare_digest(link.content_digest, content)):
                return expected
            previous, expected = digest, expected + 1
    return None


async def chain_after(connection: AsyncConnection, reached: int, today: Day) -> Sequence[Row[Any]]:
    """The next rows of the chain after the entry REACHED, each with whether its content is `due` to go on TODAY."""
    entries = select(ledger, _is_due(ledger, today).label("due")).where(ledger.c.entry > reached)
    return (await connection.execute(entries.order_by(ledger.c.entry).limit(_CHUNK))).all()


async def content_digests(connection: AsyncConnection, key: bytes, first: int, last: int) -> dict[int, bytes]:
    """What the contents that are still there would be sealed with, by entry."""
    ends: dict[int, list[int]] = defaultdict(list)
    for row in await connection.execute(select(ledger_ends).where(ledger_ends.c.entry.between(first, last))):
        ends[row.entry].append(row.ended)
    contents = await connection.execute(select(ledger_contents).where(ledger_contents.c.entry.between(first, last)))
    return {row.entry: content_digest(key, _statement(row, tuple(ends[row.entry])), row.salt) for row in contents}


def _columns(statement: Statement) -> dict[str, Any]:
    return {
        "last_day": statement.last_day,
        "recipient": statement.recipient,
        "event": statement.event,
        "purposes": purposes_text(statement.purposes),
        "method": statement.method,
        "given_at": instant_text(statement.given_at) if statement.given_at else None,
        "notice_version": statement.notice_version,
        "notice_hash": statement.notice_hash,
        "language": statement.language,
        "recorded_at": instant_text(statement.recorded_at),
        "actor": statement.actor,
        "evidence": evidence_text(statement.evidence),
    }


def _statement(row: Row[Any], ends: tuple[int, ...]) -> Statement:
    return Statement(
        recipient=row.recipient,
        event=LedgerEvent(row.event),
        purposes=frozenset(Purpose(name) for name in row.purposes.split(",")),
        last_day=Day(row.last_day),
        recorded_at=datetime.fromisoformat(row.recorded_at),
        actor=row.actor,
        method=Method(row.method) if row.method else None,
        given_at=datetime.fromisoformat(row.given_at) if row.given_at else None,
        notice_version=row.notice_version,
        notice_hash=row.notice_hash,
        language=Language(row.language) if row.language else None,
        evidence=evidence_of(row.evidence),
        ends=ends,
    )


def _content(row: Row[Any]) -> LedgerContent:
    says = _statement(row, ())
    return LedgerContent(
        entry=row.entry,
        event=says.event,
        purposes=says.purposes,
        recorded_at=says.recorded_at,
        actor=says.actor,
        last_day=says.last_day,
        method=says.method,
        given_at=says.given_at,
        notice_version=says.notice_version,
        notice_hash=says.notice_hash,
        language=says.language,
        evidence=says.evidence,
    )
