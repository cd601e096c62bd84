"""The statements that fold what is about to go, each made once.

SQLAlchemy takes longer to make most of them than SQLite takes to run them, and hits wait meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    BindParameter,
    Column,
    ColumnElement,
    Integer,
    Select,
    Table,
    and_,
    bindparam,
    exists,
    func,
    literal,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import Insert

from tracker.model import MAIL_PURPOSES, Purpose
from tracker.store.figures import touching
from tracker.store.schema import deliveries, events, folded, folded_copies, folded_links, messages, tracked
from tracker.store.totals import folded_already
from tracker.store.upsert import upsert

ENOUGH: Final = 1_000
"""People that are counted at once at most; more change no decision."""


@dataclass(frozen=True, eq=False)
class Kind:
    """Which copies go, whatever day or people it is about."""

    here: ColumnElement[bool]
    """Which copies those are."""
    stays: Callable[[ColumnElement[int], ColumnElement[bytes]], ColumnElement[bool]] | None
    """Whether a last day and an id are those of none of them; None: nobody has other copies for the purpose."""
    wholly: ColumnElement[bool]
    """Whether nothing of a copy stays: it goes for every purpose that it was measured for."""

    @property
    def copy(self) -> Select[Any]:
        """message, recipient, sent_hour, last_day, delivery and purpose of each."""
        return _copies().where(self.here)


def _copies() -> Select[Any]:
    copy = (tracked.c.last_day == deliveries.c.last_day) & (tracked.c.delivery == deliveries.c.id)
    columns = (deliveries.c.message, deliveries.c.recipient, deliveries.c.sent_hour)
    return (
        select(*columns, tracked.c.last_day, tracked.c.delivery, tracked.c.purpose)
        .join_from(deliveries, tracked, copy)
        .where(deliveries.c.last_day.not_in(folded_already()))
    )


def _kind_of_grants() -> Kind:
    purposes = _some("purposes", tracked.c.purpose)
    others = tracked.alias("others")
    left = exists().where(
        others.c.last_day == tracked.c.last_day,
        others.c.delivery == tracked.c.delivery,
        others.c.purpose.not_in(purposes),
    )
    here = and_(tracked.c.recipient.in_(_some("people", tracked.c.recipient)), tracked.c.purpose.in_(purposes))
    return Kind(here, None, ~left)


def _some(name: str, column: Column[Any]) -> BindParameter[Any]:
    """A parameter for several values of COLUMN."""
    return bindparam(name, expanding=True, type_=column.type)


def _one(name: str, column: Column[Any]) -> BindParameter[Any]:
    return bindparam(name, type_=column.type)


_DAY: Final = _one("day", deliveries.c.last_day)
_UPTO: Final = _one("upto", deliveries.c.id)
WHOLE_DAY: Final = Kind(deliveries.c.last_day == _DAY, lambda last_day, _: last_day != _DAY, true())
PART_OF_DAY: Final = Kind(
    and_(deliveries.c.last_day == _DAY, deliveries.c.id <= _UPTO),
    lambda last_day, delivery: or_(last_day != _DAY, delivery > _UPTO),
    true(),
)
GRANTS: Final = _kind_of_grants()
_KEYS: Final = _some("keys", deliveries.c.message)


@cache
def of_many(kind: Kind) -> Select[Any]:
    """Messages of which there are more copies than `others`, or were before."""
    each = kind.copy.with_only_columns(deliveries.c.message).distinct().subquery()
    copies = deliveries.alias("copies")
    others = bindparam("others", type_=Integer)
    many = select(literal(1)).where(copies.c.message == each.c.message).limit(1).offset(others).exists()
    before = exists().where(folded.c.message == each.c.message)
    return select(each.c.message).where(or_(before, many))


@cache
def counted(kind: Kind) -> Select[Any]:
    """Copies and people by message, of `keys`, and purpose."""
    copy = kind.copy.where(deliveries.c.message.in_(_KEYS)).subquery()
    people = func.count(copy.c.recipient.distinct())
    return select(copy.c.message, copy.c.purpose, func.count(), people).group_by(copy.c.message, copy.c.purpose)


@cache
def staying(kind: Kind) -> Select[Any]:
    """Those of the messages `keys` of which copies stay."""
    assert kind.stays is not None
    copies = deliveries.alias("copies")
    staying = exists().where(
        copies.c.message == messages.c.id,
        kind.stays(copies.c.last_day, copies.c.id),
        copies.c.last_day.not_in(folded_already()),
    )
    return select(messages.c.id).where(messages.c.id.in_(_KEYS), staying)


@cache
def people_leaving(kind: Kind) -> Select[Any]:
    """How many people have no copy of `message` for `purpose` left of those sent before `since`."""
    message, since = _one("message", deliveries.c.message), _one("since", deliveries.c.sent_hour)
    purpose = _one("purpose", tracked.c.purpose)
    copy = kind.copy.where(deliveries.c.message == message, tracked.c.purpose == purpose).subquery()
    leaving = select(copy.c.recipient).where(copy.c.sent_hour < since)
    if kind.stays is not None:
        others, sent = tracked.alias("others"), deliveries.alias("sent")
        left = exists().where(
            others.c.recipient == copy.c.recipient,
            others.c.purpose == purpose,
            kind.stays(others.c.last_day, others.c.delivery),
            sent.c.last_day == others.c.last_day,
            sent.c.id == others.c.delivery,
            sent.c.message == message,
            sent.c.sent_hour < since,
            sent.c.last_day.not_in(folded_already()),
        )
        leaving = leaving.where(~left)
    return select(func.count()).select_from(leaving.distinct().limit(ENOUGH).subquery())


def _enough(kind: Kind) -> Select[Any]:
    """The copies of those messages that have enough people for the purpose: `keys_open`, `keys_click`."""
    message = deliveries.c.message
    each = (
        and_(tracked.c.purpose == purpose, message.in_(_some(keys_of(purpose), message)))
        for purpose in sorted(MAIL_PURPOSES)
    )
    return kind.copy.where(or_(*each))


def keys_of(purpose: Purpose) -> str:
    """The parameter that names the messages with enough people for PURPOSE."""
    return f"keys_{purpose}"


@cache
def touched(kind: Kind) -> Select[Any]:
    """What was touched of copies that go, by message and purpose, where that has enough people."""
    return touching(_enough(kind).subquery(), events.c.purpose)


@cache
def touched_at_all(kind: Kind) -> Select[Any]:
    """The same of copies of which nothing stays, for whatever purpose."""
    return touching(_enough(kind).where(kind.wholly).subquery(), literal(0))


@cache
def deliveries_going(kind: Kind) -> Select[Any]:
    """How many those are, by message."""
    copy = _enough(kind).where(kind.wholly).subquery()
    return select(copy.c.message, func.count(copy.c.delivery.distinct())).group_by(copy.c.message)


@cache
def followed(kind: Kind) -> Select[Any]:
    """What was followed of the messages `keys`."""
    here = (deliveries.c.message.in_(_KEYS), tracked.c.purpose == Purpose.CLICK)
    return touching(kind.copy.where(*here).subquery(), events.c.link)


@cache
def copies_going(kind: Kind) -> Insert:
    """Counts the copies that go of messages of which anything is folded."""
    counted = (
        select(deliveries.c.message, func.count(), literal(0), literal(0), literal(0))
        .where(kind.here, exists().where(folded.c.message == deliveries.c.message))
        .group_by(deliveries.c.message)
    )
    add = upsert(folded_copies).from_select(["message", *_COUNTS], counted)
    return add.on_conflict_do_update(
        index_elements=["message"], set_={"count": folded_copies.c.count + add.excluded.count}
    )


def _adding(table: Table, names: Sequence[str]) -> Insert:
    """Adds to the columns NAMES of TABLE, by its primary key."""
    add = upsert(table)
    sums = {name: table.c[name] + add.excluded[name] for name in names}
    return add.on_conflict_do_update(index_elements=list(table.primary_key), set_=sums)


_COUNTS: Final = ("count", "measured", "by_people", "by_machines")
ADD: Final = _adding(folded, ("people", *_COUNTS[1:]))
ADD_OF_ANY: Final = _adding(folded_copies, _COUNTS[1:])
ADD_OF_LINKS: Final = _adding(folded_links, _COUNTS[2:])
