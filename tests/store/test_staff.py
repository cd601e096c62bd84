"""Accounts and sessions at rest: each is found as long as it should be, used up once, and gone at its end."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.store.world import PROOF, TODAY, World, at, on
from tracker.model import Account, Language, Role, StaffSession, StoreUnavailable
from tracker.store.staff import IDLE

NOW = at(0)
RITA = Account(1, "rita@example.org", Role.REP, TODAY, ("r.meier@example.org", "rm@example.org"))
MARK = Account(2, "mark@example.org", Role.MANAGER, TODAY)


async def added(world: World, *accounts: Account) -> None:
    async with world.store.staff() as book:
        for account in accounts:
            assert await book.add(account, f"hash of {account.login}")


def session(account: Account, name: bytes = b"a", began: datetime = NOW, **more: object) -> StaffSession:
    values: dict[str, object] = {"used": began, "ends": began + timedelta(hours=12), "complete": True, **more}
    return StaffSession(name * 32, account, began, **values)  # type: ignore[arg-type]


async def begun(world: World, *sessions: StaffSession) -> None:
    async with world.store.staff() as book:
        for one in sessions:
            await book.begin(one)


async def found(world: World, name: bytes = b"a", now: datetime = NOW) -> StaffSession | None:
    async with world.store.staff_as_it_is() as book:
        return await book.session(name * 32, now)


async def test_an_account_comes_back_as_it_was_put(world: World) -> None:
    await added(world, RITA, MARK)
    async with world.store.staff() as book:
        await book.set_language(RITA.id, Language.DE)
        await book.set_second_factor(MARK.id, b"sealed", 7, [b"1", b"2"])
    async with world.store.staff_as_it_is() as book:
        rita, mark = replace(RITA, language=Language.DE), replace(MARK, second_factor=True)
        assert await book.all() == (mark, rita)
        known = await book.by_login(MARK.login)
        assert known is not None
        assert (known.account, known.password, known.second_factor, known.last_step) == (
            mark,
            f"hash of {MARK.login}",
            b"sealed",
            7,
        )
        assert await book.by_id(MARK.id) == known
        assert await book.by_login("nobody@example.org") is None
        assert await book.by_login(RITA.aliases[0]) is None, "an alias signs nobody in"


@pytest.mark.parametrize(
    "taken",
    [
        replace(MARK, login=RITA.login),
        replace(MARK, login=RITA.aliases[0]),
        replace(MARK, aliases=(RITA.login,)),
        replace(MARK, aliases=("x@example.org", RITA.aliases[1])),
        replace(MARK, aliases=(MARK.login,)),
    ],
    ids=["login", "login-is-alias", "alias-is-login", "alias", "own"],
)
async def test_an_address_is_one_account_s(world: World, taken: Account) -> None:
    await added(world, RITA)
    async with world.store.staff() as book:
        assert not await book.add(taken, "hash")
    async with world.store.staff_as_it_is() as book:
        assert await book.all() == (RITA,)


async def test_a_session_is_found_until_it_is_over(world: World) -> None:
    await added(world, RITA)
    await begun(world, session(RITA))
    assert await found(world) == session(RITA)
    assert await found(world, now=NOW + IDLE - timedelta(seconds=1)) is not None
    assert await found(world, now=NOW + IDLE) is None
    async with world.store.staff() as book:
        await book.use_session(b"a" * 32, NOW + timedelta(hours=11, minutes=50))
    assert await found(world, now=NOW + timedelta(hours=11, minutes=59)) is not None
    assert await found(world, now=NOW + timedelta(hours=12)) is None
    assert await found(world, b"b") is None


async def test_sessions_are_listed_and_ended_for_their_account_alone(world: World) -> None:
    await added(world, RITA, MARK)
    early, late = session(RITA, b"a"), session(RITA, b"b", NOW + timedelta(minutes=1))
    await begun(world, early, late, session(MARK, b"c"), session(RITA, b"d", NOW - timedelta(hours=1)))
    async with world.store.staff() as book:
        assert await book.sessions_of(RITA, NOW) == (late, early)
        assert not await book.end_session(RITA.id, b"c" * 32)
        assert await book.end_session(RITA.id, b"a" * 32)
        assert await book.end_sessions(RITA.id, but=b"b" * 32) == 1
        assert await book.sessions_of(RITA, NOW) == (late,)
        assert len(await book.sessions_of(MARK, NOW)) == 1


async def test_a_disabled_account_has_no_session_and_keeps_none(world: World) -> None:
    await added(world, RITA)
    await begun(world, session(RITA))
    async with world.store.staff() as book:
        await book.disable(RITA.id, TODAY, on(365))
        await book.begin(session(RITA, b"b"))  # of somebody who was on the way in
    assert await found(world) is None
    assert await found(world, b"b") is None
    async with world.store.staff() as book:
        await book.enable(RITA.id)
        assert await book.all() == (RITA,)
    assert await found(world) is None
    assert await found(world, b"b") is not None


async def test_codes_are_used_up_once_however_many_try(world: World) -> None:
    await added(world, MARK)
    async with world.store.staff() as book:
        await book.set_second_factor(MARK.id, b"sealed", 5, [b"1", b"2"])

    async def step(number: int) -> bool:
        async with world.store.staff() as book:
            return await book.use_step(MARK.id, number)

    async def recovery(digest: bytes) -> bool:
        async with world.store.staff() as book:
            return await book.use_recovery_code(MARK.id, digest)

    assert sorted(await asyncio.gather(*(step(6) for _ in range(4)))) == [False, False, False, True]
    assert not await step(5)
    assert sorted(await asyncio.gather(*(recovery(b"1") for _ in range(4)))) == [False, False, False, True]
    async with world.store.staff_as_it_is() as book:
        assert await book.recovery_codes_left(MARK.id) == 1


async def test_what_raises_in_a_transaction_leaves_nothing(world: World) -> None:
    async def interrupted() -> None:
        async with world.store.staff() as book:
            assert await book.add(RITA, "hash")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await interrupted()
    async with world.store.staff_as_it_is() as book:
        assert await book.all() == ()


async def test_a_session_of_nobody_is_refused_by_the_schema(world: World) -> None:
    with pytest.raises(StoreUnavailable):
        await begun(world, session(RITA))


async def test_the_sweep_takes_sessions_and_disabled_accounts_after_their_day(world: World) -> None:
    await added(world, RITA, MARK)
    await begun(world, session(RITA), session(MARK, b"b"))
    async with world.store.staff() as book:
        await book.disable(RITA.id, TODAY, on(10))
    await world.store.sweep(on(2), at(2), PROOF)
    await world.store.sweep(on(10), at(10), PROOF)
    async with world.store.staff_as_it_is() as book:
        assert [account.login for account in await book.all()] == [MARK.login, RITA.login]
        assert await book.sessions_of(MARK, NOW) == ()
    await world.store.sweep(on(11), at(11), PROOF)
    async with world.store.staff_as_it_is() as book:
        assert await book.all() == (MARK,)
    async with world.store.staff() as book:
        assert await book.add(replace(MARK, id=3, login="new@example.org", aliases=RITA.logins), "hash")


# --- what an officer oversees -----------------------------------------------------------------------


async def test_sweeps_of_a_day_add_up(world: World) -> None:
    async with world.store.staff() as book:
        for _ in range(3):
            await book.audit(at=NOW, actor="cli", action="old", last_day=on(0))
    assert (await world.store.sweep(on(1), at(1), PROOF))["audit"] == 3
    async with world.store.staff() as book:
        await book.audit(at=NOW, actor="cli", action="old", last_day=on(0))
    await world.store.sweep(on(1), at(1), PROOF)
    await world.store.sweep(on(2), at(2), PROOF)
    assert list((await world.store.sweeps(on(2))).items()) == [(on(2), {}), (on(1), {"audit": 4})]


async def test_the_trail_is_paged_from_the_newest(world: World) -> None:
    async with world.store.staff() as book:
        for number in range(5):
            await book.audit(at=NOW, actor="cli", action=str(number), last_day=on(number))
    first, following = await world.store.audit_page(on(1), 3, None)
    assert [line.action for line in first] == ["4", "3", "2"]
    second, end = await world.store.audit_page(on(1), 3, following)
    assert ([line.action for line in second], end) == (["1"], None)


async def test_consents_are_counted_by_purpose_and_day(world: World) -> None:
    await world.give()
    state = await world.store.consent_state(NOW)
    assert sum(state.live.values()) == 2
    assert [sum(counts.values()) for counts in state.days.values()] == [1]
    assert (state.tracked, dict(state.untouched), state.sent) == (0, {}, 0)
    later = await world.store.consent_state(at(31))
    assert (dict(later.days), sum(later.live.values())) == ({}, 2)
