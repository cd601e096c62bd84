"""API keys are known by digests only; notices are never overwritten."""

from __future__ import annotations

from tests.store.world import TODAY, World, on
from tracker.model import ApiKey, Language, Notice, Scope

KEY = ApiKey("crm", frozenset({Scope.REWRITE, Scope.CONSENT}), TODAY, owner="jonas")


async def test_a_key_is_found_by_its_digest(world: World) -> None:
    assert await world.store.add_key(KEY, b"digest")
    assert await world.store.key_by_digest(b"digest", TODAY) == KEY
    assert await world.store.key_by_digest(b"another", TODAY) is None


async def test_a_name_is_given_once(world: World) -> None:
    assert await world.store.add_key(KEY, b"1")
    assert not await world.store.add_key(KEY, b"2")
    assert await world.store.revoke_key("crm", TODAY)
    assert not await world.store.add_key(KEY, b"3")
    assert await world.store.key_by_digest(b"3", TODAY) is None


async def test_a_revoked_key_opens_nothing_and_is_still_listed(world: World) -> None:
    await world.store.add_key(KEY, b"digest")
    assert await world.store.revoke_key("crm", on(3))
    assert await world.store.key_by_digest(b"digest", on(3)) is None
    assert await world.store.revoke_key("crm", on(9)), "again changes nothing"
    assert [key.revoked_day for key in await world.store.keys()] == [on(3)]
    assert not await world.store.revoke_key("nobody", TODAY)


async def test_keys_are_listed_by_name(world: World) -> None:
    for name in ("shop", "crm"):
        await world.store.add_key(ApiKey(name, frozenset({Scope.STATS}), TODAY), name.encode())
    assert [key.name for key in await world.store.keys()] == ["crm", "shop"]


async def test_a_notice_is_never_overwritten(world: World) -> None:
    live = Notice("2027-1", Language.DE, "Neu", frozenset({"live", "webhook"}))
    assert await world.store.add_notice(live)
    assert not await world.store.add_notice(Notice("2027-1", Language.DE, "Anders"))
    notices = await world.store.notices()
    assert [(notice.version, notice.language) for notice in notices] == [
        ("2026-1", Language.DE),
        ("2026-1", Language.EN),
        ("2027-1", Language.DE),
    ]
    assert notices[-1] == live
