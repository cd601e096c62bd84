"""A reverse proxy with TLS before the public listener, as operators have one; it may also do what a bad one does."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

PATIENCE = 30.0
HOST = "localhost"


@dataclass
class Front:
    """Listens on free ports of this machine until it is closed."""

    upstream: int
    """The port that requests are passed on to."""
    folder: Path
    """Where the certificate is kept, for who is to trust it: `certificate`."""
    change: Callable[[bytes], bytes] = field(default=lambda octets: octets)
    """What is done to the octets of answers."""
    port: int = 0
    plain_port: int = 0
    """Here http is answered, with `plain`."""
    plain: str = "301 Moved Permanently"
    connections: int = 0
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self.port}"

    @property
    def certificate(self) -> Path:
        return self.folder / "front.pem"

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection with TLS."""
        self.connections += 1
        self.writers.append(writer)
        try:
            theirs, ours = await asyncio.open_connection("127.0.0.1", self.upstream)
        except OSError:
            writer.close()
            return
        self.writers.append(ours)
        await asyncio.gather(
            _pump(reader, ours, lambda octets: octets), _pump(theirs, writer, lambda octets: self.change(octets))
        )

    async def redirect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection without."""
        self.writers.append(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ")[1].decode()
            answer = f"HTTP/1.1 {self.plain}\r\nLocation: {self.url}{path}\r\nContent-Length: 0\r\n\r\n"
            writer.write(answer.encode())
            await writer.drain()
        writer.close()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, change: Callable[[bytes], bytes]) -> None:
    with contextlib.suppress(OSError):
        while octets := await source.read(65_536):
            sink.write(change(octets))
            await sink.drain()
    with contextlib.suppress(OSError):
        sink.close()


@contextmanager
def fronting(upstream: int, folder: Path, *, days: float = 90, host: str = HOST) -> Iterator[Front]:
    """A running front, with a certificate for HOST that holds for so many DAYS."""
    front = Front(upstream, folder)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certify(front.certificate, days, host)
    context.load_cert_chain(front.certificate)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="front")
    thread.start()

    async def listen() -> list[asyncio.Server]:
        return [
            await asyncio.start_server(front.pass_on, HOST, 0, ssl=context, family=2),
            await asyncio.start_server(front.redirect, HOST, 0, family=2),
        ]

    servers = asyncio.run_coroutine_threadsafe(listen(), loop).result(PATIENCE)
    front.port, front.plain_port = (server.sockets[0].getsockname()[1] for server in servers)

    async def end() -> None:
        for server in servers:
            server.close()
        for writer in front.writers:
            writer.transport.abort()
        others = asyncio.all_tasks(loop) - {asyncio.current_task(loop)}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0)  # transports say goodbye in the next round

    try:
        yield front
    finally:
        asyncio.run_coroutine_threadsafe(end(), loop).result(PATIENCE)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)
        loop.close()


def certify(path: Path, days: float, host: str) -> None:
    """Write key and certificate, which signs itself, to PATH."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, SHA256())
    )
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
