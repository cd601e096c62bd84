"""Fields that were parsed before are known again, whatever else is new in a request, and nobody is remembered."""

from __future__ import annotations

import pytest

from tests.doors.wire import head
from tracker.doors.heads import KNOWN, LONGEST, Fields, Head, Heads

NEAR, FAR = "198.51.100.7", "2001:db8::7, 203.0.113.9"


def request(path: str = "/o/a.gif", **fields: str) -> bytes:
    return head("GET", path, **{"user_agent": "Mozilla/5.0", **fields})


def known(heads: Heads, octets: bytes) -> bool:
    read = heads.read(octets)
    return read is not None and heads.knows(read)


def parsed(heads: Heads, octets: bytes, *forwarded: str) -> Head:
    read = heads.read(octets)
    assert read is not None
    heads.parsed(read, forwarded)
    return read


def test_the_same_fields_are_known_with_another_path() -> None:
    heads = Heads(behind_proxy=False)
    assert not known(heads, request())
    parsed(heads, request())
    assert known(heads, request("/c/a/b/shop.example.com/"))
    assert not known(heads, request(user_agent="Mozilla/5.1"))
    assert not known(heads, request() + b"x")
    assert not known(heads, request()[:-2])


def test_behind_a_proxy_the_address_may_be_another() -> None:
    heads = Heads(behind_proxy=True)
    assert parsed(heads, request(X_Forwarded_For=NEAR), NEAR).forwarded == NEAR
    for octets, forwarded in ((request(X_Forwarded_For=FAR), FAR), (request(), "")):
        assert known(heads, octets)
        read = heads.read(octets)
        assert read is not None
        assert read.forwarded == forwarded


@pytest.mark.parametrize(
    "value", ["unknown", "198.51.100.7; x", "198.51.100.7\r\n 203.0.113.9", "198.51.100.7\n", "\x00"]
)
def test_what_is_no_list_of_addresses_makes_other_fields(value: str) -> None:
    heads = Heads(behind_proxy=True)
    parsed(heads, request(X_Forwarded_For=NEAR), NEAR)
    assert not known(heads, request(X_Forwarded_For=value))


def test_fields_that_name_two_addresses_apart_are_never_known() -> None:
    twice = request(X_Forwarded_For=NEAR, x_forwarded_for=FAR)
    for order in ((NEAR, FAR), (FAR, NEAR)):
        heads = Heads(behind_proxy=True)
        parsed(heads, twice, *order)
        assert not known(heads, twice)


def test_without_a_proxy_whoever_names_an_address_is_parsed() -> None:
    heads = Heads(behind_proxy=False)
    parsed(heads, request(X_Forwarded_For=NEAR), NEAR)
    assert not known(heads, request(X_Forwarded_For=NEAR))


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\r\n" + request(),
        request().replace(b"GET", b"get"),
        request().replace(b"GET", b"HEAD"),
        request().replace(b"HTTP/1.1", b"HTTP/1.0"),
        request().replace(b" HTTP/1.1\r\n", b" HTTP/1.1\n"),
        request("/o/a.gif?x"),
        request("/o/a.gif#x"),
        request("/o/a b.gif"),
        request("/o/ä.gif"),
        request("/o/"),
        request("/privacy/x"),
        request("http://t.example.com/o/a.gif"),
        request("/o/" + "a" * LONGEST),
    ],
)
def test_what_is_out_of_the_ordinary_is_not_read(octets: bytes) -> None:
    assert Heads(behind_proxy=True).read(octets) is None


def test_fields_are_taken_apart_as_the_parser_does() -> None:
    fields = Fields(
        b"\r\nUser-Agent: \tMozilla/5.0 (x: y) \r\nAccept:*/*\r\nX-A: 1\r\nx-a: \xc3\xa4\xff\r\nEmpty:\r\n\r\n"
    )
    assert dict(fields) == {
        "user-agent": "Mozilla/5.0 (x: y)", "accept": "*/*", "x-a": "1, ä\udcff", "empty": "",
    }  # fmt: skip
    assert len(fields) == 4
    assert fields.get("user_agent") is None


def test_what_is_remembered_has_an_end_and_holds_numbers_alone() -> None:
    heads = Heads(behind_proxy=False)
    for number in range(KNOWN + 10):
        parsed(heads, request(user_agent=f"Mozilla/{number}"))
    assert len(heads._known) <= KNOWN
    assert all(type(one) is int for one in heads._known)
