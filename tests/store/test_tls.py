"""The way to a PostgreSQL server is as private as the URL says: TLS options reach the driver, others are refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.postgres import Cluster, programs
from tests.store.conftest import made
from tests.store.conftest import opened as open_store
from tracker.model import BadSetting, StoreUnavailable

pytestmark = pytest.mark.postgres


def certificate(host: str) -> tuple[bytes, bytes]:
    """A certificate for HOST signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.public_bytes(serialization.Encoding.PEM), private


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, Path, Path]]:
    """A server that speaks TLS, its certificate, and another one that is not its own."""
    if programs() is None:
        pytest.skip("needs PostgreSQL (Debian's package postgresql)")
    folder = tmp_path_factory.mktemp("certificates")
    pem, key = certificate("127.0.0.1")
    own, other = folder / "own.pem", folder / "other.pem"
    own.write_bytes(pem)
    other.write_bytes(certificate("127.0.0.1")[0])
    with Cluster(pem, key) as running:
        yield running, own, other


async def test_the_servers_certificate_is_checked_when_the_url_says_so(secure: tuple[Cluster, Path, Path]) -> None:
    server, own, other = secure
    url = server.url(server.make())
    await made(url)
    await (await open_store(f"{url}?sslmode=verify-full&sslrootcert={own}")).close()
    with pytest.raises(StoreUnavailable, match="SSLCertVerificationError"):
        await open_store(f"{url}?sslmode=verify-full&sslrootcert={other}")


async def test_a_url_that_wants_tls_sends_nothing_without(cluster: Cluster, fresh_on_postgres: str) -> None:
    url = cluster.url(fresh_on_postgres)
    await (await open_store(f"{url}?sslmode=disable")).close()
    with pytest.raises(StoreUnavailable):
        await open_store(f"{url}?sslmode=require")


async def test_an_option_that_is_not_known_is_refused(cluster: Cluster, fresh_on_postgres: str) -> None:
    """The driver would take it for a setting of the server, and go on without TLS."""
    with pytest.raises(BadSetting, match="sslmod"):
        await open_store(f"{cluster.url(fresh_on_postgres)}?sslmod=verify-full")
