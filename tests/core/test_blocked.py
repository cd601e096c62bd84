"""Which hosts are blocked: those on the list and whatever lies below them, however a link writes them."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.core.blocked import Blocked, host_of
from tracker.core.target import authority_host, resolve
from tracker.model import InvalidField

LABELS = st.lists(st.from_regex(r"[a-z][a-z0-9]{0,7}", fullmatch=True), min_size=2, max_size=5)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("evil.example", "evil.example"),
        (" EVIL.example. ", "evil.example"),
        ("https://user@evil.example:8443/a?b#c", "evil.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("evil。example", "evil.example"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("evil.example:8443", "evil.example"),
    ],
)
def test_a_host_is_named_as_browsers_look_it_up(text: str, host: str) -> None:
    assert host_of(text) == host


@pytest.mark.parametrize(
    "text",
    ["", " ", "com", "example", "a..example", ".example", "a b.example", "mailto:a@b.example", "ftp://a.example"],
)
def test_what_is_no_host_or_half_the_world_is_refused(text: str) -> None:
    with pytest.raises(InvalidField):
        host_of(text)


@pytest.mark.parametrize(
    "host", ["evil.example", "EVIL.Example", "evil.example.", "evil.example..", "a.b.evil.example", "EVIL.example."]
)
def test_a_host_is_blocked_with_all_below_it_in_any_spelling(host: str) -> None:
    assert Blocked({"evil.example"})(host)


@pytest.mark.parametrize(
    "host",
    [
        "192.0.2.1", "3221225985", "0xc0000201", "0XC0000201", "0300.0.2.1", "192.0.513", "192.513", "0xc0.0.02.0x1",
        "192.0.2.1.", "::ffff:192.0.2.1", "::FFFF:c000:201",
    ],
)  # fmt: skip
def test_an_address_is_blocked_however_it_is_written(host: str) -> None:
    """WHATWG URL standard, 3.5, the examples of its IPv4 parser among them."""
    assert Blocked({"192.0.2.1"})(host)
    assert host_of(f"https://[{host}]/" if ":" in host else f"https://{host}/") == "192.0.2.1"


@pytest.mark.parametrize("host", ["2001:db8:0::1", "2001:DB8::0001", "2001:db8:0:0:0:0:0:1"])
def test_so_is_an_ipv6_address(host: str) -> None:
    assert Blocked({host_of("2001:db8::1")})(host)


@pytest.mark.parametrize(
    "host", ["192.0.2.256", "192.0.2.1.1", "3221225984", "0300.0.2.08", "192.0.2", "1.example", "4294967296", "0x1g"]
)
def test_what_only_looks_like_an_address_is_not(host: str) -> None:
    assert not Blocked({"192.0.2.1"})(host)


@given(st.ip_addresses(v=4), st.lists(st.sampled_from(["{}", "0{:o}", "0x{:x}"]), min_size=4, max_size=4))
def test_each_of_its_numbers_may_be_of_any_base(address: IPv4Address, forms: list[str]) -> None:
    numbers = [form.format(octet) for form, octet in zip(forms, address.packed, strict=True)]
    assert Blocked({str(address)})(".".join(numbers))


@pytest.mark.parametrize("host", ["example", "devil.example", "evil.example.org", "evil-example", "", ".", "2001::1"])
def test_no_other_host_is(host: str) -> None:
    assert not Blocked({"evil.example"})(host)
    assert not Blocked()(host)


@given(LABELS, LABELS)
def test_below_is_below_whatever_the_labels(blocked: list[str], other: list[str]) -> None:
    is_blocked = Blocked({".".join(blocked)})
    assert is_blocked(".".join([*other, *blocked]))
    assert is_blocked(".".join(other)) == (other[-len(blocked) :] == blocked)


@given(st.text(max_size=40))
def test_whatever_host_a_link_can_have_can_be_blocked_by_that_name(text: str) -> None:
    url = resolve(f"https://{text}/")
    if url is None:
        return
    try:
        host = host_of(text)
    except InvalidField:
        return
    assert Blocked({host})(authority_host(url))
