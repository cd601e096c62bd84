"""Folds what is counted of copies that are about to go into anonymous counts, and finishes those of messages that go.

The law (DESIGN, "Figures"): what expires goes on counting in messages of which at least `minimum_group` different
people were measured, and is dropped from both sides of every rate otherwise. Folding and deleting stand in one
transaction, so that nothing is counted twice or not at all. Who withdraws or is erased never comes here.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Row,
    Select,
    and_,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    true,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.core.calendar import date_of, later
from tracker.core.rounding import STEP, part_of, rounded
from tracker.model import Day, Hour, Purpose
from tracker.store.figures import touches
from tracker.store.schema import (
    deliveries,
    events,
    folded,
    folded_copies,
    folded_links,
    message_untouched,
    messages,
    totals,
    tracked,
)
from tracker.store.totals import folded_already, is_group, people_measured
from tracker.store.upsert import upsert

ENOUGH: Final = 1_000
"""People that are counted at once at most; more change no decision."""

TOGETHER: Final = 1_000
"""Messages that one statement names at most: drivers take only so many."""

Pair = tuple[bytes, Purpose]


@dataclass(frozen=True, slots=True)
class Batch:
    """Tracked copies that go in this transaction."""

    copy: Select[Any]
    """message, recipient, sent_hour, last_day, delivery and purpose of each."""
    stays: Callable[[ColumnElement[int], ColumnElement[bytes]], ColumnElement[bool]] | None
    """Whether a last day and an id are those of none of them; None: nobody has other copies for the purpose."""
    wholly: ColumnElement[bool]
    """Whether nothing of a copy stays: it goes for every purpose that it was measured for."""


@dataclass(frozen=True, slots=True)
class _Here:
    """What a batch holds of one message and purpose."""

    copies: int
    people: int
    """Different ones."""


def of_day(day: Day, upto: bytes | None = None) -> Batch:
    """The copies whose last day is DAY, in the order of their ids as far as UPTO (None: all)."""
    here = deliveries.c.last_day == day if upto is None else _upto(day, upto)

    def stays(last_day: ColumnElement[int], delivery: ColumnElement[bytes]) -> ColumnElement[bool]:
        return last_day != day if upto is None else or_(last_day != day, delivery > upto)

    return Batch(_copies().where(here), stays, true())


def of_grants(purposes: Collection[Purpose], people: Collection[int]) -> Batch:
    """The copies that are measured for one of PURPOSES by grants of PEOPLE: all of theirs."""
    here = and_(tracked.c.recipient.in_(people), tracked.c.purpose.in_(purposes))
    others = tracked.alias("others")
    left = exists().where(
        others.c.last_day == tracked.c.last_day,
        others.c.delivery == tracked.c.delivery,
        others.c.purpose.not_in(purposes),
    )
    return Batch(_copies().where(here), None, ~left)


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
    copy = batch.copy.where(deliveries.c.message.in_(large)).subquery()
    people = func.count(copy.c.recipient.distinct())
    counted = select(copy.c.message, copy.c.purpose, func.count(), people).group_by(copy.c.message, copy.c.purpose)
    here = {
        (message, Purpose(purpose)): _Here(copies, different)
        for message, purpose, copies, different in await connection.execute(counted)
    }
    groups = await _groups(connection, batch, here, hour, minimum_group)
    if not groups:
        return
    of = {purpose: [message for message, each in groups if each is purpose] for _, purpose in groups}
    enough = batch.copy.where(
        or_(*(and_(tracked.c.purpose == purpose, deliveries.c.message.in_(keys)) for purpose, keys in of.items()))
    )
    touched = await touches(connection, enough.subquery(), events.c.purpose)
    add = upsert(folded)
    await connection.execute(
        add.on_conflict_do_update(
            index_elements=["message", "purpose"],
            set_={
                name: folded.c[name] + add.excluded[name] for name in ("people", "measured", "by_people", "by_machines")
            },
        ),
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
    await _fold_any(connection, enough.where(batch.wholly).subquery(), {message for message, _ in groups})
    await _fold_links(connection, batch, of.get(Purpose.CLICK, ()))


async def fold_copies(connection: AsyncConnection, day: Day, upto: bytes | None = None) -> None:
    """Go on counting that copies of DAY (as far as UPTO) went out, where the message has anything folded."""
    here = deliveries.c.last_day == day if upto is None else _upto(day, upto)
    counted = (
        select(deliveries.c.message, func.count(), literal(0), literal(0), literal(0))
        .where(here, exists().where(folded.c.message == deliveries.c.message))
        .group_by(deliveries.c.message)
    )
    columns = ["message", "count", "measured", "by_people", "by_machines"]
    add = upsert(folded_copies).from_select(columns, counted)
    await connection.execute(
        add.on_conflict_do_update(
            index_elements=["message"], set_={"count": folded_copies.c.count + add.excluded.count}
        )
    )


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


def _upto(day: Day, upto: bytes) -> ColumnElement[bool]:
    return and_(deliveries.c.last_day == day, deliveries.c.id <= upto)


def _copies() -> Select[Any]:
    copy = (tracked.c.last_day == deliveries.c.last_day) & (tracked.c.delivery == deliveries.c.id)
    columns = (deliveries.c.message, deliveries.c.recipient, deliveries.c.sent_hour)
    return (
        select(*columns, tracked.c.last_day, tracked.c.delivery, tracked.c.purpose)
        .join_from(deliveries, tracked, copy)
        .where(deliveries.c.last_day.not_in(folded_already()))
    )


def _by(touched: tuple[int, int]) -> dict[str, int]:
    return {"by_people": touched[0], "by_machines": touched[1]}


async def _large(connection: AsyncConnection, batch: Batch, minimum_group: int) -> Sequence[bytes]:
    """The messages in BATCH that went to many, or did so before: a first look that is cheap for one-to-one mail."""
    each = batch.copy.with_only_columns(deliveries.c.message).distinct().subquery()
    copies = deliveries.alias("copies")
    many = select(literal(1)).where(copies.c.message == each.c.message).limit(1).offset(minimum_group - 1).exists()
    before = exists().where(folded.c.message == each.c.message)
    return (await connection.execute(select(each.c.message).where(or_(before, many)))).scalars().all()


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
    if batch.stays is None:
        return set()
    copies = deliveries.alias("copies")
    staying = exists().where(
        copies.c.message == messages.c.id,
        batch.stays(copies.c.last_day, copies.c.id),
        copies.c.last_day.not_in(folded_already()),
    )
    return set((await connection.execute(select(messages.c.id).where(messages.c.id.in_(keys), staying))).scalars())


async def _leaving(connection: AsyncConnection, batch: Batch, message: bytes, purpose: Purpose, since: int) -> int:
    """How many people have no copy of MESSAGE, of those sent before SINCE, left when BATCH is gone."""
    copy = batch.copy.where(deliveries.c.message == message, tracked.c.purpose == purpose).subquery()
    leaving = select(copy.c.recipient).where(copy.c.sent_hour < since)
    if batch.stays is not None:
        others, sent = tracked.alias("others"), deliveries.alias("sent")
        left = exists().where(
            others.c.recipient == copy.c.recipient,
            others.c.purpose == purpose,
            batch.stays(others.c.last_day, others.c.delivery),
            sent.c.last_day == others.c.last_day,
            sent.c.id == others.c.delivery,
            sent.c.message == message,
            sent.c.sent_hour < since,
            sent.c.last_day.not_in(folded_already()),
        )
        leaving = leaving.where(~left)
    people = leaving.distinct().limit(ENOUGH).subquery()
    return int((await connection.execute(select(func.count()).select_from(people))).scalar_one())


async def _fold_any(connection: AsyncConnection, copy: FromClause, keys: Collection[bytes]) -> None:
    """Count COPY, which is of the messages KEYS, once for each delivery."""
    distinct = select(copy.c.message, func.count(copy.c.delivery.distinct())).group_by(copy.c.message)
    measured = {message: count for message, count in await connection.execute(distinct)}  # noqa: C416 - rows are no mapping
    touched = await touches(connection, copy, literal(0))
    add = upsert(folded_copies)
    await connection.execute(
        add.on_conflict_do_update(
            index_elements=["message"],
            set_={
                name: folded_copies.c[name] + add.excluded[name] for name in ("measured", "by_people", "by_machines")
            },
        ),
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
    copy = batch.copy.where(deliveries.c.message.in_(of_messages), tracked.c.purpose == Purpose.CLICK).subquery()
    followed = await touches(connection, copy, events.c.link)
    if not followed:
        return
    add = upsert(folded_links)
    await connection.execute(
        add.on_conflict_do_update(
            index_elements=["message", "number"],
            set_={name: folded_links.c[name] + add.excluded[name] for name in ("by_people", "by_machines")},
        ),
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
