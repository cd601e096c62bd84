"""Links lead where a browser would go, or are left for a reason that the answer names."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.core.html import scan
from tracker.core.links import LinkRules, judge, shows_url
from tracker.model import Left

RULES = LinkRules(
    tracker_urls=("https://t.example.com", "http://old.example.com:8080/track"),
    unsubscribe=frozenset(
        {"https://shop.example/unsub?u=1", "HTTPS://Shop.example/Leave#x", "mailto:leave@shop.example"}
    ),
    excluded_hosts=("accounts.example.org", "*.bank.example", "shop.example/login*", "*/password-reset/*"),
)


def verdict(html: str, rules: LinkRules = RULES, charset: str = "utf-8") -> str | Left | None:
    (anchor,) = scan(html.encode(charset)).anchors
    return judge(anchor, charset, rules)


def link(url: str, text: str = "Offer") -> str:
    return f'<a href="{url}">{text}</a>'


def test_a_plain_link_leads_to_its_target() -> None:
    assert verdict(link("https://shop.example/a?x=1&amp;y=2#z")) == "https://shop.example/a?x=1&y=2#z"
    assert verdict('<area href="https://shop.example/a">') == "https://shop.example/a"
    assert verdict('<!--[if mso]><v:rect href="https://shop.example/a"><![endif]-->') == "https://shop.example/a"
    assert verdict(link("https://bücher.example/"), charset="iso-8859-1") == "https://xn--bcher-kva.example/"


@pytest.mark.parametrize(
    "url", ["mailto:a@b.example", "tel:1", "cid:x", "#top", "/x", "x.html", "//x.example/", "{{url}}", "*|UNSUB|*"]
)
def test_what_is_no_web_link_is_not_counted(url: str) -> None:
    """R22: mailto:, tel:, cid:, fragments."""
    assert verdict(link(url)) is None


@pytest.mark.parametrize("url", ["http://", "https:/shop.example/", "https:\\\\shop.example", "https://a b/"])
def test_a_web_link_that_readers_may_read_differently_is_left(url: str) -> None:
    assert verdict(link(url)) is Left.UNREADABLE


def test_a_link_that_is_no_text_in_its_charset_is_left() -> None:
    (anchor,) = scan(b'<a href="https://x.example/\xff">').anchors
    assert judge(anchor, "utf-8", RULES) is Left.UNREADABLE
    (anchor,) = scan(b'<a href="/\xff">').anchors
    assert judge(anchor, "utf-8", RULES) is None


@pytest.mark.parametrize(
    "mark", ["data-no-track", 'disable-tracking="true"', "clicktracking=off", "data-pm-no-track", "ses:no-track"]
)
def test_marked_links_are_left(mark: str) -> None:
    assert verdict(f'<a {mark} href="https://shop.example/">x</a>') is Left.NO_TRACK_MARK
    assert verdict(f'<div {mark}><a href="https://shop.example/">x</a></div>') is Left.NO_TRACK_MARK


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example/u?e=*|EMAIL|*",
        "https://shop.example/u?e=*%7CEMAIL%7C*",
        "https://shop.example/{{ slug }}",
        "https://shop.example/%7B%7Bslug%7D%7D",
        "http://{{domain}}/x",
        "https://shop.example/{% if x %}",
        "https://shop.example/%%unsub%%",
        "https://shop.example/%recipient.name%",
        "https://shop.example/[[slug]]",
        "https://shop.example/${slug}",
        "https://shop.example/&lt;%= slug %&gt;",
    ],
)
def test_links_that_somebody_may_still_fill_in_are_left(url: str) -> None:
    assert verdict(link(url)) is Left.PLACEHOLDER


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example/100%25?x=%2526",
        "https://shop.example/?x=%%",
        "https://shop.example/%ab%20%cd%ef%",
        "https://shop.example/?id={3F2504E0}",
        "https://shop.example/?a[]=1&a[0]=2",
        "https://shop.example/*a|b*",
        "https://shop.example/?price=$5",
    ],
)
def test_what_only_looks_like_a_placeholder_is_tracked(url: str) -> None:
    assert verdict(link(url)) == url


@pytest.mark.parametrize(
    "url",
    [
        "https://t.example.com",
        "https://t.example.com/c/abc",
        "http://T.example.com:443/privacy/x",
        "https://t.example.com?x",
        "http://old.example.com:8080/track/c/x",
    ],
)
def test_links_into_the_tracker_are_left(url: str) -> None:
    expected: Left | str = url if ":443" in url else Left.TRACKER_LINK
    assert verdict(link(url)) == expected


@pytest.mark.parametrize(
    "url",
    [
        "https://t.example.com.evil.example/",
        "https://old.example.com:8080/tracks/",
        "https://x.example/?https://t.example.com/",
    ],
)
def test_links_elsewhere_are_no_links_into_the_tracker(url: str) -> None:
    assert verdict(link(url)) == url


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example/unsub?u=1",
        "https://SHOP.example/unsub?u=1",
        "https://shop.example/unsub?u=1#top",
        "https://shop.example/Leave",
    ],
)
def test_urls_of_the_list_unsubscribe_header_are_left(url: str) -> None:
    assert verdict(link(url)) is Left.UNSUBSCRIBE
    assert verdict(link(url + "/2")) == (Left.UNSUBSCRIBE if "#" in url else url + "/2")


@pytest.mark.parametrize(
    ("url", "excluded"),
    [
        ("https://accounts.example.org/x", True),
        ("https://sso.accounts.example.org/", True),
        ("https://myaccounts.example.org/", False),
        ("https://bank.example/", True),
        ("https://www.bank.example:8443/", True),
        ("https://shop.example/login", True),
        ("https://shop.example/Login/x?y", True),
        ("https://shop.example/x/login", False),
        ("https://any.example/a/password-reset/b", True),
        ("https://any.example/?x=/password-reset/", False),
    ],
)
def test_excluded_hosts_and_patterns_are_left(url: str, excluded: bool) -> None:
    """R22: login and reset links, by the settings."""
    assert verdict(link(url)) == (Left.EXCLUDED if excluded else url)


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example/?m=anna@example.org",
        "https://shop.example/?m=anna%40example.org",
        "https://shop.example/?m=anna&#64;example.org",
        "https://shop.example/u/YW5uYUBleGFtcGxlLm9yZw==",
        "https://anna%40example.org@shop.example/",
    ],
)
def test_targets_that_contain_an_address_are_left(url: str) -> None:
    assert verdict(link(url)) is Left.ADDRESS_IN_TARGET


SHOWN = [
    "https://shop.example/vis",
    "HTTP://SHOP.EXAMPLE",
    "www.shop.example",
    "WWW.shop.example/a b",
    "shop.example",
    "shop.example/path?x=1",
    "shop.example/",
    "shop.example:8443",
    "<b>www.</b>shop<i>.example</i>",
    "<span style='color:#000'>https://</span>shop.example",
    "www.sh&shy;op.exa&#8203;mple",
    "&nbsp;www.shop.example&nbsp;",
    "\n\t shop.example \n",
    "(shop.example)",
    "&lt;https://shop.example&gt;",
    "» www.shop.example «",
    "shop.example.",
    "bücher.example",
    "xn--bcher-kva.example",
    "other.example",
    "192.0.2.1",
    "https&#58;//shop.example",
    "https://shop.example – our shop",
]
NOT_SHOWN = [
    "",
    "Offer",
    "Our shop",
    "More...",
    "Version 1.2.3",
    "1.2",
    "19.12.2026",
    "1.200,00 EUR",
    "z.B.",
    "e.g. this",
    "offer.pdf",
    "Price list.xlsx",
    "anna@example.org",
    "Read it at shop.example today",
    "&rarr;",
    "<img alt='www.shop.example'>",
    "wwwhat",
    "httpbin",
]


@pytest.mark.parametrize("text", SHOWN)
def test_links_that_show_a_url_or_host_are_left_unless_a_setting_says_otherwise(text: str) -> None:
    html = link("https://shop.example/vis", text)
    assert verdict(html) is Left.VISIBLE_URL
    assert verdict(html, LinkRules((), rewrite_visible_urls=True)) == "https://shop.example/vis"


@pytest.mark.parametrize("text", NOT_SHOWN)
def test_links_that_show_something_else_are_tracked(text: str) -> None:
    assert verdict(link("https://shop.example/vis", text)) == "https://shop.example/vis"


def test_text_in_an_unknown_charset_is_still_read() -> None:
    assert shows_url(b"www.shop.example", "x-unknown-9")
    assert shows_url(b"\xff www.shop.example", "") is False


@given(st.binary(max_size=60), st.sampled_from(["utf-8", "iso-8859-1", "x-unknown"]))
def test_any_link_gets_a_verdict(tail: bytes, charset: str) -> None:
    for anchor in scan(b'<a href="https://x.example/' + tail).anchors + scan(b"<a href='http:" + tail + b"'>x").anchors:
        outcome = judge(anchor, charset, RULES)
        assert outcome is None or isinstance(outcome, Left) or outcome.isascii()


@pytest.mark.parametrize("piece", ["*%7C", "[[", "%%", "%a", "*|", "{", "a.", "a", "@", "&amp;", "%25", "/", "&shy;"])
def test_hostile_urls_and_texts_take_linear_time(piece: str) -> None:
    long = piece * (60_000 // len(piece))
    begin = time.process_time()
    verdict(link("https://x.example/" + long, long))
    assert time.process_time() - begin < 2  # quadratic time would be minutes
