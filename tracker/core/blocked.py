"""Says which hosts are blocked: those on a list, and whatever lies below them."""

from __future__ import annotations

from collections.abc import Set
from ipaddress import ip_address

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
        host = host.lower().removesuffix(".")
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
    host = "" if url is None else authority_host(url).removesuffix(".")
    if not host or not all(host.split(".")) or not ("." in host or _is_address(host)):
        raise InvalidField("host: a name such as evil.example, or an IP address")
    return host


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
