"""Keeps the events that another system is to be told of, from the transaction that writes them until it took them.

The law: only what rests on a grant under a notice that covers it, about a person whom the receiver gave a reference
for; what may not be told any more goes when its turn comes. A webhook hangs on its event, and goes with it. Who takes
some leaves them to nobody else until a given time: when the process dies meanwhile, they are taken again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any, Final

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    FromClause,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.core.webhook import Backlog, WaitingWebhook
from tracker.model import Agent, Day, DeliveryId, Event, Feature, Hour, LinkNumber, MessageKey
from tracker.store.schema import covering, deliveries, external_ids, grants, is_live, links, messages, outbox, tracked

_KEY: Final = tuple(outbox.primary_key)
_AT: Final = and_(*(column == bindparam(f"at_{column.name}", type_=column.type) for column in _KEY))
_HOUR: Final = 3_600
MOST_GOING: Final = 500
"""Of those that may not be told any more, how many go in one transaction."""
MOST_COUNTED: Final = 100_000
"""Of those that wait, how many are counted."""


def is_to_be_told(source: str | BindParameter[str], today: Day | BindParameter[int]) -> ColumnElement[bool]:
    """Whether what rests on a row of `grants` may be told to SOURCE."""
    known = exists().where(
        external_ids.c.recipient == grants.c.recipient,
        external_ids.c.source == source,
        external_ids.c.last_day >= today,
    )
    return and_(grants.c.notice_version.in_(covering(Feature.WEBHOOK)), known)


def due(hour: ColumnElement[int]) -> ColumnElement[int]:
    """When what happened in HOUR may be told: when it has turned; at once where the notice of `grants` has `live`."""
    return (hour + case((grants.c.notice_version.in_(covering(Feature.LIVE)), 0), else_=1)) * _HOUR


async def is_due(connection: AsyncConnection, now: int) -> bool:
    """Whether anything is due NOW, in seconds since 1970; perhaps none of it may be told any more."""
    return (await connection.execute(select(literal(1)).where(outbox.c.due <= now).limit(1))).first() is not None


async def take(
    connection: AsyncConnection, source: str, today: Day, now: int, until: int, count: int
) -> tuple[WaitingWebhook, ...]:
    """Up to COUNT that are due NOW (seconds since 1970), which nobody else takes before UNTIL.

    In the order in which they are due; of those of one hour it says nothing, since a delivery's id is random.
    """
    found = (
        await connection.execute(
            select(*_KEY, outbox.c.tries, tracked.c.recipient)
            .join_from(outbox, tracked, _hangs_on(tracked))
            .join(grants, _same(tracked, grants, "recipient", "purpose"))
            .where(outbox.c.due <= now, outbox.c.last_day >= today, is_live(today), is_to_be_told(source, today))
            .order_by(outbox.c.due, *_KEY)
            .limit(count)
            .with_for_update(of=outbox, skip_locked=True)
        )
    ).all()
    if len(found) < count:
        await _forget_untold(connection, source, today, now)
    if not found:
        return ()
    taken = update(outbox).where(_AT).values(due=bindparam("until"), tries=outbox.c.tries + 1)
    await connection.execute(taken, [{**_at(_event(row)), "until": until} for row in found])
    references = await _references(connection, source, {row.recipient for row in found}, today)
    told = await _told(connection, {(row.last_day, row.delivery, row.link) for row in found})
    return tuple(
        WaitingWebhook(
            _event(row),
            references[row.recipient],
            *told[row.last_day, row.delivery, row.link],
            tries=row.tries,
        )
        for row in found
        if row.recipient in references and (row.last_day, row.delivery, row.link) in told
    )


async def forget(connection: AsyncConnection, events: Collection[Event]) -> None:
    """Take those of EVENTS off the list: they were told."""
    if events:
        await connection.execute(delete(outbox).where(_AT), [_at(event) for event in events])


async def put_off(connection: AsyncConnection, until: Mapping[Event, int]) -> None:
    """Try each event again at the time, in seconds since 1970, that UNTIL has for it."""
    if until:
        later = update(outbox).where(_AT).values(due=bindparam("until"))
        await connection.execute(later, [{**_at(event), "until": due} for event, due in until.items()])


async def backlog(connection: AsyncConnection, today: Day) -> Backlog:
    """What waits on TODAY."""
    some = (
        select(outbox.c.hour, case((outbox.c.tries > 0, 1), else_=0).label("refused"))
        .where(outbox.c.last_day >= today)
        .order_by(outbox.c.due)
        .limit(MOST_COUNTED)
    ).subquery()
    query = select(func.count(), func.coalesce(func.sum(some.c.refused), 0), func.min(some.c.hour))
    waiting, refused, oldest = (await connection.execute(query.select_from(some))).one()
    return Backlog(waiting, int(refused), None if oldest is None else Hour(oldest))


async def _forget_untold(connection: AsyncConnection, source: str, today: Day, now: int) -> None:
    """Take those off the list that are due NOW and may not be told any more: who agreed since to another text."""
    allowed = (
        exists()
        .where(_hangs_on(tracked), _same(tracked, grants, "recipient", "purpose"))
        .where(is_live(today), is_to_be_told(source, today))
    )
    untold = (
        select(*_KEY)
        .where(outbox.c.due <= now, outbox.c.last_day >= today, ~allowed)
        .order_by(outbox.c.due, *_KEY)
        .limit(MOST_GOING)
        .with_for_update(of=outbox, skip_locked=True)
    )
    await forget(connection, [_event(row) for row in (await connection.execute(untold)).all()])


async def _references(
    connection: AsyncConnection, source: str, people: Collection[int], today: Day
) -> dict[int, tuple[str, ...]]:
    rows = await connection.execute(
        select(external_ids.c.recipient, external_ids.c.source, external_ids.c.reference)
        .where(external_ids.c.recipient.in_(people), external_ids.c.last_day >= today)
        .order_by(external_ids.c.reference)
    )
    found: dict[int, list[str]] = defaultdict(list)
    for row in rows:
        if row.source == source:
            found[row.recipient].append(row.reference)
    return {recipient: tuple(references) for recipient, references in found.items()}


async def _told(
    connection: AsyncConnection, wanted: Collection[tuple[int, bytes, int]]
) -> dict[tuple[int, bytes, int], tuple[MessageKey, str | None, str | None, str | None]]:
    """The message, its label, and host and path of the link, of what was followed in a copy."""
    found = {}
    for last_day, delivery, link in wanted:  # a few, each by its key
        row = (
            await connection.execute(
                select(messages.c.id, messages.c.label, links.c.host, links.c.path)
                .join_from(deliveries, messages, messages.c.id == deliveries.c.message)
                .outerjoin(links, and_(links.c.message == messages.c.id, links.c.number == literal(link)))
                .where(deliveries.c.last_day == last_day, deliveries.c.id == delivery)
            )
        ).first()
        if row is not None:
            found[last_day, delivery, link] = (MessageKey(row.id), row.label, row.host, row.path)
    return found


def _same(one: FromClause, other: FromClause, *names: str) -> ColumnElement[bool]:
    return and_(*(one.c[name] == other.c[name] for name in names))


def _hangs_on(copies: FromClause) -> ColumnElement[bool]:
    return _same(outbox, copies, "last_day", "delivery", "purpose")


def _event(row: Any) -> Event:
    return Event(
        Day(row.last_day),
        DeliveryId(row.delivery),
        row.purpose,
        LinkNumber(row.link),
        Hour(row.hour),
        Agent(row.agent),
    )


def _at(event: Event) -> dict[str, Any]:
    return {f"at_{name}": value for name, value in event._asdict().items()}
