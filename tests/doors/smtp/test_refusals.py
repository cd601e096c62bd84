"""What the next hop refuses: passed on with its words, nobody lost and nobody served twice."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path as FilePath

import pytest

from tests.doors.smtp.conftest import ANNA, BERT, CARA, Proxy, mail
from tests.flows.conftest import locked
from tests.flows.test_send import tokens_in
from tracker.core.smtp_lines import Path
from tracker.doors.next_hop import NextHop
from tracker.doors.smtp.hops import MOST
from tracker.flows.relay import ENOUGH
from tracker.model import Reason

LATER, NEVER = "451 4.7.1 later, please", "550 5.7.1 no, thanks"


def sent_to(proxy: Proxy) -> list[tuple[str, ...]]:
    return [taken.recipients for taken in proxy.sink.taken]


async def test_a_recipient_who_is_refused_is_refused_to_the_client(proxy: Proxy) -> None:
    proxy.sink.answers["RCPT TO:<bert"] = "550 5.1.1 no such user"
    async with proxy.client() as client:
        refused, _ = await client.sendmail("a@b.example", [ANNA, BERT], mail())
    assert {name: tuple(reply) for name, reply in refused.items()} == {BERT: (550, "5.1.1 no such user")}
    assert sent_to(proxy) == [(ANNA,)]


@pytest.mark.parametrize("answer", [LATER, NEVER])
async def test_a_sender_who_is_refused_is_refused_to_the_client(proxy: Proxy, answer: str) -> None:
    proxy.sink.answers["MAIL"] = answer
    code, text = await proxy.send(mail(), ANNA)
    assert f"{code} {text}" == answer


@pytest.mark.parametrize("answer", [LATER, NEVER])
@pytest.mark.parametrize("granted", [False, True])
async def test_a_message_that_is_refused_is_refused_to_the_client(proxy: Proxy, answer: str, granted: bool) -> None:
    if granted:
        await proxy.flows.grant(ANNA)
    proxy.sink.answers["DATA"] = answer
    code, text = await proxy.send(mail(), ANNA)
    assert f"{code} {text}" == answer
    assert proxy.counts.results == ["deferred" if answer is LATER else "refused"]


async def test_a_retry_gets_the_same_delivery(proxy: Proxy) -> None:
    await proxy.flows.grant(ANNA)
    tried: list[bytes] = []
    proxy.sink.answers["DATA"] = LATER
    await proxy.send(mail(), ANNA)
    before = await deliveries(proxy)
    proxy.sink.answers.clear()
    await proxy.send(mail(), ANNA)
    assert await deliveries(proxy) == before
    assert len(before) == 1
    assert not tried


async def test_a_permanent_refusal_takes_the_delivery_back(proxy: Proxy) -> None:
    await proxy.flows.grant(ANNA)
    proxy.sink.answers["DATA"] = NEVER
    await proxy.send(mail(), ANNA)
    assert await deliveries(proxy) == []


def refuse_once(proxy: Proxy, command: str, answer: str) -> None:
    """Let the next hop say ANSWER to the first message whose COMMAND that is, and take those after it."""
    proxy.sink.answers[command] = answer
    asked: list[str] = []

    def count(said: str) -> None:
        if said.startswith(command):
            asked.append(said)
            if len(asked) > 1:
                proxy.sink.answers.pop(command, None)

    proxy.sink.before_answer = count


async def test_a_tracked_copy_that_is_refused_for_good_goes_untouched(proxy: Proxy) -> None:
    await proxy.flows.grant(ANNA)
    refuse_once(proxy, f"DATA {ANNA}", NEVER)
    assert (await proxy.send(mail(), ANNA, BERT))[0] == 250
    assert sent_to(proxy) == [(BERT,), (ANNA,)]
    assert [taken.below_received for taken in proxy.sink.taken] == [mail(), mail()]
    assert await deliveries(proxy) == []


async def test_what_leaves_untouched_goes_first_and_its_refusal_is_all_that_happened(proxy: Proxy) -> None:
    """Nobody has a message of which the client hears that it failed; nobody is left without one it believes sent."""
    await proxy.flows.grant(ANNA)
    for answer in (LATER, NEVER):
        proxy.sink.answers[f"DATA {BERT},{CARA}"] = answer
        code, text = await proxy.send(mail(), ANNA, BERT, CARA)
        assert f"{code} {text}" == answer
    assert sent_to(proxy) == []
    assert await deliveries(proxy) == [], "what was registered was taken back"
    proxy.sink.answers.clear()
    assert (await proxy.send(mail(), ANNA, BERT, CARA))[0] == 250
    assert sent_to(proxy) == [(BERT, CARA), (ANNA,)]
    assert await marks(proxy) == 0


async def test_who_had_it_does_not_get_it_again_when_the_others_are_tried_again(proxy: Proxy) -> None:
    """A mix: the copy for those who agreed to nothing was taken, the tracked one was not."""
    await proxy.flows.grant(ANNA)
    proxy.sink.answers[f"DATA {ANNA}"] = LATER
    for _ in range(2):
        code, text = await proxy.send(mail(), ANNA, BERT, CARA)
        assert f"{code} {text}" == LATER
    assert sent_to(proxy) == [(BERT, CARA)]
    assert await marks(proxy) == 2
    proxy.sink.answers.clear()
    assert (await proxy.send(mail(), CARA, ANNA, BERT))[0] == 250
    assert sent_to(proxy) == [(BERT, CARA), (ANNA,)]
    assert await marks(proxy) == 0


async def test_a_mark_is_for_just_those_people_and_just_those_octets(proxy: Proxy) -> None:
    """A mail server may split a long list in another way when it tries again."""
    await proxy.flows.grant(ANNA)
    proxy.sink.answers[f"DATA {ANNA}"] = LATER
    await proxy.send(mail(), ANNA, BERT)
    proxy.sink.answers.clear()
    await proxy.send(mail("<p>another</p>"), ANNA, BERT)
    assert sent_to(proxy) == [(BERT,), (BERT,), (ANNA,)]
    await proxy.send(mail(), ANNA, BERT, CARA)
    assert sent_to(proxy)[3:] == [(CARA,), (ANNA,)]


async def test_who_is_refused_after_others_were_served_is_told_with_their_number(proxy: Proxy) -> None:
    """At the end of data there is one answer: rather a false alarm than a silent loss, and the bounce says so."""
    await proxy.flows.grant(ANNA)
    proxy.sink.answers[f"DATA {ANNA}"] = NEVER
    code, text = await proxy.send(mail(), ANNA, BERT, CARA)
    assert (code, text) == (550, "5.7.1 no, thanks\n5.7.1 2 of 3 recipients have this message all the same")
    assert sent_to(proxy) == [(BERT, CARA)]
    assert await deliveries(proxy) == []
    assert await marks(proxy) == 0


async def test_a_mark_that_cannot_be_made_holds_up_no_mail(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> list[bytes]:
        raise KeyError

    monkeypatch.setattr(proxy.flows.sender, "marks", broken)
    await proxy.flows.grant(ANNA)
    assert (await proxy.send(mail(), ANNA, BERT))[0] == 250
    assert sent_to(proxy) == [(BERT,), (ANNA,)]


async def test_who_sends_the_same_once_more_sends_it_once_more(proxy: Proxy) -> None:
    """What was marked for a retry is forgotten when the message was answered."""
    await proxy.flows.grant(ANNA)
    for _ in range(2):
        assert (await proxy.send(mail(), ANNA, BERT))[0] == 250
    assert sent_to(proxy) == [(BERT,), (ANNA,)] * 2
    proxy.sink.answers[f"DATA {ANNA}"] = NEVER
    for _ in range(2):
        assert (await proxy.send(mail(), ANNA, BERT))[0] == 550
    assert sent_to(proxy)[4:] == [(BERT,)] * 2


async def test_while_the_store_is_away_mail_flows_untouched(proxy: Proxy, tmp_path: FilePath) -> None:
    await proxy.flows.grant(ANNA)
    with locked(tmp_path):
        assert (await proxy.send(mail(), ANNA, BERT))[0] == 250
    assert proxy.sink.taken[0].below_received == mail()
    assert sorted(proxy.sink.taken[0].recipients) == [ANNA, BERT]
    assert Reason.STORE_UNAVAILABLE in proxy.counts.copies


async def test_many_messages_at_once_are_all_passed_on(proxy: Proxy) -> None:
    sent = await asyncio.gather(*(proxy.send(mail(f"<p>{number}</p>"), ANNA) for number in range(200)))
    assert {code for code, _ in sent} == {250}
    assert len({taken.below_received for taken in proxy.sink.taken}) == 200
    assert proxy.sink.connections <= MOST + 1, "each waits for its turn rather than that the next hop refuses it"
    assert proxy.office.budget.held == 0


async def test_who_waits_for_a_turn_for_too_long_is_told_to_come_back(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracker.doors.smtp.hops.SECONDS_FOR_TURN", 0.01)
    taken = [proxy.hops.transaction() for _ in range(MOST)]
    for one in taken:
        assert (await one.mail(Path("a@b.example"))).is_yes
    assert await proxy.send(mail(), ANNA) == (
        451,
        "4.4.5 Too many messages wait for the next hop; please try again later",
    )
    for one in taken:
        one.release()
    assert (await proxy.send(mail(), ANNA))[0] == 250


async def test_a_tracked_copy_that_is_refused_for_now_ends_the_attempt(proxy: Proxy) -> None:
    for one in (ANNA, BERT):
        await proxy.flows.grant(one)
    proxy.sink.answers[f"DATA {BERT}"] = LATER
    code, text = await proxy.send(mail(), ANNA, BERT, CARA)
    assert f"{code} {text}" == LATER
    assert sent_to(proxy) == [(CARA,), (ANNA,)]
    proxy.sink.answers.clear()
    assert (await proxy.send(mail(), ANNA, BERT, CARA))[0] == 250
    assert sent_to(proxy) == [(CARA,), (ANNA,), (BERT,)]
    assert all(tokens_in(taken.octets) for taken in proxy.sink.taken[1:])


async def test_a_next_hop_that_goes_away_before_its_answer_is_tried_again(proxy: Proxy) -> None:
    proxy.sink.answers["DATA"] = "cut"
    code, text = await proxy.send(mail(), ANNA)
    assert (code, text[:5]) == (451, "4.4.1")
    proxy.sink.answers.clear()
    assert (await proxy.send(mail(), ANNA))[0] == 250


async def test_a_connection_that_was_kept_and_has_had_its_day_is_replaced(proxy: Proxy) -> None:
    """Mail servers say 421 to one that was idle, or that has had so many messages."""
    await proxy.send(mail(), ANNA)
    proxy.sink.answers["MAIL"] = "421 4.4.2 idle for too long"

    def be_well(_: str) -> None:
        if proxy.sink.connections > 1:
            proxy.sink.answers.clear()

    proxy.sink.before_answer = be_well
    assert (await proxy.send(mail(), BERT))[0] == 250
    assert proxy.sink.connections == 2
    assert sent_to(proxy) == [(ANNA,), (BERT,)]


async def test_a_next_hop_that_has_no_time_even_for_a_new_connection_is_tried_again_later(proxy: Proxy) -> None:
    proxy.sink.answers["MAIL"] = "421 4.3.2 shutting down"
    assert await proxy.send(mail(), ANNA) == (451, "4.3.2 shutting down")


@pytest.mark.parametrize("fault", ["greeting", "login"])
async def test_a_next_hop_that_refuses_us_does_not_refuse_the_mail(proxy: Proxy, fault: str) -> None:
    """A password that was changed there must not send all mail back to its authors."""
    if fault == "greeting":
        proxy.sink.greeting = "554 5.7.1 you are on our list"
    else:
        proxy.hops._next_hop = NextHop("127.0.0.1", proxy.sink.port, tls=False, user="app", password="old")
        proxy.sink.extensions = ("AUTH PLAIN",)
        proxy.sink.answers["AUTH"] = "535 5.7.8 who are you?"
    code, text = await proxy.send(mail(), ANNA)
    assert (code, text[:6]) == (451, "4.7.1 " if fault == "greeting" else "4.7.8 ")


async def test_who_had_it_does_not_get_it_again_when_the_others_are_refused_by_then(proxy: Proxy) -> None:
    await proxy.flows.grant(ANNA)
    proxy.sink.answers[f"DATA {ANNA}"] = LATER
    assert (await proxy.send(mail(), ANNA, BERT, CARA))[0] == 451
    for one in (ANNA, CARA):
        proxy.sink.answers[f"RCPT TO:<{one}"] = "452 4.2.2 mailbox full"
    async with proxy.client() as client:
        refused, _ = await client.sendmail("a@b.example", [ANNA, BERT, CARA], mail())
    assert sorted(refused) == [ANNA, CARA]
    assert sent_to(proxy) == [(BERT, CARA)]


async def test_nor_when_their_consent_has_changed_by_then(proxy: Proxy) -> None:
    await proxy.flows.grant(ANNA)
    proxy.sink.answers[f"DATA {ANNA}"] = LATER
    assert (await proxy.send(mail(), ANNA, BERT))[0] == 451
    await proxy.flows.grant(BERT)
    proxy.sink.answers.clear()
    assert (await proxy.send(mail(), ANNA, BERT))[0] == 250
    assert sent_to(proxy) == [(BERT,), (ANNA,)]


async def test_a_next_hop_that_takes_long_for_each_copy_is_given_the_rest_when_the_client_tries_again(
    proxy: Proxy,
) -> None:
    """The client would give up waiting, and everybody would have the message once more with each of its attempts."""
    for one in (ANNA, BERT):
        await proxy.flows.grant(one)

    def take_long(command: str) -> None:
        if command.startswith("DATA"):
            proxy.clock.now += ENOUGH + timedelta(seconds=1)

    proxy.sink.before_answer = take_long
    expected = [(CARA,), (ANNA,), (BERT,)]  # untouched copies go first
    for attempt in (1, 2):
        code, text = await proxy.send(mail(), ANNA, BERT, CARA)
        assert (code, text[:6]) == (451, "4.4.7 ")
        assert sent_to(proxy) == expected[:attempt]
    assert (await proxy.send(mail(), ANNA, BERT, CARA))[0] == 250
    assert sent_to(proxy) == expected


async def test_a_next_hop_that_is_away_is_told_and_mail_flows_again(proxy: Proxy) -> None:
    async with proxy.client() as client:
        await client.ehlo()
    port, proxy.hops._next_hop = proxy.sink.port, type(proxy.hops._next_hop)("127.0.0.1", 9, tls=False)
    proxy.hops.close()
    code, text = await proxy.send(mail(), ANNA)
    assert (code, text[:5]) == (451, "4.4.1")
    proxy.hops._next_hop = type(proxy.hops._next_hop)("127.0.0.1", port, tls=False)
    assert (await proxy.send(mail(), ANNA))[0] == 250


async def test_a_client_that_leaves_at_the_end_of_data_does_not_undo_what_is_under_way(proxy: Proxy) -> None:
    """Its retry is then a second copy, as SMTP allows where an answer was lost; but nothing is half done."""
    proxy.sink.hold = asyncio.Event()
    came = asyncio.Event()
    proxy.sink.before_answer = lambda command: came.set() if command[:4] == "DATA" else None
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"EHLO c\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<anna@example.org>\r\nDATA\r\n" + mail() + b".\r\n")
    await asyncio.wait_for(came.wait(), 10)
    writer.close()
    proxy.sink.hold.set()
    await proxy.door.close()
    assert sent_to(proxy) == [(ANNA,)]
    assert proxy.counts.results == ["relayed"]
    assert reader is not None


async def deliveries(proxy: Proxy) -> list[object]:
    async with proxy.flows.store._database.read() as connection:
        rows = await connection.exec_driver_sql("SELECT id FROM deliveries ORDER BY id")
        return [tuple(row) for row in rows]


async def marks(proxy: Proxy) -> int:
    async with proxy.flows.store._database.read() as connection:
        return int((await connection.exec_driver_sql("SELECT count(*) FROM spent")).scalar_one())
