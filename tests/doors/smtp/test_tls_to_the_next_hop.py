"""TLS on the other side: to the next hop, when it is asked for or offered."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from tests.certificate import Certificate
from tests.doors.smtp.conftest import ANNA, Proxy, mail
from tests.mailserver import mail_server
from tracker.doors.next_hop import NextHop


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    folder: Path = tmp_path_factory.mktemp("tls")
    return Certificate.made(folder)


@pytest.fixture
def context(certificate: Certificate) -> ssl.SSLContext:
    """The next hop's."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(certificate.chain, certificate.key)
    return server


async def test_tls_is_taken_where_it_is_offered(proxy: Proxy, context: ssl.SSLContext) -> None:
    with mail_server(starttls=context) as server:
        proxy.hops._next_hop = NextHop("127.0.0.1", server.port, tls=False)
        assert (await proxy.send(mail(), ANNA))[0] == 250
        (received,) = await server.arrived(1)
        proxy.hops.close()  # the next hop goes away now
    assert received.tls
    assert received.octets.endswith(mail())


async def test_smtps_is_tls_from_the_first_octet_with_a_server_that_is_who_it_says(
    proxy: Proxy, context: ssl.SSLContext, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mail_server(tls=context) as server:
        proxy.hops._next_hop = NextHop.of(f"smtps://127.0.0.1:{server.port}")
        code, text = await proxy.send(mail(), ANNA)
        assert (code, text[:6]) == (451, "4.4.1 "), "nobody vouches for its certificate"
        assert server.received == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.chain))
        assert (await proxy.send(mail(), ANNA))[0] == 250
        (received,) = await server.arrived(1)
        proxy.hops.close()  # the next hop goes away now
    assert received.tls
