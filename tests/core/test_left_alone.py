"""Which links of a whole message are tracked, where they lead, and why the others are left: what the answer counts."""

from __future__ import annotations

import re
from base64 import encodebytes
from quopri import encodestring

import pytest

from tracker.core.layout import PlanUrls, lay_out, render
from tracker.core.linkpart import LinkSigner
from tracker.core.notice import NoticeTexts
from tracker.core.survey import Survey, SurveyPolicy, survey
from tracker.model import MAIL_PURPOSES, Language, Left, Purpose

BASE = "https://t.example.com"
POLICY = SurveyPolicy((BASE, "https://old.example.com"))
HEAD = b"From: Shop <news@shop.example>\r\nList-Unsubscribe: <https://shop.example/leave?u=1>\r\n"
SIGNER = LinkSigner(b"k" * 32)
URL = "https://shop.example/a"
TRACKED = re.compile(rf"{BASE}/c/[A-Za-z0-9._-]{{66}}/([A-Za-z0-9._-]+)/([A-Za-z0-9._~%:-]+)/")


def message(html: str, encoding: str = "8bit") -> bytes:
    body = html.encode()
    if encoding == "quoted-printable":
        body = encodestring(body)
    elif encoding == "base64":
        body = encodebytes(body)
    return (
        HEAD
        + f"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode()
        + body
    )


def sent(
    html: str, policy: SurveyPolicy = POLICY, encoding: str = "8bit", purposes: frozenset[Purpose] = MAIL_PURPOSES
) -> tuple[list[str | None], dict[Left, int]]:
    """Where the tracked links of HTML lead, and what was left."""
    seen = survey(message(html, encoding), policy)
    assert isinstance(seen, Survey)
    parts = {link.target: SIGNER.sign(b"plan.", link.target) for link in seen.links}
    plan = lay_out(seen, purposes, NoticeTexts(Language.EN), PlanUrls(BASE.encode(), parts))
    assert plan is not None
    assert seen.links_found == plan.links_tracked + sum(plan.left.values()), "every link is accounted for"
    again = survey(render(plan, b"D" * 66, b"S" * 84), SurveyPolicy(()))
    assert isinstance(again, Survey)
    (body,) = again.bodies
    found = TRACKED.findall(body.view.text.decode())
    assert len(found) == plan.links_tracked
    return [SIGNER.read(b"plan.", part, host) for part, host in found], dict(plan.left)


# --- links, as browsers tokenize them ------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["8bit", "quoted-printable", "base64"])
@pytest.mark.parametrize(
    ("html", "targets"),
    [
        ('<a href="https://shop.example/a">x</a>', [URL]),
        ("<a href=https://shop.example/a>x</a>", [URL]),
        ("<a href='https://shop.example/a'>x</a>", [URL]),
        ('<A CLASS=b HREF="https://shop.example/a">x</A>', [URL]),
        ('<a href="https://shop.example/a" href="https://second.example/">x</a>', [URL]),
        ('<a/href="https://shop.example/a">x</a>', [URL]),
        ('<a title="a>b"\nhref\n=\n"https://shop.example/a">x</a>', [URL]),
        ('<map><area href="https://shop.example/a"></map>', [URL]),
        ('<a href="https://shop.example/?a=1&amp;b=2&copy=3">x</a>', ["https://shop.example/?a=1&b=2&copy=3"]),
        ('<a href="https://shop.example/?a=1&ampb=2&lt">x</a>', ["https://shop.example/?a=1&ampb=2<"]),
        ('<a href="&#104;ttps:&#x2F;/shop.example/a">x</a>', [URL]),
        ('<a href="\n https://shop.\texample/\na ">x</a>', [URL]),
        ('<a href="https://shop.example/a?x=%20%C3%BC#frag%20ment">x</a>', [URL + "?x=%20%C3%BC#frag%20ment"]),
        ('<a href="https://xn--bcher-kva.example/">x</a>', ["https://xn--bcher-kva.example/"]),
        ('<a href="https://shop.example/a?utm=1">x</a>', [URL + "?utm=1"]),
        ('<!--[if mso]><v:roundrect href="https://shop.example/a"></v:roundrect><![endif]-->', [URL]),
        ('<!--[if !mso]><!--><a href="https://shop.example/a">x</a><!--<![endif]-->', [URL]),
        ('<html><body>x</body></html><a href="https://shop.example/a">x</a>', [URL]),
        ('<noscript><a href="https://shop.example/a">x</a></noscript>', [URL]),
        ('<!-- <a href="https://shop.example/a">x</a> -->', []),
        ('<style>/* <a href="https://shop.example/a">x</a> */</style>', []),
        ('<textarea><a href="https://shop.example/a">x</a></textarea>', []),
        ('<title><a href="https://shop.example/a"></title>', []),
        (
            '<link href="https://shop.example/a"><base href="https://shop.example/a"><img src="https://shop.example/a">',
            [],
        ),
        ('<a data-href="https://shop.example/a" title="href=https://shop.example/a">x</a>', []),
        ('<a href="/a">x</a><a href="//shop.example/a">x</a><a href="a?b">x</a><a href="#b">x</a><a href="">x</a>', []),
        (
            '<a href="mailto:a@shop.example">x</a><a href="tel:1">x</a><a href="cid:1">x</a><a href="ftp://a.example/">',
            [],
        ),
    ],
)
def test_links_are_found_where_browsers_find_them_and_lead_where_they_led(
    html: str, targets: list[str], encoding: str
) -> None:
    assert sent("<p>" + html + "\n", encoding=encoding) == (targets, {})


# --- left alone, and counted ---------------------------------------------------------------------


def left(html: str, policy: SurveyPolicy = POLICY) -> dict[Left, int]:
    """Why the links of HTML were left; one beside them is always tracked."""
    targets, why = sent(f'{html}\n<a href="https://other.example/">see</a>\n', policy)
    assert targets == ["https://other.example/"]
    return why


@pytest.mark.parametrize(
    "url", ["https://shop.example/leave?u=1", "HTTPS://Shop.example/leave?u=1", "https://shop.example/leave?u=1#now"]
)
def test_the_urls_of_list_unsubscribe_are_left(url: str) -> None:
    """R22: leaving the list leads past us."""
    assert left(f'<a href="{url}">Leave</a>') == {Left.UNSUBSCRIBE: 1}


@pytest.mark.parametrize(
    "shown",
    [
        "https://shop.example/a",
        "www.shop.example",
        "shop.example",
        "shop.example/a/",
        "<b>https://</b><span style='color:red'>shop</span>.example",
        "shop&shy;.exam&shy;ple",
        "shop&#8203;.example",
        "&nbsp; www.shop.example\n",
        "other.example",
        "&lt;https&#58;//shop.example&gt;",
        "bücher.example",
    ],
)
def test_links_that_show_a_url_are_left_unless_the_setting_says_otherwise(shown: str) -> None:
    html = f'<a href="{URL}">{shown}</a>'
    assert left(html) == {Left.VISIBLE_URL: 1}
    assert sent(html, SurveyPolicy(POLICY.public_urls, rewrite_visible_urls=True)) == ([URL], {})


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example/?to=anna@example.org",
        "https://shop.example/?to=anna%40example.org",
        "https://shop.example/?to=anna%2540example.org",
        "https://shop.example/?to=anna&#64;example.org",
        "https://shop.example/u/YW5uYUBleGFtcGxlLm9yZw==",
        "https://shop.example/u/616e6e61406578616d706c652e6f7267",
        "https://anna%40example.org:x@shop.example/",
    ],
)
def test_targets_that_contain_an_address_are_left(url: str) -> None:
    assert left(f'<a href="{url}">Offer</a>') == {Left.ADDRESS_IN_TARGET: 1}


MARKS = {
    "ours": "data-no-track",
    "Mailgun": 'disable-tracking="true"',
    "SendGrid": "clicktracking=off",
    "Postmark": 'data-pm-no-track=""',
    "SES": "ses:no-track",
}


@pytest.mark.parametrize("service", MARKS)
def test_links_with_a_no_track_mark_are_left(service: str) -> None:
    mark = MARKS[service]
    assert left(f'<a {mark} href="{URL}">Offer</a>') == {Left.NO_TRACK_MARK: 1}
    assert left(f'<A HREF="{URL}" {mark.upper()}>Offer</A>') == {Left.NO_TRACK_MARK: 1}


@pytest.mark.parametrize("service", MARKS)
@pytest.mark.parametrize("name", ["div", "td", "p", "span", "table"])
def test_links_within_a_marked_element_are_left(service: str, name: str) -> None:
    link = f'<a href="{URL}">Offer</a>'
    nested = f"<{name} {MARKS[service]}>{link}<{name}><b>{link}</b></{name}>{link}</{name}>"
    assert left(nested) == {Left.NO_TRACK_MARK: 3}


@pytest.mark.parametrize(
    ("pattern", "url"),
    [
        ("accounts.example.org", "https://accounts.example.org/reset?x=1"),
        ("example.org", "https://sso.accounts.example.org/"),
        ("*.bank.example", "https://www.bank.example:8443/"),
        ("shop.example/login*", "https://shop.example/Login/now"),
        ("*/password-reset/*", "https://any.example/x/password-reset/y"),
    ],
)
def test_what_a_setting_excludes_is_left(pattern: str, url: str) -> None:
    html = f'<a href="{url}">Go</a>'
    assert left(html, SurveyPolicy(POLICY.public_urls, excluded_hosts=(pattern,))) == {Left.EXCLUDED: 1}
    assert sent(html) == ([url], {})


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example/{{ name }}", "https://{{host}}/", "https://shop.example/{% url %}",
        "https://shop.example/*|UNIQID|*", "https://shop.example/%%emailid%%", "https://shop.example/%recipient.id%",
        "https://shop.example/[[token]]", "https://shop.example/${id}", "https://shop.example/<%= id %>",
        "https://shop.example/%7B%7Bid%7D%7D",
    ],
)  # fmt: skip
def test_template_placeholders_are_left(url: str) -> None:
    assert left(f'<a href="{url}">Offer</a>') == {Left.PLACEHOLDER: 1}


@pytest.mark.parametrize(
    "url", [f"{BASE}/privacy/x", "http://T.example.com/", "https://old.example.com/c/a/b/c/", f"{BASE}:443/ask"]
)
def test_links_to_the_tracker_itself_are_left(url: str) -> None:
    assert left(f'<a href="{url}">What we store</a>') == {Left.TRACKER_LINK: 1}


def test_a_link_whose_tracked_url_would_be_too_long_is_left() -> None:
    url = "https://shop.example/" + "x" * 1_500
    html = f'<a\nhref="{url}">Offer</a>'
    targets, why = sent(html, encoding="quoted-printable")  # where lines do not matter
    assert (targets, why) == ([], {Left.TOO_LONG: 1})
    shorter = html.replace("x" * 1_500, "x" * 1_200)
    assert sent(shorter, encoding="quoted-printable") == (["https://shop.example/" + "x" * 1_200], {})


def test_a_link_that_would_make_its_line_too_long_is_left() -> None:
    assert left(f'<p class="{"x" * 900}"><a href="{URL}">Offer</a>') == {Left.TOO_LONG: 1}
    assert sent(f'<p class="{"x" * 900}"><a href="{URL}">Offer</a>', encoding="base64") == ([URL], {})


@pytest.mark.parametrize(
    "url",
    [
        "https:/shop.example/",
        "https://shop.example\\@b.example/",
        "http://[::1",
        "https://[2001db8::1]/",
        "https://a b/",
    ],
)
def test_links_that_programs_may_read_differently_are_left(url: str) -> None:
    assert left(f'<a href="{url}">Offer</a>') == {Left.UNREADABLE: 1}


def test_without_a_grant_for_clicks_every_link_is_left() -> None:
    opens = frozenset({Purpose.OPEN})
    assert sent(f'<a href="{URL}">a</a><a href="{URL}/b">b</a>', purposes=opens) == ([], {Left.NO_GRANT: 2})


def test_every_reason_has_its_test() -> None:
    assert set(Left) == {
        Left.VISIBLE_URL, Left.ADDRESS_IN_TARGET, Left.NO_TRACK_MARK, Left.UNSUBSCRIBE, Left.PLACEHOLDER,
        Left.TRACKER_LINK, Left.TOO_LONG, Left.EXCLUDED, Left.UNREADABLE, Left.NO_GRANT,
    }  # fmt: skip
