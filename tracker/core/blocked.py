"""Says which hosts are blocked: those on a list, and whatever lies below them.

Law: an address is the same however it is written. Browsers read `3221225985` and `0300.0.2.1` as 192.0.2.1.
"""

from __future__ import annotations

import re
from collections.abc import Set
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from tracker.core.target import authority_host, resolve
from tracker.model import InvalidField


class Blocked:
    """Whether a host is one of HOSTS (as `host_of` returns them) or below one; a few look-ups in a set."""

    def __init__(self, hosts: Set[str] = frozenset()) -> None:
        self._hosts = frozenset(hosts)

    def __call__(self, host: str) -> bool:
        """HOST: as a tracked URL shows it."""
        if not self._hosts:  # as nearly always
            return False
        host = _one_form(host.lower())
        while host not in self._hosts:
            _, dot, host = host.partition(".")
            if not dot:
                return False
        return True


def host_of(text: str) -> str:
    """The host that TEXT, a host or a URL, names, as browsers look it up: A-labels in lower case, no port.

    Raises InvalidField for what is no host, and for a name of one label alone, below which half the world may lie.
    """
    text = text.strip()
    if "//" not in text:
        bare = f"[{text}]" if text.count(":") > 1 and "[" not in text else text
        text = "" if "@" in text else f"https://{bare}/"
    url = resolve(text)
    host = "" if url is None else _one_form(authority_host(url))
    if not host or not all(host.split(".")) or not ("." in host or _is_address(host)):
        raise InvalidField("host: a name such as evil.example, or an IP address")
    return host


def _one_form(host: str) -> str:
    """HOST, in lower case, as all ways to write the same are written."""
    if ":" in host:
        try:
            address = IPv6Address(host)
        except ValueError:
            return host
        return str(address.ipv4_mapped or address)
    host = host.rstrip(".")
    return _ipv4(host) or host if host.rpartition(".")[2][:1].isdecimal() else host


def _ipv4(host: str) -> str | None:
    """The address that browsers read HOST as, its numbers decimal, octal or hexadecimal (WHATWG URL standard, 3.5)."""
    parts = host.split(".")
    if len(parts) > 4 or not all(map(_NUMBER.fullmatch, parts)):
        return None
    *first, last = map(_number, parts)
    if max(first, default=0) > 255 or last >= 256 ** (4 - len(first)):
        return None
    return str(IPv4Address(sum(number << 8 * (3 - place) for place, number in enumerate(first)) + last))


def _number(text: str) -> int:
    if text.startswith("0x"):
        return int(text[2:] or "0", 16)
    return int(text, 8 if text.startswith("0") else 10)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


_NUMBER: Final = re.compile(r"0x[0-9a-f]*+|0[0-7]*+|[1-9][0-9]*+")
