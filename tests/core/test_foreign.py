"""Other people's pixels and redirects are found by what they are; spacers of old templates are not taken for them."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.rewriting import bodies
from tests.linear import assert_linear
from tracker.core import mime
from tracker.core.foreign import find
from tracker.core.foreign_trackers import KNOWN, OURSELVES
from tracker.flows.audit import Totals, audit
from tracker.model import Reason

CORPUS = Path(__file__).parent.parent.parent.parent / "shared" / "corpus"
SPACER = re.compile(rb"(?i)/(?:spacer?|b|blank|pixel|clear_dot|trans|transpar|empty|speck|\w*1x1)\.gif")
UUID = "0b6a5bd6-61a0-4f0a-9d0c-0c3a7a1c9a11"
LONG = "eJwlkMtqhTAQhp_GLMXcjC6yKJRTuuwTSC5zPKGaiE6O2KdvVJgLM8Pw83_OIIxpPfSSNiRnGfBYQ"


@pytest.mark.parametrize(
    ("url", "vendor"),
    [
        ("https://example.us1.list-manage.com/track/open.php?u=1&amp;id=2&amp;e=3", "Mailchimp"),
        ("https://mandrillapp.com/track/open.php?u=30166792&id=74b69770a4074e21b5582f9415bdea6c", "Mandrill"),
        ("https://u1.ct.sendgrid.net/wf/open?upn=abc", "SendGrid"),
        ("https://url1234.customer.example/wf/open?upn=abc", "SendGrid"),
        (f"https://email.mg.customer.example/o/{LONG}", "Mailgun"),
        ("https://t.sidekickopen87.com/e1t/o/5/abc", "HubSpot"),
        ("https://mailtrack.io/trace/mail/0eabccbe98c98e9b8e9a8b89.png?u=1234567", "Mailtrack"),
        ("https://t.yesware.com/t/abc/def/spacer.gif", "Yesware"),
        ("https://app.mixmax.com/api/track/v2/abc", "Mixmax"),
        ("https://abc.r.us-east-1.awstrack.me/I0/0100-ab/xyz=9", "Amazon SES"),
        (f"https://mautic.customer.example/email/{'5f' * 10}.gif", "Mautic"),
        (f"https://news.customer.example/campaign/{UUID}/{UUID}/px.png", "listmonk"),
        (f"https://r.mail.customer.example/tr/op/{LONG}", "Brevo"),
        ("https://go.customer.example/trk?t=1&mid=OTc1LUpPWC03Njk6", "Marketo"),
        ("//open.customer.example/lists/ut.php?u=abc&m=4", "phpList"),
    ],
)
def test_a_service_is_known_by_its_pixel_whatever_size_is_declared(url: str, vendor: str) -> None:
    for size in ("", ' width="1" height="1"', ' style="display:none"'):
        html = f'<p>Hello</p><img src="{url}"{size} alt="">'.encode()
        (found,) = find(html)
        assert (found.kind, found.vendor) == ("pixel", vendor)
        assert html[found.start : found.end].startswith(b"<img ")
        assert html[found.end - 1 : found.end] == b">"


@pytest.mark.parametrize(
    ("url", "vendor"),
    [
        ("https://example.us1.list-manage.com/track/click?u=1&amp;id=2&amp;e=3", "Mailchimp"),
        ("https://mandrillapp.com/track/click/30166792/shop.example?p=eyJzIjoi", "Mandrill"),
        ("http://url5675.customer.example/ls/click?upn=u001.GXhm", "SendGrid"),
        (f"https://u298828.ct.sendgrid.net/ss/c/{LONG}/3a/x/h0/y", "SendGrid"),
        (f"https://email.customer.example/c/{LONG}", "Mailgun"),
        ("https://info.customer.example/e3t/Ctc/LX+113/cJhC404/VWbMJv2vnLfjW3Rh6L96gqS5YW7MhRLh5j9t", "HubSpot"),
        ("https://mailtrack.io/trace/link/1a6f94ea?url=http%3A%2F%2Fshop.example", "Mailtrack"),
        ("https://t.yesware.com/tt/c85bbed8/da5b549a/shop.example/", "Yesware"),
        ("https://k97t77cm.r.ap-south-1.awstrack.me/L0/https:%2F%2Fshop.example/1/a/b", "Amazon SES"),
        ("https://tracking.customer.example/CL0/https:%2F%2Fshop.example%2F/1/a/b", "Amazon SES"),
        ("https://click.pstmrk.it/3s/shop.example%2Fitem/abc/def", "Postmark"),
        (f"https://r.mail.customer.example/tr/cl/{LONG}", "Brevo"),
        ("https://121070.seu2.cleverreach.com/c/79919679/b09ec13a504-rpen8x", "CleverReach"),
        ("http://gtpx.mjt.lu/lnk/APsAAAXtLEQAAAAA/4/zonyPfLI/aHR0", "Mailjet"),
        (f"https://news.customer.example/link/{UUID}/{UUID}/{UUID}", "listmonk"),
        ("https://mautic.customer.example/r/0123456789abcdef0123?ct=YTo1", "Mautic"),
        ("https://cl.exct.net/?qs=abc", "Salesforce"),
        ("https://customer.cmail20.com/t/j-l-ayhjhid-iydljjkuhy-d/", "Campaign Monitor"),
    ],
)
@pytest.mark.parametrize(
    "tag", ['<a href="{}">x</a>', "<AREA HREF='{}'>", '<!--[if mso]><v:rect href="{}"/><![endif]-->']
)
def test_a_service_is_known_by_its_redirect(url: str, vendor: str, tag: str) -> None:
    html = tag.format(url).encode()
    (found,) = find(html)
    assert (found.kind, found.vendor) == ("link", vendor)
    assert html[found.start : found.end] == url.encode()


@pytest.mark.parametrize(
    "image",
    [
        '<img src="https://crm.example.com/x.gif?id=18823" width="1" height="1">',
        "<IMG WIDTH=1 HEIGHT=1 SRC=https://crm.example.com/o/3f9a7c21b8d04e56>",
        '<img src="https://crm.example.com/opened/18823.png" style="width:1px;height:1px">',
        '<img src="https://crm.example.com/i?r=anna%40example.org" style="display: none">',
        '<img src="https://crm.example.com/i?r={{ contact.id }}" width="0" height="0">',
        '<img src="https://crm.example.com/i/?m=*|UNIQID|*" style="max-width:1px;max-height:1px;opacity:0">',
        '<img src="https://r.superhuman.com/abc.png" width="1" height="1">',
        '<img hidden src="https://crm.example.com/p/0b6a5bd661a04f0a9d0c">',
        '<img src="https://d1.cloudfront.net/p.gif?rid=0b6a5bd661a04f0a9d0c" width="1" height="1">',
    ],
)
def test_an_unseen_image_with_a_url_for_one_recipient_is_a_pixel_of_its_host(image: str) -> None:
    (found,) = find(image.encode())
    assert found.kind == "pixel"
    assert found.vendor in ("crm.example.com", "d1.cloudfront.net", "Superhuman")


@pytest.mark.parametrize(
    "image",
    [
        '<img src="images/spacer.gif" width="1" height="1">',
        '<img src="https://shop.example/images/spacer.gif" width="1" height="1">',
        '<img src="https://shop.example/b.gif" width="1" height="1">',
        '<img src="https://shop.example/track/pixel.gif" width="1" height="1">',
        '<img src="https://d1.cloudfront.net/oD2XPM6QQiajFKLdePkw12_gmail_fix.gif" width="600" height="1">',
        '<img src="https://d1.cloudfront.net/b09553df6918fe296ecfc240db655a18.png" width="1" height="1">',
        '<img src="https://shop.example/images/spacer-0b6a5bd661a04f0a9d0c.gif" width="1" height="1">',
        '<img src="https://shop.example/a/20191105/spacer.gif?v=3" width="1" height="20">',
        '<img src="https://shop.example/rule.gif?id=18823" width="600" height="1">',
        '<img src="https://shop.example/chart.png?user=18823" style="display:none" width="320" height="200">',
        '<img src="https://shop.example/menu.png?user=18823" style="display:none;max-height:0" width="20">',
        '<img src="https://shop.example/photo.jpg?id=0b6a5bd661a04f0a9d0c">',
        '<img src="cid:0b6a5bd661a04f0a9d0c@example.org" width="1" height="1">',
        '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==" width="1" height="1">',
        '<img src="https://example.us1.list-manage.com/track/open.php?u=1" width="600" height="200">',
        '<!-- <img src="https://mandrillapp.com/track/open.php?u=1" width="1" height="1"> -->',
        '<img src="https://polymail.io/logo.png">',
        '<img src="https://image.s4.exct.net/lib/fe9115/m/1/hero.png">',
        '<style><img src="https://mandrillapp.com/track/open.php?u=1"></style>',
        "<p>https://mandrillapp.com/track/open.php?u=1</p>",
        '<a href="https://shop.example/?next=https://mandrillapp.com/track/click/1/x">x</a>',
        '<a href="https://list-manage.com.shop.example/track/click?x=1">x</a>',
        '<a href="https://nolist-manage.com/track/clicks">x</a>',
        '<a href="https://shop.example/c/chairs">x</a>',
        '<a href="https://shop.example/r/sale?ct=1">x</a>',
    ],
)
def test_spacers_and_ordinary_images_and_links_are_left_out(image: str) -> None:
    assert find(image.encode()) == ()


def test_this_trackers_own_urls_are_not_foreign_and_another_installations_say_so() -> None:
    pixel = b'<img src="https://t.example.com/o/' + b"a" * 66 + b'.gif" width="1" height="1">'
    link = b'<a href="https://t.example.com/c/' + b"a" * 66 + b'/aHR0.cHM6/shop.example/">x</a>'
    assert find(pixel + link, own=("https://t.example.com",)) == ()
    ported = (pixel + link).replace(b"t.example.com", b"127.0.0.1:8080/t")
    assert find(ported, own=("http://old.example", "http://127.0.0.1:8080/t/")) == ()
    found = find(pixel + link, own=("https://t.example.co",))
    assert [one.kind for one in found] == ["pixel", "link"]
    assert {one.vendor for one in found} == {OURSELVES}


def test_every_entry_names_its_source_and_can_be_read() -> None:
    for one in KNOWN:
        assert one.source
        assert one.pixel or one.link
        assert re.compile(one.pixel)
        assert re.compile(one.link)
        if one.hosts == "*":  # any host: a pattern that begins with a bare slash would take everything
            assert all(len(pattern) > 8 for pattern in (one.pixel, one.link) if pattern)


@given(st.lists(st.sampled_from([
    b"<img ", b"<a ", b'src="//x.example/', b"href=", b"width=1 ", b"height=1 ", b'"', b"'", b">", b"<!--[if mso]>",
    b"<!--",
    b"-->", b"<style>", b"</style>", b"https://mandrillapp.com/track/open.php?u=1", b"?id=12345", b"\x00", b"\xff",
    b"&#x2f;", b"style='display:none'", b"</a>", b"//", b"@", b"%7b%7b", b"\n",
])))  # fmt: skip
def test_spans_lie_in_the_body_in_order_whatever_it_holds(pieces: list[bytes]) -> None:
    html = b"".join(pieces)
    at = 0
    for one in find(html):
        assert at <= one.start < one.end <= len(html)
        at = one.start if one.kind == "link" else one.end
        if one.kind == "pixel":
            assert html[one.start : one.start + 4].lower() == b"<img"


@pytest.mark.parametrize(
    ("before", "piece", "after"),
    [
        (b"", b"<", b""),
        (b"", b"<img src=//a/", b""),
        (b"", b"//", b""),
        (b'<img src="//', b"a.", b'" width=1 height=1>'),
        (b'<img src="//x/', b"/lt.php?&", b'" width=1 height=1>'),
        (b'<img src="//x/', b"/o/", b'" width=1 height=1>'),
        (b'<img width=1 height=1 src="http://x/?id=12345" style="', b"width:1;", b'">'),
        (b"", b'<!--[if x]><img src="http://x.example/?id=12345" width=1 height=1>', b""),
        (b"", b'<img src="http://x.example/?id=12345" width=1 height=1>', b""),
    ],
)
def test_hostile_bodies_take_time_linear_in_their_size(before: bytes, piece: bytes, after: bytes) -> None:
    assert_linear(lambda size: partial(find, before + piece * (size // len(piece)) + after), 50_000, 400_000)


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not beside this repository")
@pytest.mark.parametrize(("folder", "pixels", "links"), [("real", 99, 17), ("templates", 1, 25), ("tricky", 0, 0)])
def test_on_the_corpus_the_same_trackers_are_found_as_ever(folder: str, pixels: int, links: int) -> None:
    """The figures after the rules were made on these same messages: they guard against change, no more."""
    totals = Totals()
    for one in audit(CORPUS / folder):
        totals.add(one)
    assert (totals.found["pixel"], totals.found["link"]) == (pixels, links)
    assert not totals.skipped["unreadable"]  # type: ignore[index]


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not beside this repository")
def test_of_the_corpus_no_spacer_is_taken_for_a_pixel() -> None:
    """Of 1,597 images in it that nobody sees 100 are pixels, as each URL shows; the others are 29 files, repeated."""
    taken, spared = [], []
    for path in sorted(CORPUS.rglob("*")):
        if not path.is_file() or path.suffix in (".jsonl", ".tsv", ".md"):
            continue
        message = path.read_bytes()
        whole = not isinstance(mime.walk(message), Reason)
        for body in [body for kind, body in bodies(message) if kind == "text/html"] if whole else []:
            found = {one.start for one in find(body) if one.kind == "pixel"}
            for tag in re.finditer(rb"(?i)<img(?=[\s/])[^>]*>", body):
                if tag.start() in found:
                    taken.append(tag[0])
                elif SPACER.search(tag[0]):
                    spared.append(tag[0])
    assert len(taken) == 100
    assert not [tag for tag in taken if SPACER.search(tag)]
    assert len(spared) > 1_400
