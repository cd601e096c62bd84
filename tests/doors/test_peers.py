"""The client's address comes from the socket, or from a proxy that the settings trust."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.doors.public_fakes import DELIVERY, public_door
from tracker.doors.peers import Network, peer_of

PROXIES: tuple[Network, ...] = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "203.0.113.9, 198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "198.51.100.7, 10.0.0.2", "198.51.100.7"),
        ("10.0.0.1", "198.51.100.7:4711", "198.51.100.7"),
        ("fd00::1", "[2001:db8::1]:443", "2001:db8::1"),
        ("::ffff:10.0.0.1", "2001:DB8::1", "2001:db8::1"),
        ("10.0.0.1", "198.51.100.7, unknown", "10.0.0.1"),
        ("10.0.0.1", " , ,", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("", "198.51.100.7", ""),
    ],
)
def test_the_nearest_hop_that_is_no_proxy_of_ours_is_the_client(peer: str, forwarded: str, client: str) -> None:
    assert peer_of(peer, forwarded, PROXIES) == client


@given(st.text())
def test_without_a_trusted_proxy_no_header_counts(forwarded: str) -> None:
    """R63: forwarding headers of strangers count for nothing."""
    assert peer_of("192.0.2.1", forwarded, PROXIES) == "192.0.2.1"


@given(st.text(st.sampled_from("0123456789abf.:,[] ")))
def test_what_comes_through_a_proxy_is_an_address_whatever_it_says(forwarded: str) -> None:
    ip_address(peer_of("10.0.0.1", forwarded, PROXIES))


@pytest.mark.parametrize(("trusted", "peer"), [((), "127.0.0.77"), ((ip_network("127.0.0.0/8"),), "198.51.100.7")])
async def test_the_address_reaches_the_flow_in_one_place_only(trusted: tuple[Network, ...], peer: str) -> None:
    async with public_door(trusted=trusted) as door:
        await door.wire.get(f"/o/{DELIVERY}.gif", x_forwarded_for="198.51.100.7")
    hit = door.hits.opens[0][1]
    assert hit.peer == peer
    assert "198.51.100.7" not in str(hit.headers)
