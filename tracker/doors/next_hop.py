"""Reads where mail goes to from the setting `smtp_next_hop`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import unquote

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
