"""Never an open relay: who is not of the networks logs in with an API key; whose control headers count."""

from __future__ import annotations

import logging
import ssl
from base64 import b64encode
from ipaddress import ip_network
from pathlib import Path

import aiosmtplib
import pytest

from tests.certificate import Certificate
from tests.doors.smtp.conftest import ANNA, BERT, FROM, Proxies, Proxy, mail
from tests.flows.conftest import NOW
from tests.flows.test_send import tokens_in
from tracker.flows.access import Access
from tracker.flows.report import Listing
from tracker.model import Day, Scope

NOWHERE = (ip_network("192.0.2.0/24"),)
KEY = "trk_" + "k" * 43


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What a server and its clients need for TLS."""
    folder: Path = tmp_path_factory.mktemp("tls")
    made = Certificate.made(folder)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(made.chain, made.key)
    return server, ssl.create_default_context(cafile=str(made.chain))


async def test_a_stranger_may_send_nothing(proxies: Proxies) -> None:
    proxy = await proxies(networks=NOWHERE)
    code, text = await proxy.send(mail(), ANNA)
    assert (code, text) == (530, "5.7.0 Authentication required")
    assert not proxy.sink.commands[1:], "the next hop hears nothing of it"


async def test_who_logs_in_may_send(proxies: Proxies) -> None:
    proxy = await proxies(networks=NOWHERE, control_networks=NOWHERE)
    await proxy.flows.grant(ANNA)
    async with proxy.client() as client:
        await client.login("app", KEY)
        await client.sendmail(FROM, [ANNA], mail(head="X-Tracker: off\r\n"))
    (taken,) = proxy.sink.taken
    assert taken.below_received == mail(), "the header is heeded and gone"
    assert b" with ESMTPA;" in taken.octets


@pytest.mark.parametrize(("name", "key"), [("app", "trk_wrong"), ("other", KEY), ("app", "ä")])
async def test_a_wrong_login_is_refused(proxies: Proxies, name: str, key: str) -> None:
    proxy = await proxies(networks=NOWHERE)
    secret = b64encode(f"\0{name}\0{key}".encode())
    said = await proxy.dialog(b"EHLO c\r\n", b"AUTH PLAIN " + secret + b"\r\n", b"MAIL FROM:<a@b.example>\r\n")
    assert b"\r\n535 5.7.8 " in said
    assert b"\r\n530 5.7.0 " in said


async def test_logins_cannot_be_guessed_at_length(proxies: Proxies) -> None:
    proxy = await proxies(networks=NOWHERE)
    guess = b"AUTH PLAIN " + b64encode(b"\0app\0x") + b"\r\n"
    said = await proxy.dialog(b"EHLO c\r\n", *[guess] * 6)
    assert b"\r\n421 4.7.0 AUTH sent too many times" in said


async def test_starttls_forgets_what_was_said_before(
    proxies: Proxies, certificate: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    proxy = await proxies(networks=NOWHERE, certificate=certificate[0])
    async with proxy.client(start_tls=True, tls_context=certificate[1]) as client:
        assert not client.supports_extension("STARTTLS")
        await client.login("app", KEY)
        await client.sendmail(FROM, [ANNA], mail())
    assert b" with ESMTPSA;" in proxy.sink.taken[0].octets


async def test_tls_from_the_first_octet(proxies: Proxies, certificate: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    proxy = await proxies(networks=NOWHERE, certificate=certificate[0], tls=True)
    async with proxy.client(use_tls=True, start_tls=None, tls_context=certificate[1]) as client:
        assert not client.supports_extension("STARTTLS")
        await client.login("app", KEY)
        await client.sendmail(FROM, [ANNA], mail())
    assert b" with ESMTPSA;" in proxy.sink.taken[0].octets


async def test_a_key_is_never_asked_for_in_the_clear(proxies: Proxies, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = await proxies(networks=NOWHERE)
    monkeypatch.setattr(proxy.office, "is_loopback", lambda peer: False)
    said = await proxy.dialog(b"EHLO c\r\n", b"AUTH PLAIN " + b64encode(f"\0app\0{KEY}".encode()) + b"\r\n")
    assert b"AUTH" not in said.partition(b"538")[0]
    assert b"\r\n538 5.7.11 " in said


async def test_control_headers_are_taken_out_and_not_heeded_from_others(proxies: Proxies) -> None:
    proxy = await proxies(control_networks=NOWHERE)
    await proxy.flows.grant(ANNA)
    await proxy.send(mail(head="X-Tracker: off\r\nX-Tracker-Label: a\r\n b\r\n"), ANNA, BERT)
    untouched, tracked = proxy.sink.taken
    assert tokens_in(tracked.octets)
    assert untouched.below_received == mail()


async def test_from_control_networks_they_are_heeded(proxy: Proxy) -> None:
    await proxy.flows.grant(ANNA)
    await proxy.send(mail(head="X-Tracker: off\r\n"), ANNA)
    assert proxy.sink.taken[0].below_received == mail()


async def test_a_key_that_is_bound_to_a_rep_speaks_for_no_other(proxies: Proxies) -> None:
    proxy = await proxies()
    await proxy.flows.grant(ANNA)
    access = Access(proxy.flows.store)
    await access.create("jonas", frozenset({Scope.REWRITE}), "jonas@werkstatt-nord.example", Day(1), lambda: "j" * 43)
    head = "X-Tracker-Owner: rita@werkstatt-nord.example\r\n"
    async with proxy.client() as client:
        await client.login("jonas", "trk_" + "j" * 43)
        await client.sendmail(FROM, [ANNA], mail(head=head))
    await proxy.send(mail(head=head + "X-Other: 1\r\n"), ANNA)
    for rep in ("jonas", "rita"):  # without a login, from here, the header says whose it is
        listing = Listing(frozenset({f"{rep}@werkstatt-nord.example"}))
        (found,) = (await proxy.flows.figures.messages(listing, NOW)).messages
        assert found.tracked == 1


async def test_no_log_holds_an_address(
    proxies: Proxies, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    proxy = await proxies()
    proxy.sink.answers["RCPT TO:<bert"] = "550 5.1.1 bert@example.org is unknown"
    await proxy.send(mail(), ANNA)
    await proxy.dialog(
        b"EHLO c\r\n", b"MAIL FROM:<jonas@werkstatt-nord.example>\r\n", b"RCPT TO:<bert@example.org>\r\n",
        b"RCPT TO:bert@example.org>\r\n", b"VRFY bert@example.org\r\n", b"FOO bert@example.org\r\n",
    )  # fmt: skip
    proxy.sink.answers["DATA"] = "cut"
    with pytest.raises(aiosmtplib.SMTPDataError):
        async with proxy.client() as client:
            await client.sendmail(FROM, [ANNA], mail())
    logged = caplog.text + "".join(capfd.readouterr())
    assert "connection to the next hop broke" in logged, "the log was looked at"
    assert "example.org" not in logged
    assert "werkstatt-nord" not in logged


async def test_too_many_connections_are_told_to_come_back(proxies: Proxies) -> None:
    proxy = await proxies(most=1)
    async with proxy.client():
        with pytest.raises(aiosmtplib.SMTPConnectResponseError) as refused:
            async with proxy.client():
                pass
        assert refused.value.code == 421


async def test_an_idle_client_is_hung_up_on(proxies: Proxies) -> None:
    proxy = await proxies(idle_seconds=0.05)
    assert await proxy.dialog(b"") == b"220 proxy.example ESMTP\r\n"


async def test_a_client_that_is_slow_with_its_message_is_hung_up_on(proxies: Proxies) -> None:
    proxy = await proxies(data_seconds=0.0)
    begin = b"EHLO c\r\n", b"MAIL FROM:<a@b.example>\r\n", b"RCPT TO:<anna@example.org>\r\n", b"DATA\r\n"
    assert b"\r\n421 4.3.2 " in await proxy.dialog(*begin, b"Subject: x\r\n")
