"""After a rekey everybody is still found, by the new keys alone; one that was interrupted is finished by the next."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.postgres import Cluster
from tests.store.world import LEDGER_KEY, NOW, TODAY, World, at
from tracker.core.keys import KeyRing, SigningKey
from tracker.core.pseudonym import pseudonym
from tracker.model import MAIL_PURPOSES, Language, Notice, StoreUnavailable, WrongKey
from tracker.store import rekey
from tracker.store.store import Store

SIGNING = (SigningKey("A", b"s" * 32, NOW),)
OLD, NEW, NEWER = (
    KeyRing((b"1" * 32, b"2" * 32, b"3" * 32)[:generations], LEDGER_KEY, SIGNING) for generations in (1, 2, 3)
)
PEOPLE = [f"person{number}@example.org" for number in range(50)]


async def opened(url: str, ring: KeyRing) -> World:
    store = await Store.open(url, ledger_key=LEDGER_KEY, fingerprint=ring.fingerprint, former=ring.former)
    return World(store, url)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """A database of the first generation: all agreed, the second half said no."""
    if request.param == "sqlite":
        url = f"sqlite+aiosqlite:///{tmp_path / 'tracker.db'}"
        await filled(url)
        yield url
        return
    cluster: Cluster = request.getfixturevalue("cluster")
    name = cluster.make()
    await filled(cluster.url(name))
    yield cluster.url(name)
    cluster.drop(name)


async def filled(url: str) -> None:
    await Store.create(url, fingerprint=OLD.fingerprint, notices=[Notice("2026-1", Language.DE, "Dürfen wir?")])
    world = await opened(url, OLD)
    for number, address in enumerate(PEOPLE):
        await world.give(pseudonym(OLD.pseudonym_keys, address))
        if number >= 25:
            await world.withdraw(pseudonym(OLD.pseudonym_keys, address), now=at(1))
    await world.store.close()


async def standings(world: World, ring: KeyRing) -> list[tuple[bool, bool]]:
    """Who has grants and who said no, looked up with the keys of RING."""
    found = [await world.store.standing(pseudonym(ring.pseudonym_keys, address), TODAY) for address in PEOPLE]
    return [(set(one.grants) == MAIL_PURPOSES, set(one.suppressed) == MAIL_PURPOSES) for one in found]


HALF_AND_HALF = [(True, False)] * 25 + [(False, True)] * 25
NOBODY = [(False, False)] * 50


@pytest.mark.parametrize("ring", [NEW, NEWER])
async def test_a_database_of_an_earlier_generation_is_brought_to_the_newest(url: str, ring: KeyRing) -> None:
    """Killed between key file and database, the next start mends it; so does a restored backup from before."""
    world = await opened(url, ring)
    assert world.store.was_rekeyed
    assert await standings(world, ring) == HALF_AND_HALF
    assert await standings(world, OLD) == NOBODY, "the old key alone finds nobody"
    assert await world.store.broken_entry(TODAY) is None
    await world.store.close()
    again = await opened(url, ring)
    assert not again.store.was_rekeyed
    assert await standings(again, ring) == HALF_AND_HALF
    await again.store.close()


async def test_the_old_keys_open_the_database_no_more(url: str) -> None:
    await (await opened(url, NEW)).store.close()
    with pytest.raises(WrongKey):
        await opened(url, OLD)
    another = KeyRing((b"9" * 32, b"2" * 32), LEDGER_KEY, SIGNING)
    with pytest.raises(WrongKey):
        await opened(url, another)


async def test_no_page_keeps_an_old_pseudonym_after_the_vacuum(tmp_path: Path) -> None:
    path = tmp_path / "tracker.db"
    await filled(f"sqlite+aiosqlite:///{path}")
    world = await opened(f"sqlite+aiosqlite:///{path}", NEW)
    await world.store.vacuum()
    await world.store.close()
    pages = b"".join(each.read_bytes() for each in path.parent.glob("tracker.db*"))
    for address in PEOPLE:
        assert bytes(pseudonym(OLD.pseudonym_keys, address)) not in pages
        assert bytes(pseudonym(NEW.pseudonym_keys, address)) in pages


async def test_more_people_than_are_wrapped_together_are_all_found(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rekey, "CHUNK", 7)
    world = await opened(url, NEW)
    assert await standings(world, NEW) == HALF_AND_HALF
    await world.store.close()


async def test_a_server_with_the_old_keys_writes_nothing_about_people_until_it_has_the_new(url: str) -> None:
    """Otherwise whoever said no would not be found, and a sync would begin again with them."""
    running, other = await opened(url, OLD), await opened(url, OLD)
    assert await other.store.use_keys(NEW.fingerprint, NEW.former)
    with pytest.raises(StoreUnavailable):
        await running.give(pseudonym(OLD.pseudonym_keys, PEOPLE[40]))
    with pytest.raises(StoreUnavailable):
        await running.withdraw(pseudonym(OLD.pseudonym_keys, PEOPLE[0]))
    assert not await running.store.grants_of(pseudonym(OLD.pseudonym_keys, PEOPLE[0]), TODAY)
    assert not await running.store.use_keys(NEW.fingerprint, NEW.former)
    assert await running.withdraw(pseudonym(NEW.pseudonym_keys, PEOPLE[0]), now=at(1))
    assert world_has_one_row_each(running)
    for world in (running, other):
        await world.store.close()


def world_has_one_row_each(world: World) -> bool:
    return world.count("recipients") == len(PEOPLE)
