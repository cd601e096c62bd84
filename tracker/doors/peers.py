"""Makes a Hit of a request: the only place that looks at a client's address, which ends in core/classify."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias

from tracker.doors.heads import Fields, Head
from tracker.model import Hit

Network: TypeAlias = IPv4Network | IPv6Network


class HitReader:
    """Reads hits off requests; TRUSTED are the proxies whose X-Forwarded-For is believed (LAW.md R63)."""

    def __init__(self, trusted: Sequence[Network], clock: Callable[[], datetime]) -> None:
        self._trusted = tuple(trusted)
        self._clock = clock

    @property
    def behind_proxy(self) -> bool:
        """Whether there are proxies that are believed."""
        return bool(self._trusted)

    def read(self, method: str, fields: Collection[tuple[str, str]], socket_peer: str) -> Hit:
        """The hit that a request is; FIELDS that came several times are joined as RFC 9110 section 5.3 says."""
        headers = {name.lower(): value for name, value in fields}
        if len(headers) < len(fields):
            headers = _joined(fields)
        return Hit(method, headers, self._peer(socket_peer, headers.pop("x-forwarded-for", "")), self._clock())

    def read_again(self, head: Head, socket_peer: str) -> Hit:
        """The same of a HEAD whose fields are known."""
        return Hit("GET", Fields(head.rest), self._peer(socket_peer, head.forwarded), self._clock(), head.number)

    def _peer(self, socket_peer: str, forwarded: str) -> str:
        return peer_of(socket_peer, forwarded, self._trusted) if forwarded else socket_peer


def _joined(fields: Iterable[tuple[str, str]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in fields:
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return headers


def peer_of(socket_peer: str, forwarded: str, trusted: Sequence[Network]) -> str:
    """The client's address: the nearest hop that is no trusted proxy of ours.

    FORWARDED is the X-Forwarded-For field, nearest hop last. An entry that is no address ends the search, since
    whatever stands before it is hearsay.
    """
    peer = socket_peer
    hops = [hop for hop in forwarded.split(",") if hop.strip()]
    while hops and within(peer, trusted):
        address = _address(hops.pop().strip())
        if address is None:
            break
        peer = str(address)
    return peer


def within(peer: str, networks: Sequence[Network]) -> bool:
    """Whether PEER, an IP address, belongs to one of NETWORKS; what is no address belongs to none."""
    address = _address(peer)
    return address is not None and any(address in network for network in networks)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    if text.startswith("["):  # [2001:db8::1]:443
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:  # 192.0.2.1:443
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
