"""One message to many: each copy has its own tokens, nothing is done for a call at fault, and who leaves stops it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.flows.conftest import NOW, TOKENS, Flows, locked
from tests.flows.test_send import ANNA, BERT, HTML, envelope, mail, tokens_in
from tracker.core.survey import Refused, Survey
from tracker.flows import copies, send
from tracker.flows.report import Listing
from tracker.flows.send import CHUNK, Addressee, Answer
from tracker.model import AddressInValue, InvalidAddress, InvalidField, Purpose, Reason, Registration, StoreUnavailable
from tracker.store.store import Store

CLARA = "clara@example.org"


def crowd(size: int) -> list[str]:
    return [f"p{number}@example.org" for number in range(size)]


async def batch(
    flows: Flows, people: Sequence[str | Addressee], message: bytes | None = None, now: datetime = NOW, **more: object
) -> list[Answer]:
    """All copies of a batch."""
    named = [one if isinstance(one, Addressee) else Addressee(one) for one in people]
    answers = await flows.sender.batch(envelope("", **more), named, message or mail(), lambda: now)
    return [answer async for answer in answers]


def counting(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[tuple[Any, ...]]:
    """The arguments of every call to OWNER.NAME from now on."""
    calls: list[tuple[Any, ...]] = []
    real = getattr(owner, name)

    def counted(*arguments: Any, **more: Any) -> Any:
        calls.append(arguments)
        return real(*arguments, **more)

    monkeypatch.setattr(owner, name, counted)
    return calls


async def test_a_copy_for_each_in_order_and_tracked_for_those_who_agreed(flows: Flows) -> None:
    await flows.grant(ANNA)
    await flows.grant(CLARA, Purpose.CLICK)
    anna, bert, clara = await batch(flows, [ANNA, BERT, CLARA], label="Autumn")
    assert (bert.message, bert.reason) == (mail(), Reason.NO_GRANT)
    assert anna.purposes == {Purpose.OPEN, Purpose.CLICK}
    assert clara.purposes == {Purpose.CLICK}
    one, two = (TOKENS.read_delivery(tokens_in(copy.message)[0]) for copy in (anna, clara))
    assert one
    assert two
    assert one.delivery != two.delivery
    assert one.plan == two.plan, "one plan for all copies"
    assert anna.message_key == clara.message_key
    (figures,) = (await flows.figures.messages(Listing(None), NOW)).messages
    assert (figures.tracked, figures.label) == (2, "Autumn")
    assert sum(figures.untouched.values()) <= 1


async def test_each_copy_goes_to_one_alone(flows: Flows) -> None:
    await flows.grant(ANNA)
    (answer,) = await batch(flows, [ANNA], mail(Cc="bert@example.org, dora@example.org"))
    assert answer.reason is None


async def test_a_batch_is_the_same_as_call_by_call(flows: Flows) -> None:
    await flows.grant(ANNA)
    single = await flows.sender.rewrite(envelope(ANNA, single=True), mail(), NOW)
    (answer,) = await batch(flows, [ANNA])
    one, two = (TOKENS.read_delivery(tokens_in(copy.message)[0]) for copy in (single, answer))
    assert one
    assert two
    assert one.delivery == two.delivery, "a retry of the other kind is another delivery"
    assert [len(copy.message) for copy in (single, answer)] == [len(single.message)] * 2


async def test_surveyed_once_and_laid_out_once_for_each_set_of_purposes(
    flows: Flows, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = crowd(20)
    for number, person in enumerate(people):
        await flows.grant(person, *([Purpose.OPEN], [Purpose.CLICK], [Purpose.OPEN, Purpose.CLICK], [])[number % 4])
    layouts = counting(monkeypatch, copies, "lay_out")
    signed = counting(monkeypatch, type(TOKENS), "sign_link")
    surveyed = counting(monkeypatch, flows.sender._surveys, "_look")
    answers = await batch(flows, people)
    assert {answer.reason for answer in answers} == {None}
    assert (len(surveyed), len(layouts), len(signed)) == (1, 3, 1)


async def test_without_any_grant_nobody_looks_into_the_message(flows: Flows, monkeypatch: pytest.MonkeyPatch) -> None:
    surveyed = counting(monkeypatch, flows.sender._surveys, "_look")
    answers = await batch(flows, crowd(3))
    assert [answer.reason for answer in answers] == [Reason.NO_GRANT] * 3
    assert not surveyed


async def test_the_store_is_asked_and_told_in_chunks(flows: Flows, monkeypatch: pytest.MonkeyPatch) -> None:
    people = crowd(7)
    for person in people:
        await flows.grant(person)
    monkeypatch.setattr(send, "CHUNK", 3)
    reads = counting(monkeypatch, flows.store._grants, "_run")
    writes = counting(monkeypatch, flows.store._registrations, "_run")
    await batch(flows, people)
    assert [len(items) for (items,) in reads] == [3, 3, 1]
    assert sum(len(items) for (items,) in writes) == 7
    assert max(len(items) for (items,) in writes) == 3
    assert CHUNK <= 500


async def test_who_leaves_stops_it_with_one_chunk_recorded_at_most(
    flows: Flows, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = crowd(9)
    for person in people:
        await flows.grant(person)
    monkeypatch.setattr(send, "CHUNK", 3)
    named = [Addressee(person) for person in people]
    async with aclosing(await flows.sender.batch(envelope(""), named, mail(), lambda: NOW)) as answers:
        taken = [await anext(answers) for _ in range(4)]
    assert len(taken) == 4
    (figures,) = (await flows.figures.messages(Listing(None), NOW)).messages
    assert figures.tracked == 6


async def test_a_withdrawal_between_two_chunks_counts(flows: Flows, monkeypatch: pytest.MonkeyPatch) -> None:
    for person in (ANNA, BERT):
        await flows.grant(person)
    monkeypatch.setattr(send, "CHUNK", 1)
    answers = await flows.sender.batch(envelope(""), [Addressee(ANNA), Addressee(BERT)], mail(), lambda: NOW)
    assert (await anext(answers)).reason is None
    await flows.consents.withdraw(BERT, frozenset(), "cli", NOW)
    assert (await anext(answers)).reason is Reason.NO_GRANT


async def test_the_day_of_each_chunk_is_its_own(flows: Flows, monkeypatch: pytest.MonkeyPatch) -> None:
    for person in (ANNA, BERT):
        await flows.grant(person)
    monkeypatch.setattr(send, "CHUNK", 1)
    times = iter([NOW, NOW, NOW + timedelta(days=1)])
    named = [Addressee(ANNA), Addressee(BERT)]
    answers = await flows.sender.batch(envelope(""), named, mail(), lambda: next(times))
    read = [TOKENS.read_delivery(tokens_in(answer.message)[0]) async for answer in answers]
    assert [token.last_day - read[0].last_day for token in read if token and read[0]] == [0, 1]


@pytest.mark.parametrize(
    ("wrong", "error", "where"),
    [
        (Addressee("bert"), InvalidAddress, "recipients.1.address"),
        (Addressee(""), InvalidAddress, "recipients.1.address"),
        (Addressee(BERT, "a b"), InvalidField, "recipients.1.reference"),
        (Addressee(BERT, "bert@example.org"), AddressInValue, "recipients.1.reference"),
    ],
)
async def test_a_call_at_fault_is_refused_as_a_whole(
    flows: Flows, wrong: Addressee, error: type[InvalidField], where: str
) -> None:
    await flows.grant(ANNA)
    with pytest.raises(error) as raised:
        await batch(flows, [ANNA, wrong])
    assert raised.value.detail.startswith(where)
    assert (await flows.figures.messages(Listing(None), NOW)).messages == ()


async def test_references_are_each_persons_own(flows: Flows) -> None:
    await flows.grant(ANNA)
    await batch(flows, [Addressee(ANNA, "crm-1"), Addressee(BERT, "crm-2")])
    anna, bert = await flows.figures.references(["crm-1", "crm-2"], "shop", None, NOW)
    assert anna
    assert anna.messages
    assert bert is None


# --- mail always flows ---


async def test_without_the_store_every_copy_leaves_as_it_came(flows: Flows, tmp_path: Path) -> None:
    await flows.grant(ANNA)
    with locked(tmp_path):
        answers = await batch(flows, [ANNA, BERT])
    assert [answer.message for answer in answers] == [mail(), mail()]
    assert [answer.reason for answer in answers] == [Reason.STORE_UNAVAILABLE, Reason.NO_GRANT]


async def test_a_refused_row_is_one_copy_untouched(flows: Flows, monkeypatch: pytest.MonkeyPatch) -> None:
    for person in (ANNA, BERT):
        await flows.grant(person)
    real = Store.register

    async def refuse_first(self: Store, registration: Registration, today: Any) -> frozenset[Purpose]:
        if registration.reference == "first":
            raise StoreUnavailable
        return await real(self, registration, today)

    monkeypatch.setattr(Store, "register", refuse_first)
    answers = await batch(flows, [Addressee(ANNA, "first"), Addressee(BERT)])
    assert [answer.reason for answer in answers] == [Reason.STORE_UNAVAILABLE, None]


async def test_a_fault_inside_is_met_and_logged_once(
    flows: Flows, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls = 0

    async def broken(_: bytes) -> Survey | Refused:
        nonlocal calls
        calls += 1
        raise RuntimeError

    people = crowd(5)
    for person in people:
        await flows.grant(person)
    monkeypatch.setattr(flows.sender._surveys, "_look", broken)
    answers = await batch(flows, people)
    assert [(answer.message, answer.reason) for answer in answers] == [(mail(), Reason.ERROR)] * 5
    assert calls == 1
    assert len(caplog.records) == 1


async def test_a_copy_that_cannot_be_written_leaves_as_it_came(flows: Flows, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> bytes:
        raise RuntimeError

    await flows.grant(ANNA)
    monkeypatch.setattr(copies, "render", broken)
    (answer,) = await batch(flows, [ANNA])
    assert (answer.message, answer.reason) == (mail(), Reason.ERROR)


# --- a quotation in a batch ---


async def test_what_a_batch_quotes_is_closed_with_two_writes(flows: Flows, monkeypatch: pytest.MonkeyPatch) -> None:
    await flows.grant(ANNA)
    first = await flows.sender.rewrite(envelope(), mail(), NOW)
    quotation = first.message.partition(b"\r\n\r\n")[2].decode()
    closed = counting(monkeypatch, flows.store, "close_deliveries")
    monkeypatch.setattr(send, "CHUNK", 3)
    reply = mail(f"<p>All</p>{HTML}{quotation}", Message_ID="<2@x>", Subject="Fwd: Offer")
    answers = await batch(flows, [*crowd(7), ANNA, ANNA], reply)
    assert [answer.reason for answer in answers] == [Reason.NO_GRANT] * 7 + [None] * 2
    assert len(closed) == 2
    with_two_people = {recipient for _, recipient, _ in closed}
    assert len(with_two_people) == 2


# --- memory ---


async def test_ten_thousand_recipients_in_bounded_memory(flows: Flows) -> None:
    for person in crowd(40):
        await flows.grant(person)
    named = [Addressee(f"p{number % 40}@example.org") for number in range(10_000)]

    async def peak(people: Sequence[Addressee]) -> int:
        answers = await flows.sender.batch(envelope(""), people, mail(), lambda: NOW)
        tracemalloc.start()
        try:
            tracked = [answer.reason is None async for answer in answers]
            assert all(tracked)
            assert len(tracked) == len(people)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    small = await peak(named[: 2 * CHUNK])
    assert await peak(named) < 1.5 * small + 500_000
