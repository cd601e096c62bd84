"""A real OpenDKIM of the tests' own: a milter that signs, and the key in the DNS by which others verify."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dkim
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.harness import PATIENCE, free_port

OPENDKIM = shutil.which("opendkim", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
SELECTOR = "tests"
# `simple` for both: not one octet of what was signed may change on the way.
SETTINGS = """
Syslog no
Mode s
Canonicalization simple/simple
Domain {domain}
Selector {selector}
KeyFile {key}
RequireSafeKeys no
Socket inet:{port}@127.0.0.1
"""


@dataclass(frozen=True)
class Signer:
    """One that runs."""

    port: int
    domain: str
    key: bytes
    record: bytes

    @property
    def milter(self) -> str:
        """For Postfix's `smtpd_milters`."""
        return f"inet:127.0.0.1:{self.port}"

    def verifies(self, message: bytes) -> bool:
        """Whether MESSAGE carries its signature, and it holds; dkimpy looks, as a receiver does."""
        return all(self.signatures(message)) and bool(self.signatures(message))

    def signatures(self, message: bytes) -> list[bool]:
        """Of each signature in MESSAGE, from the top, whether it holds."""
        number = (b"\r\n" + message.partition(b"\r\n\r\n")[0]).lower().count(b"\r\ndkim-signature:")
        return [self._holds(message, which) for which in range(number)]

    def _holds(self, message: bytes, which: int) -> bool:
        try:
            return bool(dkim.DKIM(message).verify(which, dnsfunc=self._dns))
        except dkim.DKIMException:
            return False

    def signed(self, message: bytes) -> bytes:
        """MESSAGE as a provider hands it over that signs with the same key before anybody else."""
        signature: bytes = dkim.sign(message, SELECTOR.encode(), self.domain.encode(), self.key)
        return signature + message

    def _dns(self, name: bytes, timeout: int = 5) -> bytes | None:
        asked = name.decode().rstrip(".")
        return self.record if asked == f"{SELECTOR}._domainkey.{self.domain}" else None


@contextmanager
def opendkim(folder: Path, domain: str) -> Iterator[Signer]:
    """Signs mail from DOMAIN."""
    assert OPENDKIM is not None
    folder.mkdir(parents=True)
    key = rsa.generate_private_key(65_537, 2_048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    (folder / "key").write_bytes(pem)
    (folder / "key").chmod(0o600)
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    signer = Signer(free_port(), domain, pem, b"v=DKIM1; k=rsa; p=" + b64encode(public))
    settings = SETTINGS.format(domain=domain, selector=SELECTOR, key=folder / "key", port=signer.port)
    (folder / "conf").write_text(settings)
    process = subprocess.Popen([OPENDKIM, "-f", "-x", str(folder / "conf")])
    try:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", signer.port), 1).close()
                break
            except OSError:
                assert process.poll() is None, "OpenDKIM did not start"
                assert time.monotonic() < end, "OpenDKIM does not answer"
        yield signer
    finally:
        process.kill()  # it keeps nothing, and takes its time to end otherwise
        process.wait(PATIENCE)
