"""What a survey says of a message; promise 2: no bytes make it fail."""

from __future__ import annotations

import pickle
import random
from base64 import encodebytes
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.linear import assert_linear
from tracker.core.layout import PlanUrls, lay_out
from tracker.core.linkpart import LinkPart, LinkSigner
from tracker.core.notice import NoticeTexts
from tracker.core.survey import Refused, Survey, SurveyPolicy, survey
from tracker.model import MAIL_PURPOSES, Language, Left, Reason

POLICY = SurveyPolicy(("https://t.example.com", "https://old.example.com"))
HEAD = b"From: Shop <news@shop.example>\r\nTo: anna@example.org\r\nMessage-ID:\r\n <1@shop.example>\r\n"
LINK = b'<a href="https://shop.example/a?b=1&amp;c=2">now</a>'
HTML = HEAD + b"Content-Type: text/html; charset=utf-8\r\n\r\n<body>" + LINK + b"</body>\r\n"
CORPUS = Path(__file__).parents[3] / "shared" / "corpus"


def seen(message: bytes, policy: SurveyPolicy = POLICY) -> Survey:
    found = survey(message, policy)
    assert isinstance(found, Survey)
    return found


def reason(message: bytes) -> Reason | None:
    found = survey(message, POLICY)
    return found.reason if isinstance(found, Refused) else None


def html(body: bytes, head: bytes = b"") -> bytes:
    return HEAD + head + b"Content-Type: text/html; charset=utf-8\r\n\r\n" + body


def multipart(kind: bytes, *parts: bytes, head: bytes = b"") -> bytes:
    """PARTS with their own headers, under CRLF delimiters."""
    opening = HEAD + head + b'Content-Type: multipart/%b; boundary="b"\r\n\r\n' % kind
    return opening + b"".join(b"--b\r\n%b\r\n" % part for part in parts) + b"--b--\r\n"


TEXT_PART = b"Content-Type: text/plain\r\n\r\nhello"
HTML_PART = b"Content-Type: text/html\r\n\r\n<p>" + LINK


def test_a_newsletter_is_surveyed_whole() -> None:
    found = seen(HTML)
    assert [link.target for link in found.links] == ["https://shop.example/a?b=1&c=2"]
    assert (found.links_found, found.left, len(found.bodies)) == (1, {}, 1)
    assert (found.identity, found.message_id) == (b"<1@shop.example>", b"<1@shop.example>")
    assert (found.from_address, found.named_recipients) == ("news@shop.example", 1)
    assert pickle.loads(pickle.dumps(found)) == found


def test_without_a_message_id_the_date_the_sender_and_the_subject_tell_messages_apart() -> None:
    message = b"From: a@b.example\r\nDate: today\r\nSubject: one\r\n  two\r\n\r\nx"
    found = seen(message)
    assert found.message_id is None
    assert found.identity == seen(message.replace(b"\r\n  two", b" two")).identity
    assert found.identity != seen(message.replace(b"one", b"1")).identity


@pytest.mark.parametrize(
    ("named", "count"),
    [
        (b"To: anna@example.org\r\nCc: bert@example.org\r\n", 2),
        (b"To: Anna <anna@example.org>, ANNA@example.org\r\n", 1),
        (b'To: "a, b" <anna@example.org> (and, c@d.example),\r\n bert@example.org\r\n', 2),
        (b"To: undisclosed-recipients:;\r\n", 0),
        (b"To: friends: anna@example.org, bert@example.org;\r\n", 2),
        (b"To: a@b.example\r\nTo: c@d.example\r\n", 2),
        (b"", 0),
    ],
)
def test_people_in_to_and_cc_are_counted(named: bytes, count: int) -> None:
    assert seen(b"From: a@b.example\r\n" + named + b"\r\nx").named_recipients == count


@pytest.mark.parametrize(
    ("sender", "foreign"),
    [
        (b"news@shop.example", False),
        (b"News <news@SHOP.example>", False),
        (b"news@other.example", True),
        (b"news@sub.shop.example", True),
        ("news@bücher.example".encode(), False),
        (b"news@shop.example, x@other.example", True),
        (b"nobody", True),
    ],
)
def test_a_sender_outside_the_domains_is_foreign(sender: bytes, foreign: bool) -> None:
    policy = SurveyPolicy(POLICY.public_urls, sender_domains=frozenset({"shop.example", "xn--bcher-kva.example"}))
    assert seen(b"From: " + sender + b"\r\n\r\nx", policy).foreign_sender is foreign
    assert not seen(b"From: " + sender + b"\r\n\r\nx").foreign_sender


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (b"DKIM-Signature: v=1", Reason.DKIM_SIGNED),
        (b"DomainKey-Signature: a=b", Reason.DKIM_SIGNED),
        (b"X-Google-DKIM-Signature: v=1", Reason.DKIM_SIGNED),
        (b"ARC-Seal: i=1", Reason.DKIM_SIGNED),
        (b"ARC-Message-Signature : i=1", Reason.DKIM_SIGNED),
        (b"Auto-Submitted: auto-replied", Reason.AUTO_SUBMITTED),
        (b"Auto-Submitted: auto-generated; owner-email=x", Reason.AUTO_SUBMITTED),
        (b"Auto-Submitted: no", None),
        (b"Auto-Submitted: (really) No; a=b", None),
        (b"Return-Path: < >", Reason.REPORT),
        (b"Return-Path: <news@shop.example>", None),
        (b"X-Failed-Recipients: a@b.example", Reason.REPORT),
    ],
)
def test_a_field_may_forbid_to_touch_the_message(field: bytes, expected: Reason | None) -> None:
    """R21, R25: DKIM, ARC, automatic mail and bounces."""
    assert reason(field + b"\r\n" + HTML) == expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b"", Reason.MALFORMED),
        (b"\r\n", Reason.MALFORMED),
        (b"From: a@b.example\r\n", Reason.MALFORMED),
        (b"From: a@b.example\r\n\r\n", Reason.MALFORMED),
        (b"From: a@b.example\r\n\r\n \r\n\r\n", Reason.MALFORMED),
        (b"From: a@b.example\r\njunk\r\nTo: x\r\n\r\nbody", Reason.MALFORMED),
        (HTML.replace(b"\r\n", b"\r"), Reason.MALFORMED),
        (html(b"<p>" + LINK + b"<!-- open"), Reason.MALFORMED),
        (html(b"<p>" + LINK + b"<script>"), Reason.MALFORMED),
        (html(b"<p>" + LINK + b'<a title="open'), Reason.MALFORMED),
        (HEAD + b"Content-Type: multipart/mixed\r\n\r\nx", Reason.MALFORMED),
        (multipart(b"mixed").replace(b"--b--", b""), Reason.MALFORMED),
        (multipart(b"signed", TEXT_PART), Reason.SIGNED),
        (multipart(b"mixed", HTML_PART, b"Content-Type: multipart/signed; boundary=c\r\n\r\n--c--"), Reason.SIGNED),
        (multipart(b"encrypted", TEXT_PART), Reason.ENCRYPTED),
        (multipart(b"report", TEXT_PART), Reason.REPORT),
        (HEAD + b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n\r\nx", Reason.ENCRYPTED),
        (HEAD + b"Content-Type: application/pkcs7-mime; smime-type=signed-data\r\n\r\nx", Reason.SIGNED),
        (HEAD + b"\r\n-----BEGIN PGP SIGNED MESSAGE-----\r\nx", Reason.SIGNED),
        (HEAD + b"\r\nHi\r\n-----BEGIN PGP MESSAGE-----\r\nx", Reason.ENCRYPTED),
        (HEAD + b"Content-Type: message/partial; id=x; number=1\r\n\r\nx", Reason.UNSUPPORTED),
        (HEAD + b"Content-Type: text/html\r\nContent-Type: text/plain\r\n\r\nx", Reason.UNSUPPORTED),
        (HEAD + b"Content-Type: text/(x)html\r\n\r\nx", Reason.UNSUPPORTED),
        (html(LINK, b"Content-Transfer-Encoding: x-uuencode\r\n"), Reason.UNSUPPORTED),
        (html(b"!!!!", b"Content-Transfer-Encoding: base64\r\n"), Reason.UNSUPPORTED),
        (html(b"PHA+=PHA+", b"Content-Transfer-Encoding: base64\r\n"), Reason.UNSUPPORTED),
        (HTML.replace(b"utf-8", b"utf-7"), Reason.UNSUPPORTED),
        (HTML.replace(b"utf-8", b"utf-16"), Reason.UNSUPPORTED),
    ],
)
def test_what_cannot_be_touched_safely_is_refused(message: bytes, expected: Reason) -> None:
    """R20: signed, encrypted and inline PGP are never touched."""
    assert reason(message) == expected


@pytest.mark.parametrize(
    "part",
    [
        b"Content-Type: text/html\r\nContent-Disposition: attachment\r\n\r\n" + LINK,
        b"Content-Type: text/html\r\nContent-Disposition: ATTACHMENT; filename=x.html\r\n\r\n" + LINK,
        b"Content-Type: text/html\r\nContent-Disposition: form-data\r\n\r\n" + LINK,
        b"Content-Type: text/html\r\nContent-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==\r\n\r\n" + LINK,
        b"Content-Type: text/x-amp-html\r\n\r\n" + LINK,
        b"Content-Type: text/calendar\r\n\r\n" + LINK,
        b"Content-Type: message/rfc822\r\n\r\nContent-Type: text/html\r\n\r\n" + LINK,
        b"Content-Type: multipart/digest; boundary=c\r\n\r\n--c\r\nContent-Type: text/html\r\n\r\n"
        + LINK
        + b"\r\n--c--",
        b"Content-Type: text/plain\r\n\r\n" + LINK,
        b"\r\n" + LINK,
    ],
)
def test_parts_that_are_no_html_body_are_not_looked_at(part: bytes) -> None:
    found = seen(multipart(b"mixed", TEXT_PART, part))
    assert (found.links_found, found.bodies) == (0, ())


def test_all_html_bodies_have_their_links_found() -> None:
    inline = HTML_PART.replace(b"\r\n\r\n", b"\r\nContent-Disposition: inline; filename=x.html\r\n\r\n")
    assert len(seen(multipart(b"mixed", HTML_PART, inline)).links) == 2


@pytest.mark.parametrize("kind", [b"alternative", b"related", b"mixed"])
def test_only_the_alternative_beside_the_html_gets_a_notice(kind: bytes) -> None:
    nested = b"Content-Type: multipart/related; boundary=c\r\n\r\n--c\r\n" + HTML_PART + b"\r\n--c--"
    assert (seen(multipart(kind, TEXT_PART, nested)).text is not None) is (kind == b"alternative")


def test_a_link_in_broken_quoted_printable_is_unreadable() -> None:
    head = b"Content-Transfer-Encoding: quoted-printable\r\n"
    found = seen(html(b'<p><a href="https://shop.example/?id=zz">x</a><a href=3D"https://shop.example/">y</a>', head))
    assert found.left == {Left.UNREADABLE: 1}
    assert [link.target for link in found.links] == ["https://shop.example/"]


def test_delivery_tokens_in_any_body_are_found_under_former_urls_too() -> None:
    one, two = "A" * 45 + "." + "b" * 20, "C" * 45 + "." + "d" * 20
    body = f'<a href="https://t.example.com/c/{one}/x.y/h/">x</a> <img src="https://old.example.com/o/{two}.gif">'
    found = seen(html(body.encode()))
    assert found.tracker_tokens == (one, two)
    assert found.left == {Left.TRACKER_LINK: 1}


def test_list_unsubscribe_urls_are_left() -> None:
    head = b"List-Unsubscribe: <mailto:u@shop.example>,\r\n <https://shop.example/a?b=1&c=2>\r\n"
    assert seen(html(LINK, head)).left == {Left.UNSUBSCRIBE: 1}


@pytest.mark.parametrize("charset", ["shift_jis", "gb18030", "big5", "iso-2022-jp", "cp949"])
def test_bytes_that_only_look_like_markup_are_text(charset: str) -> None:
    # Shift_JIS 0x83 0x5C, and in ISO-2022-JP 0x24 0x3C and 0x25 0x22: a backslash, "<" and a quote to the careless.
    text = {"cp949": "한국어", "gb18030": "中文𠀀丂", "big5": "功許蓋"}.get(charset, "ソぜア表")
    body = f'<p title="{text}">{text}<a href="https://shop.example/">{text}</a>'.encode(charset)
    found = seen(HTML.partition(b"\r\n\r\n")[0].replace(b"utf-8", charset.encode()) + b"\r\n\r\n" + body)
    assert [link.target for link in found.links] == ["https://shop.example/"]
    link = found.links[0]
    assert found.bodies[0].transfer.body[link.start : link.end] == b"https://shop.example/"


# --- any bytes ---------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_surveyed_or_refused(message: bytes) -> None:
    survey(message, POLICY)


TOKENS = st.sampled_from(
    [
        *(b"\r\n", b"\n", b"\r", b"--b", b"--b--", b"--c", b"\r\n\r\n", b"Content-Type: ", b"text/html", b"text/plain"),
        *(b"multipart/mixed; boundary=b", b"multipart/digest; boundary=c", b"; charset=", b"utf-16", b"shift_jis"),
        *(b"iso-2022-jp", b"Content-Transfer-Encoding: ", b"base64", b"quoted-printable", b"=", b"=3D", b"=\r\n", b" "),
        *(
            b"\t",
            b'"',
            b"<a href=",
            b"https://x.example/",
            b">",
            b"</a>",
            b"<body>",
            b"</body>",
            b"\x83\x5c",
            b"\x1b$B",
        ),
        *(b"\x1b(B", b"PGEgaHJlZj0", b"\xff\xfe", b"From: a@b.example", b"To: ", b"<", b"@", b",", b";", b"(", b")"),
        *(b"\\", b"boundary*0=", b"boundary*1*=''%62", b":", b"\0"),
    ]
)


@settings(max_examples=400, deadline=None)
@given(st.lists(TOKENS, max_size=40).map(b"".join), st.sampled_from([b"", HEAD, HTML, multipart(b"mixed", HTML_PART)]))
def test_any_heap_of_mail_syntax_is_surveyed_or_refused(heap: bytes, before: bytes) -> None:
    found = survey(before + heap, POLICY)
    if isinstance(found, Survey):
        for link in found.links:
            LinkSigner(b"k" * 32).sign(b"12345", link.target)  # every target can stand in a link


def test_damaged_real_mail_is_surveyed_or_refused() -> None:
    if not CORPUS.is_dir():
        pytest.skip("the shared corpus is not beside the checkout")
    files = [path for path in sorted((CORPUS / "real").rglob("*")) if path.is_file() and path.stat().st_size < 60_000]
    chance = random.Random(3)
    for path in chance.sample(files, 300):
        message = bytearray(path.read_bytes())
        for _ in range(4):
            at = chance.randrange(len(message) + 1)
            message[at : at + chance.choice((0, 1, 5, 200))] = chance.choice(
                (b"", b"\n", b"\r", b"=", b"--", b"<", b'"', b"\0", b"\xff", b"\r\n\r\n", b"--\r\n", message[:at][-50:])
            )
        survey(bytes(message), POLICY)


# --- hostile bodies ------------------------------------------------------------------------------------

ANCHOR = b'<a href=3D"https://shop.example/=\n">x</a>=20\n'
HOSTILE: dict[str, Callable[[int], bytes]] = {
    "quoted-printable links": lambda n: html(ANCHOR * n, b"Content-Transfer-Encoding: quoted-printable\r\n"),
    "quoted-printable links on one line": lambda n: html(
        ANCHOR.replace(b"=\n", b"").replace(b"\n", b"") * n, b"Content-Transfer-Encoding: quoted-printable\r\n"
    ),
    "links on one line": lambda n: html(LINK * n),
    "links between carriage returns": lambda n: html((LINK + b"\r") * n),
    "base64 links": lambda n: html(encodebytes(LINK * n), b"Content-Transfer-Encoding: base64\r\n"),
    "addresses": lambda n: html(LINK, b"Cc: " + b'"\\" <a@b.example>,' * n + b"\r\n"),
    "open quotes in To": lambda n: html(LINK, b"Cc: " + b'"\\' * n + b"\r\n"),
    "open quotes in Content-Type": lambda n: HEAD + b"Content-Type: a/b" + b';a="\\"' * n + b"\r\n\r\nx",
    "escapes": lambda n: HTML.replace(b"utf-8", b"iso-2022-jp").replace(LINK, b"\x1b$B$<\x1b(B" * n),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_messages_are_rewritten_in_linear_time(name: str) -> None:
    """Invariant: eight times the size takes about eight times as long, 64 times if it were quadratic."""

    def plan(message: bytes) -> None:
        found = survey(message, POLICY)
        if isinstance(found, Survey):
            parts = {link.target: LinkPart(b"part", b"shop.example") for link in found.links}
            lay_out(found, MAIL_PURPOSES, NoticeTexts(Language.EN), PlanUrls(b"https://t.example.com", parts))

    assert_linear(lambda size: partial(plan, HOSTILE[name](size)), 500, 4_000)


def test_other_peoples_trackers_are_counted_in_all_bodies_and_our_own_are_not() -> None:
    pixel = b'<img src="https://mailtrack.io/trace/mail/0eabccbe98c98e9b.png" width="0" height="0">'
    redirect = b'<a href="https://u1.ct.sendgrid.net/ls/click?upn=3Dabc">x</a>'
    quoted = b'<img src="https://old.example.com/o/%b.gif" width="1" height="1">' % (b"a" * 66)
    assert seen(html(LINK)).foreign == {}
    assert seen(html(pixel + redirect + redirect + quoted)).foreign == {"pixel": 1, "link": 2}
    twice = multipart(b"mixed", b"Content-Type: text/html\r\n\r\n" + pixel, b"Content-Type: text/html\r\n\r\n" + pixel)
    assert seen(twice).foreign == {"pixel": 2}
