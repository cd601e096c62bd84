"""Finds what people do just now with the messages of reps who watch: only of who agreed to be watched (feature `live`).

The law: nothing is stored for it, and nothing is known more precisely than by the hour. Who asks again and again sees
what has come since, and what has gone. The question is cheap: most often no message of theirs was touched in this hour,
which one look in an index tells; else the copies of those few messages are looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.model import Agent, Day, DeliveryId, Feature, Hour, LinkNumber, MessageKey, Owner, Purpose
from tracker.store.measured import copies_of, hangs_on
from tracker.store.schema import covering, events, grants, links, messages

CHUNK: Final = 500
"""Messages whose copies are looked at together."""


class Touch(NamedTuple):
    """What a person did in an hour with one copy; whoever does it again in that hour does the same."""

    owner: Owner
    message: MessageKey
    delivery: DeliveryId
    purpose: Purpose
    link: LinkNumber
    hour: Hour


class Told(NamedTuple):
    """What a rep is told of a touch."""

    touch: Touch
    label: str | None
    """The message's."""
    target: str
    """Host and path of the link that was followed; empty when the image was loaded."""


async def touched(connection: AsyncConnection, owners: Collection[Owner], today: Day, since: Hour) -> frozenset[Touch]:
    """What people who agreed to be watched did in the hour SINCE, or later, with messages of OWNERS."""
    in_this_hour = select(messages.c.id, messages.c.owner).where(
        messages.c.owner.in_(owners),
        messages.c.engaged_hour >= since,
        messages.c.last_day >= today,
        exists(covering(Feature.LIVE)),
    )
    owner_of = {key: Owner(owner) for key, owner in await connection.execute(in_this_hour)}
    keys, found = list(owner_of), set[Touch]()
    for first in range(0, len(keys), CHUNK):
        found |= await _of_messages(connection, keys[first : first + CHUNK], owner_of, today, since)
    return frozenset(found)


async def told(connection: AsyncConnection, touches: Collection[Touch]) -> tuple[Told, ...]:
    """What is to be told of TOUCHES, in no order; nothing of messages that are gone."""
    keys = {touch.message for touch in touches}
    of_messages = select(messages.c.id, messages.c.label).where(messages.c.id.in_(keys))
    labels = {row.id: row.label for row in await connection.execute(of_messages)}
    numbers = {touch.link for touch in touches if touch.purpose is Purpose.CLICK}
    of_links = select(links).where(links.c.message.in_(keys), links.c.number.in_(numbers))
    targets = {(row.message, row.number): f"{row.host}{row.path}" for row in await connection.execute(of_links)}
    return tuple(
        Told(touch, labels[touch.message], targets.get((touch.message, touch.link), ""))
        for touch in touches
        if touch.message in labels
    )


async def _of_messages(
    connection: AsyncConnection, keys: Sequence[bytes], owner_of: Mapping[bytes, Owner], today: Day, since: Hour
) -> set[Touch]:
    copies = await copies_of(connection, keys, today)
    copy = copies.where(grants.c.notice_version.in_(covering(Feature.LIVE))).subquery()
    rows = await connection.execute(
        select(copy.c.message, events.c.delivery, events.c.purpose, events.c.link, events.c.hour)
        .join_from(copy, events, hangs_on(copy))
        .where(events.c.hour >= since, events.c.agent >= Agent.PROXY)
    )
    return {
        Touch(owner_of[message], MessageKey(message), DeliveryId(delivery), purpose, LinkNumber(link), Hour(hour))
        for message, delivery, purpose, link, hour in rows
    }
