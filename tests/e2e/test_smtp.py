"""The SMTP proxy as a process of its own, with a real next hop: TLS on uvloop, and what its log says."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.certificate import Certificate
from tests.e2e.mail import message
from tests.harness import Installation, free_port
from tests.mailserver import MailServer, mail_server

pytestmark = pytest.mark.e2e
ANNA, BERT = "anna@example.org", "bert@example.org"
FROM = "jonas@werkstatt-nord.example"
OFFER = message('<p><a href="https://shop.example/a">x</a></p>')


@pytest.fixture
def hop() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


@pytest.fixture
def proxy(fresh: Installation, hop: MailServer) -> Installation:
    """Not yet started."""
    fresh.environment |= {
        "TRACKER_SMTP_LISTEN": f"127.0.0.1:{free_port()}",
        "TRACKER_SMTP_NEXT_HOP": hop.next_hop,
        "TRACKER_SENDER_DOMAINS": "werkstatt-nord.example",
    }
    return fresh


def client(proxy: Installation, listen: str = "SMTP_LISTEN") -> smtplib.SMTP:
    host, port = proxy.environment[f"TRACKER_{listen}"].split(":")
    return smtplib.SMTP(host, int(port), "client.example", timeout=30)


def test_mixed_consent_through_a_real_process_and_nothing_in_its_log(proxy: Installation, hop: MailServer) -> None:
    with proxy:
        assert proxy.grant(ANNA).status == 201
        with client(proxy) as smtp:
            assert smtp.sendmail(FROM, [ANNA, BERT], OFFER) == {}
        untouched, tracked = hop.wait_for(2)
        metrics = proxy.api("GET", "/metrics").body
    assert tracked.recipients == (ANNA,)
    assert b"/c/" in tracked.octets
    assert untouched.recipients == (BERT,)
    assert untouched.octets.endswith(OFFER)
    assert untouched.octets.removesuffix(OFFER).startswith(b"Received: by 127.0.0.1 with ESMTP;")
    assert b'tracker_smtp_messages_total{result="relayed"} 1.0' in metrics
    assert b'tracker_copies_total{outcome="tracked",reason=""} 1.0' in metrics
    lines = proxy.log_file.read_text().splitlines()
    log = "\n".join(line for line in lines if 'message="setting ' not in line)
    assert "serving" in log
    assert not [word for word in ("example.org", "werkstatt-nord", "RCPT", "127.0.0.1") if word in log], log


def test_tls_and_a_login_on_the_real_event_loop(proxy: Installation, hop: MailServer, tmp_path: Path) -> None:
    certificate = Certificate.made(tmp_path)
    trust = ssl.create_default_context(cafile=str(certificate.chain))
    proxy.environment |= {
        "TRACKER_SMTPS_LISTEN": f"127.0.0.1:{free_port()}",
        "TRACKER_SMTP_CERTIFICATE": str(certificate.chain),
        "TRACKER_SMTP_PRIVATE_KEY": str(certificate.key),
        "TRACKER_SMTP_NETWORKS": "192.0.2.0/24",
    }
    with proxy:
        with client(proxy) as smtp:
            smtp.starttls(context=trust)
            smtp.login("tests", proxy.key)
            smtp.sendmail(FROM, [ANNA], OFFER)
        host, port = proxy.environment["TRACKER_SMTPS_LISTEN"].split(":")
        with smtplib.SMTP_SSL(host, int(port), "client.example", timeout=30, context=trust) as smtp:
            with pytest.raises(smtplib.SMTPSenderRefused) as refused:
                smtp.sendmail(FROM, [ANNA], OFFER)
            assert refused.value.smtp_code == 530
            smtp.login("tests", proxy.key)
            smtp.sendmail(FROM, [ANNA], OFFER)
        protocols = [received.octets.split(b" with ")[1][:7] for received in hop.wait_for(2)]
    assert protocols == [b"ESMTPSA", b"ESMTPSA"]


@pytest.mark.parametrize("kind", ["starttls", "tls"])
def test_tls_to_the_next_hop_on_the_real_event_loop(proxy: Installation, tmp_path: Path, kind: str) -> None:
    """Several messages on one connection, of which one is long."""
    certificate = Certificate.made(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.chain, certificate.key)
    with mail_server(**{kind: context}) as server:
        scheme = "smtps" if kind == "tls" else "smtp"
        proxy.environment |= {
            "TRACKER_SMTP_NEXT_HOP": f"{scheme}://127.0.0.1:{server.port}",
            "SSL_CERT_FILE": str(certificate.chain),
        }
        long = OFFER + b"x" * 70 + b"\r\n" + 5_000 * (b"y" * 76 + b"\r\n..\r\n")
        with proxy, client(proxy) as smtp:
            assert proxy.grant(ANNA).status == 201
            for octets in (OFFER, long):
                assert smtp.sendmail(FROM, [ANNA, BERT], octets) == {}
            received = server.wait_for(4)
    assert [mail.recipients for mail in received] == [(BERT,), (ANNA,)] * 2
    assert received[2].octets.endswith(long)
    assert b"/c/" in received[3].octets


def test_a_stop_finishes_what_is_on_its_way(proxy: Installation, hop: MailServer) -> None:
    with proxy, client(proxy) as smtp:
        smtp.ehlo()
        assert proxy.stop() == 0
        assert smtp.getreply()[0] == 421
        smtp.close()


def test_a_doctor_objects_to_clients_that_need_no_login(proxy: Installation) -> None:
    said = proxy.run("doctor")
    assert "only this machine hands in mail without a login" in said
    proxy.environment["TRACKER_SMTP_NETWORKS"] = "10.0.0.0/8"
    assert "smtp_networks lets in 10.0.0.0/8" in proxy.run("doctor", status=1)
