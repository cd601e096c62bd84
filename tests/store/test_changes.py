"""What changed is told in the references of whoever asks, in the ledger's order, and an erasure for thirty days."""

from __future__ import annotations

from tests.store.world import ANNA, BERT, World, on
from tracker.store.changes import remember_erased


async def refer(world: World, *references: tuple[str, str]) -> None:
    async with world.store.consents() as book:
        for source, reference in references:
            await book.remember_reference(source, reference, ANNA, on(100))


async def erase(world: World, entry: int, last_day: int = 30) -> None:
    async with world.store.consents() as book:
        await remember_erased(book._connection, await book._recipient(ANNA), entry, on(last_day))


async def test_the_references_of_somebody_erased_are_taken_off_the_person(world: World) -> None:
    entry = await world.give(ANNA)
    await refer(world, ("crm", "1"), ("crm", "2"), ("shop", "1"))
    await world.give(BERT)
    async with world.store.consents() as book:
        await book.remember_reference("crm", "9", BERT, on(100))
    await erase(world, entry)
    assert world.rows("SELECT source, reference FROM external_ids") == [("crm", "9")]
    assert world.rows("SELECT * FROM erased_ids ORDER BY source, reference") == [
        ("crm", "1", entry, on(30)),
        ("crm", "2", entry, on(30)),
        ("shop", "1", entry, on(30)),
    ]


async def test_a_reference_that_was_given_anew_and_is_erased_again_is_told_again(world: World) -> None:
    first = await world.give(ANNA)
    await refer(world, ("crm", "1"))
    await erase(world, first)
    second = await world.give(ANNA)
    await refer(world, ("crm", "1"))
    await erase(world, second, last_day=60)
    assert world.rows("SELECT * FROM erased_ids") == [("crm", "1", second, on(60))]


async def test_a_step_looks_up_the_references_of_its_people_and_not_all_of_a_system(sqlite_world: World) -> None:
    plan = sqlite_world.rows(
        "EXPLAIN QUERY PLAN SELECT * FROM external_ids WHERE recipient IN (1, 2, 3) AND last_day >= 5"
    )
    assert [row[3] for row in plan] == ["SEARCH external_ids USING INDEX external_ids_by_recipient (recipient=?)"]
