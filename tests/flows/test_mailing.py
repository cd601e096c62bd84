"""Mails of our own go out seldom, after the answer has left, with the same effort for all, and leave no address."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from tests.flows.conftest import NOW, RING, Flows
from tracker.core.calendar import day_of, later
from tracker.core.periods import SIX_MONTHS
from tracker.core.pseudonym import pseudonym
from tracker.flows.mailing import A_DAY, Mailings, MailPolicy
from tracker.model import Language, Letter, MailKind, MailNotSent, MailRefused, Pseudonym, Purpose, StoreUnavailable
from tracker.store.sqlite import SqliteDatabase

ANNA = "anna@example.org"
AT_ONCE = MailPolicy(pauses=(0.0, 0.0), last_seconds=5.0)


def person(address: str = ANNA) -> Pseudonym:
    return pseudonym(RING.pseudonym_keys, address)


def letter(kind: MailKind = MailKind.ASK, address: str = ANNA) -> Letter:
    return Letter(kind, address, Language.DE, "https://t.example.com/ask/x", timedelta(days=30))


@dataclass
class NextHop:
    """A next hop that says what it is told to: nothing, or an error for each letter."""

    errors: list[Exception] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    counted: list[tuple[MailKind, str]] = field(default_factory=list)

    async def post(self, letter: Letter) -> None:
        await self.open.wait()
        if self.errors:
            raise self.errors.pop(0)
        self.letters.append(letter)

    def count(self, kind: MailKind, result: str) -> None:
        self.counted.append((kind, result))

    @property
    def results(self) -> list[str]:
        return [result for _, result in self.counted]

    def mailings(self, flows: Flows, policy: MailPolicy = AT_ONCE) -> Mailings:
        return Mailings(flows.store, self.post, policy, count=self.count)


@pytest.fixture
def hop() -> NextHop:
    hop = NextHop()
    hop.open.set()
    return hop


async def test_what_a_person_starts_is_mailed_three_times_a_day_to_an_address(flows: Flows, hop: NextHop) -> None:
    async with hop.mailings(flows) as mailings:
        for kind in (MailKind.ASK, MailKind.MAILBOX, MailKind.ASK, MailKind.MAILBOX, MailKind.ASK):
            await mailings.send_soon(letter(kind), person(), NOW)
        await mailings.send_soon(letter(address="bob@example.org"), person("bob@example.org"), NOW)
        await mailings.send_soon(letter(), person(), NOW + timedelta(days=1))
    assert hop.results.count("too-often") == 2
    assert sorted(one.address for one in hop.letters) == [ANNA] * (A_DAY + 1) + ["bob@example.org"]


@pytest.mark.parametrize(("days", "mails"), [(1, 1), (SIX_MONTHS, 1), (SIX_MONTHS + 1, 2)])
async def test_a_confirmation_goes_to_an_address_once_in_six_months(
    flows: Flows, hop: NextHop, days: int, mails: int
) -> None:
    then = NOW + timedelta(days=days)
    async with hop.mailings(flows) as mailings:
        await mailings.send_soon(letter(MailKind.CONFIRMATION), person(), NOW, source="shop")
        await flows.store.sweep(day_of(then), then, 1095)
        await mailings.send_soon(letter(MailKind.CONFIRMATION), person(), then, source="another")
    assert len(hop.letters) == mails


async def test_a_key_has_so_many_confirmations_mailed_in_a_day(flows: Flows, hop: NextHop) -> None:
    async def confirm(mailings: Mailings, number: int, source: str, now: datetime = NOW) -> None:
        address = f"person{number}@example.org"
        await mailings.send_soon(letter(MailKind.CONFIRMATION, address), person(address), now, source=source)

    async with hop.mailings(flows, MailPolicy(confirmations_per_day=3)) as mailings:
        for number in range(5):
            await confirm(mailings, number, "shop")
        await confirm(mailings, 5, "crm")
        await confirm(mailings, 3, "shop", NOW + timedelta(days=1))
    assert (hop.results.count("too-often"), hop.results.count("sent")) == (2, 5)
    assert {one.address[6] for one in hop.letters} == set("01253")


async def test_by_default_that_is_fifty() -> None:
    assert MailPolicy().confirmations_per_day == 50


async def test_a_confirmation_does_not_use_up_what_a_person_may_start(flows: Flows, hop: NextHop) -> None:
    async with hop.mailings(flows) as mailings:
        await mailings.send_soon(letter(MailKind.CONFIRMATION), person(), NOW, source="shop")
        for _ in range(A_DAY):
            await mailings.send_soon(letter(), person(), NOW)
    assert hop.results == ["sent"] * (A_DAY + 1)


async def test_the_answer_does_not_wait_for_the_next_hop(flows: Flows) -> None:
    hop = NextHop()
    async with hop.mailings(flows) as mailings:
        await mailings.send_soon(letter(), person(), NOW)
        assert hop.letters == []
        hop.open.set()
    assert hop.letters == [letter()]


@contextmanager
def statements(flows: Flows) -> Iterator[list[str]]:
    """The statements that the store's writer runs."""
    seen: list[str] = []
    database = flows.store._database
    assert isinstance(database, SqliteDatabase)
    engine = database._writer.sync_engine

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement.partition(" ")[0])

    event.listen(engine, "before_cursor_execute", note)
    yield seen
    event.remove(engine, "before_cursor_execute", note)


async def test_known_unknown_and_throttled_addresses_cost_the_same(flows: Flows, hop: NextHop) -> None:
    await flows.grant(ANNA, Purpose.OPEN)
    costs = []
    async with hop.mailings(flows) as mailings:
        for address in (ANNA, "nobody@example.org", ANNA, ANNA, ANNA):
            with statements(flows) as seen:
                await mailings.send_soon(letter(address=address), person(address), NOW)
            costs.append(len(seen))
    assert hop.results.count("too-often") == 1
    assert len(set(costs)) == 1


async def test_what_the_next_hop_does_not_take_just_now_is_tried_again(flows: Flows, hop: NextHop) -> None:
    hop.errors = [MailNotSent("SMTPConnectError"), MailNotSent("SMTPRecipientRefused 451")]
    async with hop.mailings(flows) as mailings:
        await mailings.send_soon(letter(), person(), NOW)
        await asyncio.wait_for(mailings._queue.join(), 10)
    assert (hop.letters, hop.results) == ([letter()], ["sent"])


@pytest.mark.parametrize(
    ("errors", "result"),
    [
        ([MailRefused("SMTPRecipientRefused 550")], "refused"),
        ([MailNotSent("SMTPConnectError")] * 3, "failed"),
        ([RuntimeError(ANNA)], "failed"),
    ],
)
async def test_a_failed_delivery_is_counted_and_logged_without_the_address(
    flows: Flows, hop: NextHop, errors: list[Exception], result: str, caplog: pytest.LogCaptureFixture
) -> None:
    hop.errors = list(errors)
    with caplog.at_level(logging.DEBUG):
        async with hop.mailings(flows) as mailings:
            await mailings.send_soon(letter(), person(), NOW)
            await asyncio.wait_for(mailings._queue.join(), 10)
            await mailings.send_soon(letter(address="bob@example.org"), person("bob@example.org"), NOW)
    assert hop.results == [result, "sent"]
    assert any("not sent" in record.getMessage() for record in caplog.records)
    assert not any(ANNA in record.getMessage() for record in caplog.records)


async def test_a_full_queue_drops_and_says_so(flows: Flows) -> None:
    hop = NextHop()
    async with hop.mailings(flows, MailPolicy(waiting=1, workers=1)) as mailings:
        for number in range(3):
            address = f"person{number}@example.org"
            await mailings.send_soon(letter(address=address), person(address), NOW)
            await asyncio.sleep(0)  # the worker takes the first
        hop.open.set()
    assert hop.results == ["dropped", "sent", "sent"]


async def test_on_shutdown_what_waits_is_tried_once_and_then_dropped(flows: Flows) -> None:
    hop = NextHop()
    async with hop.mailings(flows, MailPolicy(workers=1, last_seconds=0.05)) as mailings:
        await mailings.send_soon(letter(), person(), NOW)
        await mailings.send_soon(letter(), person(), NOW)
    assert hop.results == ["dropped", "dropped"]


async def test_a_letter_between_two_tries_is_tried_at_once_when_the_server_stops(flows: Flows, hop: NextHop) -> None:
    hop.errors = [MailNotSent("SMTPConnectError")]
    async with hop.mailings(flows, MailPolicy(pauses=(3600.0,), workers=1)) as mailings:
        await mailings.send_soon(letter(), person(), NOW)
        while hop.errors:
            await asyncio.sleep(0)
    assert hop.results == ["sent"]


async def test_without_a_next_hop_nothing_is_sent_or_written(flows: Flows) -> None:
    mailings = Mailings(flows.store, None)
    assert not mailings.possible
    async with mailings:
        await mailings.send_soon(letter(), person(), NOW)
    assert (await flows.store.sweep(later(day_of(NOW), 1), NOW, 1095))["mailings"] == 0


async def test_while_the_store_is_away_nothing_is_sent(flows: Flows, hop: NextHop, tmp_path: Path) -> None:
    path = tmp_path / "tracker.db"
    async with hop.mailings(flows) as mailings:
        path.rename(tmp_path / "elsewhere")
        database = flows.store._database
        assert isinstance(database, SqliteDatabase)
        await database._writer.dispose()
        with pytest.raises(StoreUnavailable):
            await mailings.send_soon(letter(), person(), NOW)
    assert hop.letters == []


async def test_the_address_of_a_letter_is_written_nowhere(flows: Flows, hop: NextHop, tmp_path: Path) -> None:
    address = "canary-4711@example.org"
    async with hop.mailings(flows) as mailings:
        await mailings.send_soon(letter(address=address), person(address), NOW)
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert bytes(person(address)) in written
    assert b"canary-4711" not in written
    assert "canary" not in repr(letter(address=address))
