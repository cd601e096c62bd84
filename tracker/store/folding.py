"""Folds what is counted of copies that are about to go into anonymous counts, and finishes those of messages that go.

The law (DESIGN, "Figures"): what expires goes on counting in messages of which at least `minimum_group` different
people were measured, and is dropped from both sides of every rate otherwise. Folding and deleting stand in one
transaction, so that nothing is counted twice or not at all. Who withdraws or is erased never comes here.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    Row,
    and_,
    delete,
    exists,
    func,
    insert,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.core.calendar import date_of, later
from tracker.core.rounding import STEP, part_of, rounded
from tracker.model import MAIL_PURPOSES, Day, Hour, Purpose
from tracker.store import folding_statements as statements
from tracker.store.figures import touched_by
from tracker.store.schema import (
    folded,
    folded_copies,
    folded_links,
    message_untouched,
    messages,
    totals,
)
from tracker.store.totals import is_group, people_measured

TOGETHER: Final = 1_000
"""Messages that one statement names at most: drivers take only so many."""

Pair = tuple[bytes, Purpose]


@dataclass(frozen=True, slots=True)
class Batch:
    """Tracked copies that go in this transaction."""

    kind: statements.Kind
    values: Mapping[str, Any]
    """What the parameters of its statements stand for."""


@dataclass(frozen=True, slots=True)
class _Here:
    """What a batch holds of one message and purpose."""

    copies: int
    people: int
    """Different ones."""


def of_day(day: Day, upto: bytes | None = None) -> Batch:
    """The copies whose last day is DAY, in the order of their ids as far as UPTO (None: all)."""
    if upto is None:
        return Batch(statements.WHOLE_DAY, {"day": day})
    return Batch(statements.PART_OF_DAY, {"day": day, "upto": upto})


def of_grants(purposes: Collection[Purpose], people: Collection[int]) -> Batch:
    """The copies that are measured for one of PURPOSES by grants of PEOPLE: all of theirs."""
    return Batch(statements.GRANTS, {"purposes": list(purposes), "people": list(people)})


async def hold_folding(connection: AsyncConnection) -> None:
    """Be the only one who folds until the commit: what is folded by two is counted twice. Others read on.

    On SQLite, whoever writes is alone anyway.
    """
    if connection.dialect.name == "postgresql":
        await connection.exec_driver_sql("LOCK TABLE folded_days IN EXCLUSIVE MODE")


async def fold(connection: AsyncConnection, batch: Batch, hour: Hour, minimum_group: int) -> None:
    """Go on counting BATCH, which expires in HOUR and is still there, in its messages of MINIMUM_GROUP people."""
    large = await _large(connection, batch, minimum_group)
    for at in range(0, len(large), TOGETHER):
        await _fold_messages(connection, batch, large[at : at + TOGETHER], hour, minimum_group)


async def _fold_messages(
    connection: AsyncConnection, batch: Batch, large: Sequence[bytes], hour: Hour, minimum_group: int
) -> None:
    counted = await connection.execute(statements.counted(batch.kind), {**batch.values, "keys": large})
    here = {(message, Purpose(purpose)): _Here(copies, different) for message, purpose, copies, different in counted}
    groups = await _groups(connection, batch, here, hour, minimum_group)
    if not groups:
        return
    of = {purpose: [message for message, each in groups if each is purpose] for purpose in MAIL_PURPOSES}
    values = {**batch.values, **{statements.keys_of(purpose): keys for purpose, keys in of.items()}}
    touched = touched_by(await connection.execute(statements.touched(batch.kind), values))
    await connection.execute(
        statements.ADD,
        [
            {
                "message": message,
                "purpose": purpose,
                "since_hour": hour + 1,
                "people": more,
                "measured": here[message, purpose].copies,
                **_by(touched.get((message, purpose), (0, 0))),
            }
            for (message, purpose), more in groups.items()
        ],
    )
    await _fold_any(connection, batch, values, {message for message, _ in groups})
    await _fold_links(connection, batch, of[Purpose.CLICK])


async def fold_copies(connection: AsyncConnection, day: Day, upto: bytes | None = None) -> None:
    """Go on counting that copies of DAY (as far as UPTO) went out, where the message has anything folded."""
    batch = of_day(day, upto)
    await connection.execute(statements.copies_going(batch.kind), batch.values)


async def small_pairs(connection: AsyncConnection, minimum_group: int) -> Sequence[Pair]:
    """What is folded of messages and purposes that may have too few people by now."""
    few = select(folded.c.message, folded.c.purpose).where(folded.c.people < minimum_group)
    return [(message, purpose) for message, purpose in await connection.execute(few)]


async def drop_small(connection: AsyncConnection, pairs: Sequence[Pair], minimum_group: int) -> None:
    """Delete what is folded of those of PAIRS that have too few people: others withdrew since."""
    for message, purpose in pairs:
        this = and_(folded.c.message == message, folded.c.purpose == purpose)
        row = (await connection.execute(select(folded).where(this))).first()
        if row is None or await is_group(connection, row, minimum_group):
            continue
        await connection.execute(delete(folded).where(this))
        if purpose is Purpose.CLICK:
            await connection.execute(delete(folded_links).where(folded_links.c.message == message))
        left = exists().where(folded.c.message == message)
        await connection.execute(delete(folded_copies).where(folded_copies.c.message == message, ~left))


async def finish(connection: AsyncConnection, gone: Sequence[bytes], minimum_group: int) -> None:
    """Keep rounded totals of those messages GONE, about to be deleted, that MINIMUM_GROUP people were measured of."""
    kept = select(folded).where(folded.c.message.in_(gone), folded.c.people >= minimum_group)
    rows: dict[bytes, dict[Purpose, Row[Any]]] = defaultdict(dict)
    for row in await connection.execute(kept):
        rows[row.message][row.purpose] = row
    if not rows:
        return
    untouched = (
        select(func.coalesce(func.sum(message_untouched.c.count), 0))
        .where(message_untouched.c.message == messages.c.id)
        .scalar_subquery()
    )
    about = await connection.execute(
        select(messages.c.id, messages.c.first_hour, messages.c.last_hour, folded_copies.c.count, untouched)
        .outerjoin(folded_copies, folded_copies.c.message == messages.c.id)
        .where(messages.c.id.in_(rows))
    )
    await connection.execute(
        insert(totals),
        [
            {
                "id": secrets.randbits(63),
                "month": _month_of(Hour(last if first is None else first)),
                "sent": rounded((copies or 0) + left),
                "tracked": rounded(copies or 0),
                **_rounded(rows[message]),
            }
            for message, first, last, copies, left in about.all()
        ],
    )


def _by(touched: tuple[int, int]) -> dict[str, int]:
    return {"by_people": touched[0], "by_machines": touched[1]}


async def _large(connection: AsyncConnection, batch: Batch, minimum_group: int) -> Sequence[bytes]:
    """The messages in BATCH that went to many, or did so before: a first look that is cheap for one-to-one mail."""
    found = await connection.execute(statements.of_many(batch.kind), {**batch.values, "others": minimum_group - 1})
    large: Sequence[bytes] = found.scalars().all()
    return large


async def _groups(
    connection: AsyncConnection, batch: Batch, here: Mapping[Pair, _Here], hour: Hour, minimum_group: int
) -> Mapping[Pair, int]:
    """The pairs that have enough people, each with how many more of them are counted in `folded` from now on."""
    keys = {message for message, _ in here}
    known = {
        (row.message, row.purpose): row
        for row in await connection.execute(select(folded).where(folded.c.message.in_(keys)))
    }
    elsewhere = await _also_elsewhere(connection, batch, keys)
    groups = {}
    for pair, found in here.items():
        row = known.get(pair)
        if row is not None and row.people >= minimum_group:
            groups[pair] = 0
        elif found.people >= minimum_group or await _are_there(connection, pair, row, minimum_group):
            since = hour + 1 if row is None else row.since_hour
            alone = row is None and pair[0] not in elsewhere
            groups[pair] = found.people if alone else await _leaving(connection, batch, *pair, since)
    return groups


async def _are_there(connection: AsyncConnection, pair: Pair, row: Any | None, minimum_group: int) -> bool:
    if row is not None:
        return await is_group(connection, row, minimum_group)
    return await people_measured(connection, *pair, minimum_group) >= minimum_group


async def _also_elsewhere(connection: AsyncConnection, batch: Batch, keys: Collection[bytes]) -> Collection[bytes]:
    """Those of the messages KEYS of which copies stay when BATCH is gone."""
    if batch.kind.stays is None:
        return set()
    found = await connection.execute(statements.staying(batch.kind), {**batch.values, "keys": list(keys)})
    return set(found.scalars())


async def _leaving(connection: AsyncConnection, batch: Batch, message: bytes, purpose: Purpose, since: int) -> int:
    """How many people have no copy of MESSAGE, of those sent before SINCE, left when BATCH is gone."""
    values = {**batch.values, "message": message, "purpose": purpose, "since": since}
    return int((await connection.execute(statements.people_leaving(batch.kind), values)).scalar_one())


async def _fold_any(
    connection: AsyncConnection, batch: Batch, values: Mapping[str, Any], keys: Collection[bytes]
) -> None:
    """Count what goes wholly of BATCH, of the messages KEYS that VALUES name, once for each delivery."""
    counted = await connection.execute(statements.deliveries_going(batch.kind), values)
    measured = {message: count for message, count in counted}  # noqa: C416 - rows are no mapping
    touched = touched_by(await connection.execute(statements.touched_at_all(batch.kind), values))
    await connection.execute(
        statements.ADD_OF_ANY,
        [
            {
                "message": message,
                "count": 0,
                "measured": measured.get(message, 0),
                **_by(touched.get((message, 0), (0, 0))),
            }
            for message in keys
        ],
    )


async def _fold_links(connection: AsyncConnection, batch: Batch, of_messages: Sequence[bytes]) -> None:
    if not of_messages:
        return
    followed = touched_by(
        await connection.execute(statements.followed(batch.kind), {**batch.values, "keys": list(of_messages)})
    )
    if not followed:
        return
    await connection.execute(
        statements.ADD_OF_LINKS,
        [{"message": message, "number": number, **_by(by)} for (message, number), by in followed.items()],
    )


def _rounded(rows: Mapping[Purpose, Row[Any]]) -> dict[str, int | None]:
    """The columns of `totals` about opens and clicks; none where a group is too small."""
    told: dict[str, int | None] = {}
    for purpose, touched in ((Purpose.OPEN, "opened"), (Purpose.CLICK, "clicked")):
        row = rows.get(purpose)
        told |= {
            f"{purpose}_measured": None if row is None or row.measured < STEP else rounded(row.measured),
            touched: None if row is None else part_of(row.measured, row.by_people),
            f"{touched}_by_machines": None if row is None else part_of(row.measured, row.by_machines),
        }
    return told


def _month_of(hour: Hour) -> Day:
    day = Day(hour // 24)
    return later(day, 1 - date_of(day).day)
