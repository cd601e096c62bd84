"""Writes the one line that every relay puts on top of a message (RFC 5321, section 4.4): no recipient, no client."""

from __future__ import annotations

from datetime import datetime
from email.utils import format_datetime


def received_line(name: str, protocol: str, at: datetime) -> bytes:
    """The Received field of the server NAME, which took the message by PROTOCOL (RFC 3848) at the instant AT.

    Whoever handed it in stands in the lines below, where they passed a relay; an application's host is nobody's
    business.
    """
    stamp = format_datetime(at.replace(microsecond=0))
    return f"Received: by {name} with {protocol};\r\n\t{stamp}\r\n".encode("ascii")


def protocol_of(*, extended: bool, tls: bool, login: bool, utf8: bool) -> str:
    """The protocol's name in the registry of RFC 3848 and RFC 6531."""
    if not extended:
        return "SMTP"
    return f"{'UTF8SMTP' if utf8 else 'ESMTP'}{'S' if tls else ''}{'A' if login else ''}"
