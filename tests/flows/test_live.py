"""Who watches is told what is new since the look before, once, and is held up by nobody; nobody watches for nothing."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b

import pytest

from tests.flows.conftest import NOW, TOKENS
from tracker.core.calendar import day_of, hour_of
from tracker.core.identity import owner_of
from tracker.flows import live
from tracker.flows.live import BEAT, KEPT, LATE, OF_A_SESSION, SHARE, Live, News, Watch
from tracker.model import (
    Account,
    DeliveryId,
    Hour,
    LinkNumber,
    MessageKey,
    Owner,
    Purpose,
    Role,
    StaffSession,
    StoreUnavailable,
)
from tracker.store.watched import Told, Touch

RITA, JONAS = "rita@example.com", "jonas@example.com"


def owner(login: str) -> Owner:
    return owner_of(TOKENS.ring.digest_keys.owner, login)


def touch(number: int, login: str = RITA, hour: Hour | None = None) -> Touch:
    key = number.to_bytes(16, "big")
    return Touch(owner(login), MessageKey(key), DeliveryId(key), Purpose.CLICK, LinkNumber(1), hour or hour_of(NOW))


def session(login: str = RITA, number: int = 0) -> StaffSession:
    account = Account(1, login, Role.REP, day_of(NOW))
    digest = blake2b(f"{login}{number}".encode()).digest()
    return StaffSession(digest, account, NOW, NOW, NOW + timedelta(hours=12), complete=True)


@dataclass
class Book:
    """A store of touches; each look takes a while."""

    touches: set[Touch] = field(default_factory=set)
    over: set[bytes] = field(default_factory=set)
    looks: int = 0
    away: bool = False
    takes: timedelta = timedelta()
    now: datetime = NOW

    async def watch(
        self, sessions: Collection[bytes], owners: Collection[Owner], now: datetime, since: Hour
    ) -> tuple[frozenset[bytes], frozenset[Touch]]:
        self.looks += 1
        if self.away:
            raise StoreUnavailable
        self.now += self.takes
        found = frozenset(one for one in self.touches if one.owner in owners and one.hour >= since)
        return frozenset(sessions) - self.over, found

    async def told(self, touches: Collection[Touch]) -> tuple[Told, ...]:
        return tuple(Told(one, "Offer", "shop.example/a") for one in sorted(touches))


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
def watched(book: Book) -> Live:
    return Live(book, lambda: TOKENS, lambda: book.now)  # type: ignore[arg-type]


async def heard(watch: Watch | None) -> News | None:
    assert watch is not None
    return await watch.next()


def begun(watched: Live, login: str = RITA, number: int = 0) -> Watch:
    watch = watched.begin(session(login, number))
    assert watch is not None
    return watch


def new_in(news: News | None) -> list[Touch]:
    assert news is not None
    assert news.changed
    return [told.touch for told in news.new]


async def test_what_is_there_already_is_no_news_and_what_comes_is_told_once(watched: Live, book: Book) -> None:
    book.touches = {touch(1)}
    watch = begun(watched)
    await watched.look(NOW)
    assert new_in(await heard(watch)) == [], "the list may have changed since the page was made"
    book.touches |= {touch(2), touch(3)}
    await watched.look(NOW)
    await watched.look(NOW)
    assert new_in(await heard(watch)) == [touch(2), touch(3)]
    await watched.look(NOW)
    assert watch._told.is_set() is False


async def test_nobody_looks_while_nobody_watches(watched: Live, book: Book) -> None:
    await watched.look(NOW)
    assert book.looks == 0
    watch = begun(watched)
    await watched.look(NOW)
    watched.leave(watch)
    book.touches = {touch(1)}
    await watched.look(NOW)
    assert book.looks == 1
    again = begun(watched)
    await watched.look(NOW)
    assert new_in(await heard(again)) == []


async def test_one_look_is_for_all(watched: Live, book: Book) -> None:
    watches = [begun(watched, login, number) for login in (RITA, JONAS) for number in range(3)]
    await watched.look(NOW)
    for watch in watches:
        await heard(watch)
    book.touches = {touch(1), touch(2, JONAS)}
    await watched.look(NOW)
    assert book.looks == 2
    for watch, one in zip(watches, [touch(1)] * 3 + [touch(2, JONAS)] * 3, strict=True):
        assert new_in(await heard(watch)) == [one]


async def test_a_second_rep_hears_nothing_of_before(watched: Live, book: Book) -> None:
    first = begun(watched)
    await watched.look(NOW)
    book.touches = {touch(1, JONAS)}
    second = begun(watched, JONAS)
    await watched.look(NOW)
    assert new_in(await heard(first)) == []
    assert new_in(await heard(second)) == []


async def test_what_is_taken_back_before_it_was_heard_is_never_heard(watched: Live, book: Book) -> None:
    watch = begun(watched)
    await watched.look(NOW)
    book.touches = {touch(1), touch(2)}
    await watched.look(NOW)
    book.touches = {touch(2)}
    await watched.look(NOW)
    news = await heard(watch)
    assert new_in(news) == [touch(2)]
    assert news is not None
    assert news.gone == {touch(1)}


async def test_when_the_hour_turns_the_list_changes_and_nothing_is_new(watched: Live, book: Book) -> None:
    watch = begun(watched)
    book.touches = {touch(1)}
    await watched.look(NOW)
    await heard(watch)
    turn = NOW + timedelta(hours=1)
    await watched.look(turn)
    news = await heard(watch)
    assert new_in(news) == []
    assert news is not None
    assert news.gone == frozenset(), "the last of the hour may come in still"
    await watched.look(turn + LATE)
    news = await heard(watch)
    assert new_in(news) == []
    assert news is not None
    assert news.gone == {touch(1)}


async def test_who_hears_nothing_for_long_gets_a_sign_of_life(watched: Live, book: Book) -> None:
    watch, now = begun(watched), NOW + timedelta(minutes=1)
    await watched.look(now)
    await heard(watch)
    await watched.look(now + BEAT)
    news = await heard(watch)
    assert news is not None
    assert (news.changed, news.new, news.gone) == (False, (), frozenset())
    book.away = True
    with pytest.raises(StoreUnavailable):
        await watched.look(now + 2 * BEAT)
    assert await heard(watch) is not None


async def test_a_look_that_takes_long_is_followed_by_a_rest(watched: Live, book: Book) -> None:
    begun(watched)
    book.takes = timedelta(seconds=1)
    await watched.look(NOW)
    for later in range(SHARE):
        await watched.look(NOW + timedelta(seconds=later))
    assert book.looks == 1
    await watched.look(NOW + timedelta(seconds=SHARE))
    assert book.looks == 2


async def test_who_does_not_listen_keeps_little(watched: Live, book: Book) -> None:
    watch = begun(watched)
    await watched.look(NOW)
    await heard(watch)
    book.touches = {touch(number) for number in range(3 * KEPT)}
    await watched.look(NOW)
    assert len(new_in(await heard(watch))) == KEPT


async def test_it_ends_with_the_session_however_that_ends(watched: Live, book: Book) -> None:
    one, other, third = (begun(watched, RITA, number) for number in range(3))
    await watched.look(NOW)
    book.over = {one.session.digest}
    await watched.look(NOW)
    assert await heard(one) is None
    assert one.for_good
    book.away = True
    other.session = StaffSession(b"o", other.session.account, NOW, NOW, NOW + timedelta(seconds=1), complete=True)
    with pytest.raises(StoreUnavailable):
        await watched.look(NOW + timedelta(seconds=1))
    assert await heard(other) is None, "also while the database is away"
    assert watched.watching == 1
    watched.end()
    assert await heard(third) is None
    assert not third.for_good, "another process may go on"
    assert watched.begin(session()) is None, "the process leaves"
    assert watched.watching == 0


async def test_one_session_has_a_few_and_all_together_a_number(watched: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MOST", OF_A_SESSION + 1)
    watches = [begun(watched) for _ in range(OF_A_SESSION + 1)]
    assert [watch.over for watch in watches] == [True] + [False] * OF_A_SESSION
    assert watched.begin(session(JONAS)) is not None
    assert watched.begin(session(JONAS, 1)) is None
    assert watched.watching == OF_A_SESSION + 1


def test_no_instant_but_the_hour_is_in_what_is_known() -> None:
    """A touch has room for its hour alone."""
    assert Touch._fields == ("owner", "message", "delivery", "purpose", "link", "hour")
    assert datetime.fromtimestamp(0, UTC) == live.LONG_AGO
