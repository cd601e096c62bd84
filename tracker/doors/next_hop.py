"""Reads where mail goes to from the setting `smtp_next_hop`, and makes clients that take it there."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import unquote

import aiosmtplib

PORTS: Final = {"smtp": 25, "smtps": 465}
_NEXT_HOP: Final = re.compile(
    r"(?:(?P<scheme>smtps?)://)?(?:(?P<user>[^@:]+)(?::(?P<password>[^@]*))?@)?"
    r"(?:\[(?P<literal>[^]]+)\]|(?P<host>[^:/]+))(?::(?P<port>[0-9]+))?/?"
)


@dataclass(frozen=True, slots=True)
class NextHop:
    """Where mail goes to."""

    host: str
    port: int
    tls: bool
    """TLS from the first octet."""
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, setting: str) -> Self:
        """What the setting `smtp_next_hop` names, as config_values.next_hop lets it through. Raises ValueError."""
        match = _NEXT_HOP.fullmatch(setting)
        if match is None:
            raise ValueError("not a next hop")
        scheme = match["scheme"] or "smtp"
        user, password = match["user"], match["password"]
        return cls(
            host=match["literal"] or match["host"],
            port=int(match["port"] or PORTS[scheme]),
            tls=scheme == "smtps",
            user=None if user is None else unquote(user),
            password=None if user is None else unquote(password or ""),
        )

    @property
    def loopback(self) -> bool:
        """Whether it is this machine itself."""
        return self.host in ("localhost", "::1") or re.fullmatch(r"127(?:\.[0-9]{1,3}){3}", self.host) is not None


def client_of(hop: NextHop, name: str, seconds: float) -> aiosmtplib.SMTP:
    """A client that is not connected yet; NAME is who it says that it is, and each step may take so many SECONDS."""
    # A password goes over TLS to a server that is who it says; without one TLS is taken where it is offered, as
    # mail servers do among themselves (RFC 7435). To this machine itself there is nobody in between.
    secret = hop.user is not None and not hop.tls and not hop.loopback
    return aiosmtplib.SMTP(
        hostname=hop.host,
        port=hop.port,
        username=hop.user,
        password=hop.password,
        use_tls=hop.tls,
        start_tls=True if secret else None,
        validate_certs=hop.tls or secret,
        local_hostname=name,  # the library would ask the DNS
        timeout=seconds,
    )
