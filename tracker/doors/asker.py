"""Asks a server of ours one thing over HTTP, as a program with no memory does: no cookies, no redirects, no proxies.

Only commands that an operator starts by name use it: `tracker try`, and `tracker doctor --from-outside`.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import perf_counter
from typing import Final
from urllib.parse import urlsplit

from tracker.model import NoAnswer

SECONDS: Final = 10.0
"""For each step: to connect, and to wait for what comes next."""
LARGEST: Final = 2**20
"""Octets of an answer that are read."""


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer."""

    status: int
    headers: Mapping[str, str]
    """By lower-case name; several of one name are joined by commas."""
    body: bytes = field(repr=False)
    seconds: float = 0.0
    """From the first octet sent, connecting included, to the last one read."""
    certificate_ends: datetime | None = None
    """Of the certificate that the server showed, which holds."""


def ask(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | None = None,
    *,
    seconds: float = SECONDS,
) -> Heard:
    """What the server behind URL (http or https, printable ASCII) answers; a certificate is checked.

    Raises NoAnswer, which says why in words for an operator.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(host, parts.port, timeout=seconds, context=context)
    else:
        connection = http.client.HTTPConnection(host, parts.port, timeout=seconds)
    began = perf_counter()
    try:
        connection.connect()
        ends = _certificate_ends(connection.sock)
        connection.request(method, parts.path or "/", body, dict(headers))
        answer = connection.getresponse()
        octets = answer.read(LARGEST)
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswer(f"{_origin(parts.scheme, host, parts.port)}: {_why(error, host, seconds)}") from None
    finally:
        connection.close()
    named: dict[str, str] = {}
    for name, value in answer.getheaders():
        lower = name.lower()
        named[lower] = f"{named[lower]}, {value}" if lower in named else value
    return Heard(answer.status, named, octets, perf_counter() - began, ends)


def _origin(scheme: str, host: str, port: int | None) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}" + (f":{port}" if port else "")


def _certificate_ends(connected: socket.socket) -> datetime | None:
    if not isinstance(connected, ssl.SSLSocket):
        return None
    ends = (connected.getpeercert() or {}).get("notAfter")
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(ends), UTC) if isinstance(ends, str) else None


def _why(error: Exception, host: str, seconds: float) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate does not hold: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS could not be begun: {error.reason or 'no reason was given'}"
    if isinstance(error, socket.gaierror):
        return f"the name {host} is not known here: see the DNS"
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there"
    if isinstance(error, TimeoutError):
        return f"nothing came within {seconds:.0f} s"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return f"what came is no HTTP: {type(error).__name__}"
