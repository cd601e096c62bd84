"""A target is what a browser would open, fit for a Location header, or nothing.

Invariant: whatever the value, a target is printable ASCII without a blank, and reading it again changes nothing.
"""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.core.target import LONGEST_PATH, authority_host, is_web, read, report, resolve


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("https://shop.example/p", "https://shop.example/p"),
        ("HTTPS://Shop.Example/Path?Q=AbC", "HTTPS://Shop.Example/Path?Q=AbC"),
        ("&#104;ttps&#58;//shop.example/ent", "https://shop.example/ent"),
        ("https://shop.example/e?a=1&amp;b=2&copy=3", "https://shop.example/e?a=1&b=2&copy=3"),
        ("  https://shop.example/lead \n", "https://shop.example/lead"),
        ("\x01https://shop.example/\x1f", "https://shop.example/"),
        ("ht\ntps://shop.exa\tmple/in\r\n\tner", "https://shop.example/inner"),
        ("https://shop.example/a&#10;b", "https://shop.example/ab"),
        ("https://shop.example/sp ace?q=a b#c d", "https://shop.example/sp%20ace?q=a%20b#c%20d"),
        ("https://shop.example/x?y=%0d%0aSet-Cookie:%20a=b", "https://shop.example/x?y=%0d%0aSet-Cookie:%20a=b"),
        ("https://shop.example/%C3%BC%2f%2F?x=%e4%EF", "https://shop.example/%C3%BC%2f%2F?x=%e4%EF"),
        ("https://shop.example/100%?x=%zz", "https://shop.example/100%?x=%zz"),
        ("https://shop.example/ü?q=日本#🎁", "https://shop.example/%C3%BC?q=%E6%97%A5%E6%9C%AC#%F0%9F%8E%81"),
        ("https://shop.example/a\x7fb\x02", "https://shop.example/a%7Fb"),
        ("https://shop.example/(x),!'@[y]|{z}^`\"<>\\", "https://shop.example/(x),!'@[y]|{z}^`\"<>\\"),
        ("https://shop.example/a/../b/./c?", "https://shop.example/a/../b/./c?"),
        ("http://shop.example:80/?#", "http://shop.example:80/?#"),
        ("https://shop.example?noslash=1", "https://shop.example?noslash=1"),
        ("https://shop.example#/route", "https://shop.example#/route"),
        ("https://shop.example:/x", "https://shop.example:/x"),
        ("https://user:pa%40ss@shop.example/x", "https://user:pa%40ss@shop.example/x"),
        ("https://shop.example@other.example/y", "https://shop.example@other.example/y"),
        ("https://[2001:db8::1]:8443/p", "https://[2001:db8::1]:8443/p"),
        ("https://bücher.example/x", "https://xn--bcher-kva.example/x"),
        ("https://BÜCHER.example:8443/x", "https://xn--bcher-kva.example:8443/x"),
        ("https://faß.example/", "https://xn--fa-hia.example/"),
        ("https://☃.example/", "https://xn--n3h.example/"),
        ("https://例え。テスト/", "https://xn--r8jz45g.xn--zckzah/"),
        ("https://b%C3%BCcher.example/", "https://xn--bcher-kva.example/"),
        ("https://xn--bcher-kva.example/p", "https://xn--bcher-kva.example/p"),
        ("https://under_score.example/", "https://under_score.example/"),
    ],
)
def test_the_target_is_what_a_browser_opens(raw: str, expected: str) -> None:
    assert read(raw.encode(), "utf-8") == expected


NO_WEB = (
    "#top /path page.html //cdn.example/x mailto:a@shop.example?body=https://x/ tel:+49 sms:1 cid:logo "
    "data:text/html,x java&#10;script:alert(1) whatsapp://send?text=https://x/ ftp://x/ httpsx://x/ {{url}}"
)


@pytest.mark.parametrize("raw", ["", *NO_WEB.split(" ")])
def test_what_is_no_web_link_is_none(raw: str) -> None:
    assert read(raw.encode(), "utf-8") is None
    assert not is_web(raw)


@pytest.mark.parametrize(
    "raw",
    [
        "http://", "https:///shop.example/", "https:/shop.example/", "https:shop.example", "https:\\\\shop.example\\x",
        "https://shop.example\\x", "https://good.example\\@bad.example/", "https://shop.example:99999/", "https://shop.example:x/",
        "https://a b.example/", "https://a%2Fb.example/", "https://a%ff.example/", "https://{x}.example/", "https://[x]/",
        "https://shop.example/\x00", "https://shop.example/\x85", "https://" + "ü" * 300 + ".example/",
    ],
)  # fmt: skip
def test_what_is_not_certain_is_none(raw: str) -> None:
    assert read(raw.encode(), "utf-8") is None
    assert is_web(raw)


def test_the_charset_of_the_body_counts() -> None:
    raw = "https://bücher.example/straße?q=ü".encode("iso-8859-1")
    assert read(raw, "iso-8859-1") == "https://xn--bcher-kva.example/stra%C3%9Fe?q=%C3%BC"
    assert read(raw, "utf-8") is None
    assert read(raw, "x-unknown") is None


@given(st.binary(max_size=80), st.sampled_from(["utf-8", "iso-8859-1", "utf-7"]))
def test_a_target_is_always_fit_for_a_header(tail: bytes, charset: str) -> None:
    """R61: no CR, LF or NUL gets into a Location."""
    url = read(b"https://" + tail, charset)
    if url is not None:
        assert re.fullmatch(r"(?i:https?)://[\x21-\x7e]+", url)
        assert resolve(url) == url
        assert re.fullmatch(r"[a-z0-9._~:-]+", authority_host(url))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://Shop.Example:8443/x", "shop.example"),
        ("https://user@shop.example", "shop.example"),
        ("https://[2001:db8::1]:8443/p", "2001:db8::1"),
        ("https://xn--bcher-kva.example?x", "xn--bcher-kva.example"),
    ],
)
def test_the_host_is_shown_without_user_and_port(url: str, expected: str) -> None:
    assert authority_host(url) == expected


def test_figures_name_host_and_path_without_the_query() -> None:
    link = report("https://user@Shop.example:8443/sale/x?u=7#top")
    assert (link.host, link.path) == ("shop.example", "/sale/x")
    assert report("https://shop.example?u=7").path == "/"


def test_copies_of_a_campaign_agree_on_a_links_number() -> None:
    one = report("https://shop.example/reset/9f86d081884c7d65?u=1")
    two = report("https://shop.example/reset/3c9909afec25354d?u=2")
    other = report("https://shop.example/resets/9f86d081884c7d65?u=1")
    assert one == two
    assert one.number != other.number
    assert report("https://shop.example/").number == 49_398_894_282_562  # the database has it


def test_long_paths_are_cut_and_keep_numbers_of_their_own() -> None:
    one, two = report("https://x.example" + "/ab" * 100 + "/1"), report("https://x.example" + "/ab" * 100 + "/2")
    assert one.path == two.path
    assert len(one.path) == LONGEST_PATH + 3
    assert one.number != two.number


@given(st.text(max_size=40))
def test_a_number_fits_and_is_never_none(path: str) -> None:
    url = resolve("https://shop.example/" + path)
    if url is not None:
        assert 0 < report(url).number < 1 << 47
