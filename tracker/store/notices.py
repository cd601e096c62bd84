"""Keeps the texts that people agree to."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Row, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.core.ledger import notice_hash
from tracker.model import BadNotice, Day, Language, Notice
from tracker.store.schema import notices
from tracker.store.upsert import upsert


async def add_notice(connection: AsyncConnection, notice: Notice) -> bool:
    """Put NOTICE on file; False when there is one of that version and language, which stays as it is.

    Raises BadNotice when its version was superseded, or has other features in another language.
    """
    same_version = select(notices).where(notices.c.version == notice.version)
    others = [_notice(row) for row in await connection.execute(same_version)]
    if any(other.superseded_day is not None for other in others):
        raise BadNotice("the version was superseded; give the text a new one")
    if any(other.language is notice.language for other in others):
        return False
    if any(other.features != notice.features for other in others):
        raise BadNotice("the version has other features in another language")
    added = await connection.execute(
        upsert(notices)
        .values(
            version=notice.version,
            language=notice.language,
            text=notice.text,
            sha256=notice_hash(notice.text),
            features=json.dumps(sorted(notice.features)),
            superseded_day=notice.superseded_day,
        )
        .on_conflict_do_nothing()
    )
    return bool(added.rowcount)


async def read_notice(connection: AsyncConnection, version: str, language: Language) -> Notice | None:
    """The notice of that VERSION in LANGUAGE."""
    found = await connection.execute(
        select(notices).where(notices.c.version == version, notices.c.language == language)
    )
    row = found.first()
    return None if row is None else _notice(row)


async def all_notices(connection: AsyncConnection) -> tuple[Notice, ...]:
    """Every notice, by version and language."""
    rows = await connection.execute(select(notices).order_by(notices.c.version, notices.c.language))
    return tuple(_notice(row) for row in rows)


async def mark_superseded(connection: AsyncConnection, version: str, today: Day) -> bool:
    """From TODAY on nothing rests on VERSION in any language; False when no such version was in force."""
    marked = await connection.execute(
        update(notices)
        .where(notices.c.version == version, notices.c.superseded_day.is_(None))
        .values(superseded_day=today)
    )
    return bool(marked.rowcount)


def _notice(row: Row[Any]) -> Notice:
    return Notice(
        version=row.version,
        language=Language(row.language),
        text=row.text,
        features=frozenset(json.loads(row.features)),
        superseded_day=None if row.superseded_day is None else Day(row.superseded_day),
    )
