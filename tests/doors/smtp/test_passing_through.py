"""Promise 1 over SMTP: who agreed gets a tracked copy of their own, everybody else the same octets, together."""

from __future__ import annotations

from tests.doors.smtp.conftest import ANNA, BERT, CARA, FROM, Proxy, mail
from tests.flows.test_send import tokens_in
from tracker.model import Reason


async def test_without_a_grant_the_octets_are_the_same_but_for_the_received_line(proxy: Proxy) -> None:
    message = mail("<p>.\r\n.dot\r\n..two\r\n</p>")
    assert await proxy.send(message, ANNA, BERT) == (250, "2.0.0 ok")
    (taken,) = proxy.sink.taken
    assert taken.below_received == message
    assert taken.recipients == (ANNA, BERT), "together in one transaction"
    assert taken.octets.startswith(b"Received: by proxy.example with ESMTP;\r\n\t")
    assert proxy.counts.copies == [Reason.NO_GRANT, Reason.NO_GRANT]
    assert proxy.counts.results == ["relayed"]


async def test_two_recipients_with_mixed_consent_get_what_is_theirs(proxy: Proxy) -> None:
    await proxy.flows.grant(BERT)
    assert await proxy.send(mail(), ANNA, BERT, CARA) == (250, "2.0.0 ok")
    untouched, tracked = proxy.sink.taken
    assert tracked.recipients == (BERT,)
    assert len(tokens_in(tracked.octets)) == 2
    assert untouched.recipients == (ANNA, CARA)
    assert untouched.below_received == mail()


async def test_each_tracked_copy_has_tokens_of_its_own(proxy: Proxy) -> None:
    await proxy.flows.grant(ANNA)
    await proxy.flows.grant(BERT)
    await proxy.send(mail(), ANNA, BERT)
    assert [taken.recipients for taken in proxy.sink.taken] == [(ANNA,), (BERT,)]
    assert len({token for taken in proxy.sink.taken for token in tokens_in(taken.octets)}) == 2


async def test_a_single_tracked_copy_goes_in_the_transaction_that_is_open(proxy: Proxy) -> None:
    await proxy.flows.grant(ANNA)
    await proxy.send(mail(), ANNA)
    assert [word[:4] for word in proxy.sink.commands] == ["EHLO", "MAIL", "RCPT", "DATA"]
    assert tokens_in(proxy.sink.taken[0].octets)


async def test_the_null_sender_and_parameters_are_passed_on(proxy: Proxy) -> None:
    async with proxy.client() as client:
        assert client.supports_extension("DSN")
        assert client.supports_extension("PIPELINING")
        assert client.supports_extension("ENHANCEDSTATUSCODES")
        await client.execute_command(b"MAIL FROM:<>", b"SIZE=400", b"BODY=8BITMIME", b"RET=HDRS", b"ENVID=q1")
        await client.execute_command(b"RCPT TO:<anna@example.org>", b"NOTIFY=NEVER", b"ORCPT=rfc822;anna@example.org")
        await client.data(mail())
    (taken,) = proxy.sink.taken
    assert taken.mail == "FROM:<> SIZE=400 BODY=8BITMIME RET=HDRS ENVID=q1"
    assert taken.rcpts == ("TO:<anna@example.org> NOTIFY=NEVER ORCPT=rfc822;anna@example.org",)


async def test_parameters_go_no_further_than_what_the_next_hop_offers(proxy: Proxy) -> None:
    proxy.sink.extensions = ("SIZE 5000",)
    async with proxy.client() as client:
        assert not client.supports_extension("DSN")
        assert client.esmtp_extensions["size"] == "5000"
        await client.execute_command(b"MAIL FROM:<a@b.example>", b"RET=HDRS")
        assert (await client.execute_command(b"MAIL FROM:<a@b.example>")).code == 503
        await client.execute_command(b"RCPT TO:<anna@example.org>")
        await client.data(mail())
        utf8 = await client.execute_command("MAIL FROM:<ä@b.example>".encode(), b"SMTPUTF8")
        assert (utf8.code, utf8.message[:5]) == (550, "5.6.7")
    assert proxy.sink.taken[0].mail == "FROM:<a@b.example>"


async def test_addresses_with_other_letters_pass(proxy: Proxy) -> None:
    async with proxy.client() as client:
        await client.execute_command("MAIL FROM:<jürgen@x.example>".encode(), b"SMTPUTF8")
        await client.execute_command(b'RCPT TO:<"a b"@x.example>')
        await client.execute_command("RCPT TO:<änna@x.example>".encode())
        await client.data(mail())
    assert proxy.sink.taken[0].rcpts == ('TO:<"a b"@x.example>', "TO:<änna@x.example>")


async def test_connections_to_the_next_hop_are_used_again(proxy: Proxy) -> None:
    for _ in range(3):
        await proxy.send(mail(), ANNA, sender=FROM)
    assert proxy.sink.connections == 1
