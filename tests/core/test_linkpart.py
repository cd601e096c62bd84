"""Shows that a link part leads exactly where the author pointed, or nowhere."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.core.linkpart import LinkPart, LinkSigner
from tracker.core.target import authority_host, resolve

SIGNER = LinkSigner(b"k" * 32)
PLAN = b"plan1"
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

TARGETS = {
    "https://shop.example.com/": "shop.example.com",
    "http://shop.example.com": "shop.example.com",
    "https://shop.example.com/a/b?c=d&e=%20f#g": "shop.example.com",
    "https://shop.example.com?c=d": "shop.example.com",
    "https://shop.example.com#top": "shop.example.com",
    "https://shop.example.com:8443/a": "shop.example.com",
    "https://shop.example.com:/a": "shop.example.com",
    "https://Shop.Example.COM/A": "shop.example.com",
    "https://user@shop.example.com/": "shop.example.com",
    "https://user:pass@shop.example.com:80/": "shop.example.com",
    "https://a@b@shop.example.com/": "shop.example.com",
    "http://192.0.2.1/": "192.0.2.1",
    "http://[2001:DB8::1]/a": "2001:db8::1",
    "http://[2001:db8::1]:8080/a": "2001:db8::1",
    "https://xn--bcher-kva.example/": "xn--bcher-kva.example",
    "https://foo_bar.example./x": "foo_bar.example.",
    "https://b%C3%BCcher.example/": "b%c3%bccher.example",
    "https://exa!mple.com/": "exa%21mple.com",
    "https://shop.example.com//evil.example/": "shop.example.com",
    "https://shop.example.com/\\evil.example": "shop.example.com",
    "HTTPS://shop.example.com/a": "shop.example.com",
    "Http://Shop.example.com:80": "shop.example.com",
}


def read(link: LinkPart, plan: bytes = PLAN) -> str | None:
    return SIGNER.read(plan, link.part.decode(), link.host.decode())


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_comes_back_exactly_and_its_host_is_shown(target: str) -> None:
    link = SIGNER.sign(PLAN, target)
    assert link.host.decode() == TARGETS[target]
    assert re.fullmatch(rb"[A-Za-z0-9._~%:-]+", link.part + link.host)
    assert read(link) == target


@given(st.from_regex(r"([Hh]ttp|HTTP)[Ss]?://[!-.0->@-\[\]-~]{1,40}([/?#][!-~]*)?", fullmatch=True))
def test_any_target_comes_back_exactly(target: str) -> None:
    authority = re.split(r"[/?#]", target.split("://")[1])[0]
    if re.sub(r":[0-9]*\Z", "", authority.rpartition("@")[2]).strip("[]"):
        assert read(SIGNER.sign(PLAN, target)) == target


@pytest.mark.parametrize(
    "target",
    [
        "", "shop.example.com", "//shop.example.com/", "ftp://shop.example.com/", "javascript:alert(1)", "https://",
        "https:///path", "https://user@/", "https://:80/", "https://b\u00fccher.example/",
        "https://shop.example.com/\r\nX: y", "https://shop.example.com/\x00", "https://shop.example.com/a b",
        "https://evil.example\\@shop.example.com/",
    ],
)  # fmt: skip
def test_what_cannot_stand_in_a_location_is_not_signed(target: str) -> None:
    """R30: only http(s) targets that are whole."""
    with pytest.raises(ValueError, match="absolute"):
        SIGNER.sign(PLAN, target)


@given(st.text(alphabet="htps:/\\@[]?#.%~!<>|^`{}\"'_ \t\u00e9\u3002xX1-", max_size=25))
def test_whatever_target_a_message_names_can_be_signed_and_shows_its_host(text: str) -> None:
    target = resolve("https://" + text)
    if target is not None:
        link = SIGNER.sign(PLAN, target)
        assert read(link) == target
        assert link.host.decode() == authority_host(target)


def test_a_host_that_is_shown_is_not_repeated() -> None:
    path = "/" + "x" * 30
    plain = SIGNER.sign(PLAN, f"https://shop.example.com{path}")
    with_port = SIGNER.sign(PLAN, f"https://shop.example.com:443{path}")
    assert len(with_port.part) - len(plain.part) >= len("shop.example.com:443")


@pytest.mark.parametrize("target", ["https://shop.example.com/a?b=c", "http://u@Shop.example.com:1/", "http://[::1]/"])
def test_a_link_that_was_altered_leads_nowhere(target: str) -> None:
    link = SIGNER.sign(PLAN, target)
    part, host = link.part.decode(), link.host.decode()
    for place in range(len(part)):
        for other in ALPHABET + ".=+/~%":
            if other != part[place]:
                assert SIGNER.read(PLAN, part[:place] + other + part[place + 1 :], host) is None
        assert SIGNER.read(PLAN, part[:place] + part[place + 1 :], host) is None
    for changed in (part + "A", "A" + part, part + "=", part.replace(".", ""), part + "\n", part[:-1], "", "."):
        assert SIGNER.read(PLAN, changed, host) is None
    for other in (
        host.upper(),
        host + ".",
        host[:-1],
        "evil.example",
        "",
        host + "\n",
        "\u00fc",
        host + "\0",
        "a" * 9000,
    ):
        assert other == host or SIGNER.read(PLAN, part, other) is None


def test_parts_do_not_combine() -> None:
    one, other = SIGNER.sign(PLAN, "https://a.example/1"), SIGNER.sign(PLAN, "https://b.example/2")
    assert SIGNER.read(PLAN, one.part.decode(), other.host.decode()) is None
    assert SIGNER.read(b"plan2", one.part.decode(), one.host.decode()) is None
    payload, mac = one.part.decode().split(".")[0], other.part.decode().split(".")[1]
    assert SIGNER.read(PLAN, f"{payload}.{mac}", "a.example") is None
    assert LinkSigner(b"j" * 32).read(PLAN, one.part.decode(), one.host.decode()) is None


@given(st.text(max_size=60), st.text(max_size=30))
def test_text_that_nobody_signed_leads_nowhere(part: str, host: str) -> None:
    assert SIGNER.read(PLAN, part, host) is None


def test_huge_text_leads_nowhere() -> None:
    assert SIGNER.read(PLAN, "A" * 1_000_000 + "." + "A" * 20, "shop.example.com") is None
