"""Why copies left untouched is told on both engines, of all messages or of the newest alone."""

from __future__ import annotations

from tests.store.world import JONAS, MARIA, TODAY, World, at, copy, on, person
from tracker.core.calendar import hour_of
from tracker.model import DeliveryId, MessageKey, Owner, Reason, UntouchedCopy

BOTH = frozenset({JONAS, MARIA})


async def campaign(world: World, number: int, owner: Owner, reason: Reason, count: int) -> None:
    """A message of which one copy was tracked, and COUNT others left untouched for REASON."""
    key = MessageKey(bytes([number]) * 16)
    who = person(number)
    await world.give(who)
    sent = copy(who, message=key, owner=owner, delivery=DeliveryId(key), sent_hour=hour_of(at(0)) - number)
    assert await world.store.register(sent, TODAY)
    for _ in range(count):
        world.store.count_untouched(UntouchedCopy(owner, TODAY, reason, key, campaign=True))


async def test_of_each_owner_the_newest_messages_are_looked_at(world: World) -> None:
    for number, (owner, reason) in enumerate(
        ((JONAS, Reason.NO_GRANT), (JONAS, Reason.TOO_LARGE), (MARIA, Reason.ENCRYPTED), (JONAS, Reason.SIGNED))
    ):
        await campaign(world, number, owner, reason, number + 1)
    world.store.count_untouched(UntouchedCopy(JONAS, TODAY, Reason.REPORT, None, campaign=False))
    every = await world.store.reasons(BOTH, on(-1), TODAY)
    assert every.counts == {
        Reason.NO_GRANT: 1, Reason.TOO_LARGE: 2, Reason.ENCRYPTED: 3, Reason.SIGNED: 4, Reason.REPORT: 1
    }  # fmt: skip
    assert every.newest is None
    two = await world.store.reasons(BOTH, on(-1), TODAY, 2)
    assert two.counts == {Reason.NO_GRANT: 1, Reason.TOO_LARGE: 2, Reason.ENCRYPTED: 3, Reason.REPORT: 1}
    assert two.newest == 2
    assert (await world.store.reasons(BOTH, on(-1), TODAY, 5)) == every
    assert not (await world.store.reasons(BOTH, on(1), on(2), 5)).counts


async def test_whether_more_than_a_fifth_came_signed_is_told_of_the_same_messages(world: World) -> None:
    await campaign(world, 1, JONAS, Reason.SIGNED, 1)
    assert (await world.store.reasons(BOTH, on(-1), TODAY, 9)).came_signed, "one of two copies"
    for number in range(2, 6):
        await campaign(world, number, JONAS, Reason.SIGNED, 0)
    assert not (await world.store.reasons(BOTH, on(-1), TODAY, 9)).came_signed, "one of six"
    assert (await world.store.reasons(BOTH, on(-1), TODAY, 1)).came_signed, "of the newest, one of two"
