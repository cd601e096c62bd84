"""An operator hears in time which consents end, in counts and in the references that senders gave."""

from __future__ import annotations

from tests.store.world import ANNA, BERT, TODAY, World, at, on, person
from tracker.model import Language, Notice
from tracker.store.expiring import Expiring


async def refer(world: World, *references: tuple[str, str]) -> None:
    async with world.store.consents() as book:
        for (source, reference), who in zip(references, (ANNA, ANNA, BERT), strict=True):
            await book.remember_reference(source, reference, who, on(500))


async def test_what_ends_soon_is_listed_by_day(world: World) -> None:
    await world.give(ANNA, days=5)
    await world.give(BERT, days=5)
    await world.give(person(1), days=9)
    await world.give(person(2), days=31)
    await refer(world, ("crm", "1"), ("shop", "a"), ("crm", "2"))
    assert await world.store.expiring(TODAY, 30) == (
        Expiring(on(5), 2, {"crm": ("1", "2"), "shop": ("a",)}),
        Expiring(on(9), 1, {}),
    )
    assert await world.store.expiring(TODAY, 4) == ()
    assert [one.day for one in await world.store.expiring(on(5), 1)] == [on(5)], "on its last day it is still there"
    assert [one.day for one in await world.store.expiring(on(6), 30)] == [on(9), on(31)]


async def test_who_said_no_or_renewed_is_not_reminded_of(world: World) -> None:
    await world.give(ANNA, days=5)
    await world.withdraw(ANNA)
    await world.give(BERT, days=5)
    await world.give(BERT, days=500, now=at(1))
    assert await world.store.expiring(TODAY, 30) == ()


async def test_a_superseded_notice_leaves_nothing_to_remind_of(world: World) -> None:
    assert await world.store.add_notice(Notice("2027-1", Language.DE, "Neu"))
    await world.give(ANNA, days=5)
    async with world.store._database.write() as connection:
        await connection.exec_driver_sql(f"UPDATE notices SET superseded_day = {on(1)} WHERE version = '2026-1'")
    assert await world.store.expiring(on(1), 30) == ()
