"""Hostile messages cost no more than others of their size, and are rewritten without harm or left as they came.

Invariant: surveying, laying out and rendering four times the size takes at most eight times as long (four, where time
is linear; sixteen where it is quadratic). Only the processor's own time of this thread counts, the best of several
runs, and a suspicion is looked into again before it is a failure.
"""

from __future__ import annotations

import time
from base64 import encodebytes
from collections.abc import Callable

import pytest

from tests.fuzz.rewriting import TEXT_LINKS, rewritten
from tracker.core.glance import glance
from tracker.core.survey import Refused, survey
from tracker.model import Reason

HEAD = b"From: Shop <news@shop.example>\r\nTo: anna@example.org\r\n"
LINK = b'<a href="https://shop.example/?a=%d&amp;b=2">now</a>\r\n'
OPENING = b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n'
FLAT = HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
ALTERNATIVE = HEAD + b"Content-Type: multipart/alternative; boundary=b\r\n\r\n"
QUICK = 0.002
"""Seconds below which a clock says nothing."""
BOUND = 8


def html(body: bytes, head: bytes = b"", charset: bytes = b"utf-8") -> bytes:
    return HEAD + head + b"Content-Type: text/html; charset=" + charset + b"\r\n\r\n" + body


def plain(body: bytes) -> bytes:
    part = b"--b\r\nContent-Type: text/plain; format=flowed\r\n\r\n%b\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>x\r\n"
    return ALTERNATIVE + part % body + b"--b--\r\n"


def links(count: int) -> bytes:
    return b"".join(LINK % number for number in range(count))


QP = b"Content-Transfer-Encoding: quoted-printable\r\n"
BASE64 = b"Content-Transfer-Encoding: base64\r\n"
TOKEN = b"https://t.example.com/c/" + b"A" * 45 + b"." + b"b" * 20 + b"/x.y/shop.example/"

# Name → full size, and the message of a size.
HOSTILE: dict[str, tuple[int, Callable[[int], bytes]]] = {
    "10,000 links": (10_000, lambda n: html(links(n))),
    "10,000 links in quoted-printable": (10_000, lambda n: html(links(n).replace(b"=", b"=3D"), QP)),
    "10,000 links in base64": (10_000, lambda n: html(encodebytes(links(n)), BASE64)),
    "10,000 links in UTF-16": (
        10_000,
        lambda n: html(encodebytes(links(n).decode().encode("utf-16")), BASE64, b"utf-16"),
    ),
    "10,000 links in Shift_JIS": (10_000, lambda n: html("表ソ".encode("shift_jis") * n + links(n), b"", b"shift_jis")),
    "10,000 links to one place": (10_000, lambda n: html(LINK % 1 * n)),
    "10,000 links that show a URL": (10_000, lambda n: html(b"<a href=http://a.example>www.a.example</a>\r\n" * n)),
    "10,000 links with addresses": (
        10_000,
        lambda n: html(b"<a href=http://a.example/?%40=a%40b.example>x</a>\r\n" * n),
    ),
    "10,000 marked blocks": (10_000, lambda n: html(b"<div data-no-track>" * n + links(n))),
    "10,000 links that nobody ends": (10_000, lambda n: html(b"<a href=http://a.example/>x" * n)),
    "10,000 areas in a link": (
        10_000,
        lambda n: html(b"<a href=http://a.example/>" + b"<area href=http://b.example/>" * n),
    ),
    "10,000 quoted tokens": (10_000, lambda n: html(b"<a href=%b>x</a>\r\n" % TOKEN * n)),
    "10,000 conditional comments": (
        10_000,
        lambda n: html(b"<!--[if mso]><a href=http://a.example>x</a><![endif]-->" * n),
    ),
    "100 kB of <": (100_000, lambda n: html(b"<" * n)),
    "100 kB of <a": (50_000, lambda n: html(b"<a" * n)),
    "100 kB of <a href=": (12_000, lambda n: html(b"<a href=" * n)),
    "100 kB of <!--": (25_000, lambda n: html(b"<!--" * n)),
    "100 kB of <!-- -->": (12_000, lambda n: html(b"<!-- -->" * n)),
    "100 kB of &": (100_000, lambda n: html(b"<a href='http://a.example/" + b"&" * n + b"'>x</a>")),
    "100 kB of &#": (50_000, lambda n: html(b"<a href='http://a.example/" + b"&#" * n + b"'>x</a>")),
    "100 kB of digits in a reference": (
        100_000,
        lambda n: html(b"<a href='http://a.example/&#" + b"9" * n + b"'>x</a>"),
    ),
    "100 kB of % in a URL": (
        33_000,
        lambda n: html(b"<a href='http://a.example/" + b"%25" * n + b"40x.example'>x</a>"),
    ),
    "100 kB of @ in a URL": (100_000, lambda n: html(b"<a href='http://" + b"@" * n + b"'>x</a>")),
    "100 kB of dots in a host": (100_000, lambda n: html(b"<a href='http://" + b"a." * n + b"'>x</a>")),
    "100 kB of visible text": (50_000, lambda n: html(b"<a href=http://a.example/>" + b"a." * n + b"</a>")),
    "100 kB of tags in visible text": (33_000, lambda n: html(b"<a href=http://a.example/>" + b"<b>" * n + b"</a>")),
    "100 kB of placeholders": (50_000, lambda n: html(b"<a href='http://a.example/" + b"*|" * n + b"'>x</a>")),
    "100 kB of quotes": (100_000, lambda n: html(b"<p " + b"\"'" * n + b">")),
    "100 kB of </body>": (14_000, lambda n: html(b"</body>" * n)),
    "100 kB on one line": (100_000, lambda n: html(b"x" * n + LINK % 1)),
    "100 kB of carriage returns": (100_000, lambda n: html(LINK % 1 + b"\r" * n)),
    "100 kB of soft breaks": (33_000, lambda n: html(LINK % 1 + b"=\r\n" * n, QP)),
    "100 kB of = in quoted-printable": (100_000, lambda n: html(LINK % 1 + b"=" * n, QP)),
    "100 kB of blanks in quoted-printable": (100_000, lambda n: html(b"x" + b" " * n + b"x\r\n", QP)),
    "100 kB of = in base64": (100_000, lambda n: html(b"PHA+" + b"=" * n, BASE64)),
    "100 kB of empty lines in base64": (50_000, lambda n: html(b"PHA+" + b"\r\n" * n, BASE64)),
    "100 kB of escapes": (25_000, lambda n: html(b"\x1b$B$" * n, b"", b"iso-2022-jp")),
    "100 kB of shifts": (33_000, lambda n: html(b"\x1b(B" * n, b"", b"iso-2022-jp")),
    "100 kB of lead octets": (100_000, lambda n: html(b"\x81" * n, b"", b"gb18030")),
    "100 kB of armour": (9_000, lambda n: html(b"-----BEGIN PGP " * n)),
    "10,000 links in text": (10_000, lambda n: plain(b"".join(b"https://shop.example/%d\r\n" % i for i in range(n)))),
    "10,000 links in one line of text": (10_000, lambda n: plain(b"(http://a.example/) " * n)),
    "10,000 links in text without blanks": (10_000, lambda n: plain("http://a.example/ü。".encode() * n)),
    "10,000 links in quoted text": (10_000, lambda n: plain(b"> http://a.example/\r\n" * n)),
    "100 kB of schemes in text": (14_000, lambda n: plain(b"http://" * n)),
    "100 kB of brackets in a link in text": (50_000, lambda n: plain(b"http://a.example/" + b"(" * n + b")" * n)),
    "100 kB of closing brackets after a link in text": (100_000, lambda n: plain(b"http://a.example/" + b")" * n)),
    "100 kB of full stops after a link in text": (100_000, lambda n: plain(b"http://a.example/" + b"." * n)),
    "100 kB of letters after a link in text": (50_000, lambda n: plain(b"http://a.example/" + "ü".encode() * n)),
    "100 kB before a link in text": (100_000, lambda n: plain(b"x" * n + b"http://a.example/")),
    "100 kB of h in text": (100_000, lambda n: plain(b"h" * n)),
    "100 kB of text": (50_000, lambda n: plain(b" \n" * n)),
    "100 kB of dashes": (25_000, lambda n: plain(b"\r\n--" * n)),
    "5,000 nested parts": (5_000, lambda n: HEAD + b"".join(OPENING % (i, i) for i in range(n)) + b"\r\nx\r\n"),
    "5,000 nested and ended parts": (
        5_000,
        lambda n: (
            HEAD
            + b"".join(OPENING % (i, i) for i in range(n))
            + b"\r\nx\r\n"
            + b"".join(b"--b%d--\r\n" % i for i in reversed(range(n)))
        ),
    ),
    "5,000 parts": (5_000, lambda n: FLAT + b"--b\r\nContent-Type: text/html\r\n\r\n<p>x\r\n" * n + b"--b--\r\n"),
    "5,000 texts beside one HTML": (
        5_000,
        lambda n: ALTERNATIVE + b"--b\r\n\r\nx\r\n" * n + b"--b\r\nContent-Type: text/html\r\n\r\nx",
    ),
    "5,000 attachments": (
        5_000,
        lambda n: FLAT + b"--b\r\nContent-Disposition: attachment\r\n\r\nx\r\n" * n + b"--b--\r\n",
    ),
    "5,000 forwarded messages": (5_000, lambda n: HEAD + b"Content-Type: message/rfc822\r\n\r\n" * n + b"x"),
    "5,000 closing delimiters": (5_000, lambda n: FLAT + b"--b--\r\n" * n),
    "2,000 headers": (2_000, lambda n: b"".join(b"X-%d: a\r\n" % i for i in range(n)) + html(LINK % 1)),
    "2,000 headers of one name": (2_000, lambda n: b"Received: from x\r\n\tby y\r\n" * n + html(LINK % 1)),
    "2,000 subjects": (2_000, lambda n: b"Subject: x\r\n" * n + html(LINK % 1)),
    "2,000 addresses": (2_000, lambda n: html(LINK % 1, b"Cc: " + b"a@b.example,\r\n " * n + b"c@d.example\r\n")),
    "2,000 comments in an address": (
        2_000,
        lambda n: html(LINK % 1, b"Cc: " + b"(" * n + b")" * n + b" a@b.example\r\n"),
    ),
    "2,000 List-Unsubscribe URLs": (
        2_000,
        lambda n: html(LINK % 1, b"List-Unsubscribe: " + b"<https://a.example/>, " * n + b"\r\n"),
    ),
    "2,000 parameters": (2_000, lambda n: HEAD + b"Content-Type: text/html" + b"; a=b" * n + b"\r\n\r\n<p>x"),
    "2,000 continued parameters": (
        2_000,
        lambda n: (
            HEAD
            + b"Content-Type: multipart/mixed"
            + b"".join(b"; boundary*%d=x" % i for i in range(n))
            + b"\r\n\r\n--"
            + b"x" * n
            + b"\r\n\r\nx"
        ),
    ),
    "folds without end": (25_000, lambda n: b"A: b\r\n" + b" c\r\n" * n + html(LINK % 1)),
}


def seconds(message: bytes) -> float:
    """Of this thread's own processor time."""
    begun = time.thread_time()
    glance(message)
    rewritten(message, policy=TEXT_LINKS)
    return time.thread_time() - begun


def best(message: bytes, runs: int) -> float:
    return min(seconds(message) for _ in range(runs))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_message_takes_time_in_proportion_to_its_size(name: str) -> None:
    size, make = HOSTILE[name]
    small, large = make(size // 4), make(size)
    for runs in (1, 3, 5):  # look again before saying no
        if best(large, runs) <= BOUND * max(best(small, runs), QUICK):
            return
    pytest.fail(f"{best(large, 5):.3f} s instead of about {4 * best(small, 5):.3f} s")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_message_is_rewritten_without_harm_or_not_at_all(name: str) -> None:
    size, make = HOSTILE[name]
    message = make(size // 50)
    seen = survey(message, TEXT_LINKS)
    if isinstance(seen, Refused):
        assert seen.reason in (Reason.MALFORMED, Reason.UNSUPPORTED)
        return
    one = rewritten(message, policy=TEXT_LINKS)
    if one is not None:
        assert one.seen.links_found >= one.plan.links_tracked
        assert len(one.after) <= len(message) + 8_000 + 400 * one.plan.links_tracked
