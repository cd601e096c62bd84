"""Other people's pixels come out with their tags alone, in every encoding, or not at all where anything is doubtful."""

from __future__ import annotations

from base64 import decodebytes, encodebytes
from dataclasses import replace
from quopri import decodestring, encodestring

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.core.test_layout import CORPUS, unsigned
from tests.fuzz.rewriting import BASE, DELIVERY, NOTICE, POLICY, TRACKED, between, bodies, leaves, rewritten
from tests.fuzz.strategies import damaged, messages
from tracker.core.foreign import find
from tracker.core.layout import without_pixels
from tracker.core.survey import Refused, Survey, survey
from tracker.model import MAIL_PURPOSES, Purpose, Reason

PIXEL = b'<img src="https://mailtrack.io/trace/mail/0eabccbe98c98e9b.png" width="1" height="1" alt="">'
OTHER = b"<IMG\r\nheight=1 width=1 src='https://u1.ct.sendgrid.net/wf/open?upn=a=b' />"
REMOVE = replace(POLICY, remove_pixels=True)
HEAD = b"From: a@shop.example\r\nMessage-ID: <1@shop.example>\r\n"
LINK = b'<a href="https://shop.example/">now</a>'


def message(body: bytes, encoding: bytes = b"8bit", charset: bytes = b"utf-8", more: bytes = b"") -> bytes:
    if encoding == b"quoted-printable":
        body = encodestring(body.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
    elif encoding == b"base64":
        body = encodebytes(body).replace(b"\n", b"\r\n")
    head = b"Content-Type: text/html; charset=%b\r\nContent-Transfer-Encoding: %b\r\n\r\n" % (charset, encoding)
    return HEAD + more + head + body


def seen(sent: bytes) -> Survey:
    found = survey(sent, REMOVE)
    assert isinstance(found, Survey)
    return found


def cleared(sent: bytes) -> bytes:
    return without_pixels(seen(sent))


def decoded(sent: bytes, encoding: bytes) -> bytes:
    body = sent.partition(b"\r\n\r\n")[2]
    return {b"quoted-printable": decodestring, b"base64": decodebytes}.get(encoding, bytes)(body)


@pytest.mark.parametrize("encoding", [b"8bit", b"quoted-printable", b"base64"])
@pytest.mark.parametrize("pixel", [PIXEL, OTHER, PIXEL.replace(b" ", b"\r\n  ")])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"<p>Gr\xc3\xbc\xc3\x9fe</p>\r\n", b"\r\n</body>\r\n"), (b"", b"<p>x</p>"), (b"<p>x", b""),
        (b"<body>", b"</body>"), (b"  ", b"\r\n<p>"), (b"x\t", b"\r\n"), (b"x ", b""), (b"x" * 70, b"y" * 70),
        (b"x" * 700, b"y" * 200 + b"\r\n"), (b"=3D = ", b" = =\r\n"), (b"a < b ", b" &amp; c"),
        (b"\r\n\r\n", b"\r\nx\r\n"), (b"- ", b"> x"), (b"-", b" > x"),
        (LINK + b"<!--[if mso]>", b"<![endif]-->" + LINK), (b"<a href=x>", b"</a>"), (b"Line\r\n\t", b"Line"),
    ],
)  # fmt: skip
def test_the_tag_goes_and_nothing_else(encoding: bytes, pixel: bytes, before: bytes, after: bytes) -> None:
    sent = message(before + pixel + after, encoding)
    assert seen(sent).foreign == {"pixel": 1}
    out = cleared(sent)
    body = before + after
    assert decoded(out, encoding).replace(b"\r\n", b"\n") == body.replace(b"\r\n", b"\n")
    assert out.startswith(sent[: sent.index(b"\r\n\r\n") + 4])
    if encoding == b"8bit":
        assert out == message(body)
    else:
        assert all(len(line) <= 76 for line in out.partition(b"\r\n\r\n")[2].split(b"\r\n"))
    assert out.count(b"\n") == out.count(b"\r\n")
    assert cleared(out) == out, "a second time there is nothing to remove"


def test_several_pixels_in_several_bodies() -> None:
    part = b"--b\r\nContent-Type: text/html\r\n\r\n<p>x</p>%b<p>y</p>%b\r\n"
    sent = HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + part % (PIXEL, OTHER) + part % (b"", PIXEL)
    sent += b"--b\r\nContent-Type: text/html\r\nContent-Disposition: attachment\r\n\r\n" + PIXEL + b"\r\n--b--\r\n"
    out = cleared(sent)
    assert out == sent.replace(PIXEL, b"", 1).replace(OTHER, b"").replace(PIXEL, b"", 1)
    assert out.count(PIXEL) == 1, "an attachment stays"


@pytest.mark.parametrize("charset", ["utf-16", "utf-32-be", "cp037", "shift_jis", "iso-2022-jp", "gb18030"])
def test_pixels_come_out_of_every_charset(charset: str) -> None:
    letters = {"cp037": "Grüße"}.get(charset, "日本")
    text = f"<p>{letters}</p>{PIXEL.decode()}<p>{letters}</p>\n"
    out = cleared(message(text.encode(charset), b"base64", charset.encode()))
    assert decoded(out, b"base64").decode(charset) == text.replace(PIXEL.decode(), "")


@pytest.mark.parametrize(
    "body",
    [
        b"<" + PIXEL + b"a href=https://shop.example/>x</a>",
        b"&am" + PIXEL + b"p;",
        b"<p>x</p>\r\n" + PIXEL + b"--b\r\n<p>",
        b"<p>x</p>\r\n" + PIXEL + b"From here on\r\n",
        b"<p>x</p>\r\n" + PIXEL + b".\r\n",
        b"x" * 600 + OTHER + b"y" * 600,
        b"<!--[if mso]>-" + PIXEL + b"-> <a href=https://shop.example/>x</a> <![endif]-->",
        b"<" + PIXEL + b"/body>" + PIXEL,
    ],
)
def test_where_anything_is_doubtful_every_pixel_stays(body: bytes) -> None:
    sent = (
        HEAD
        + b"Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n"
        + body
        + b"\r\n"
        + PIXEL
        + b"\r\n--b--\r\n"
    )
    assert seen(sent).foreign["pixel"] >= 2
    assert cleared(sent) == sent


def test_a_body_of_which_nothing_would_be_left_stays() -> None:
    for encoding in (b"8bit", b"quoted-printable", b"base64"):
        assert cleared(message(PIXEL, encoding)) == message(PIXEL, encoding)


def test_what_decoders_read_differently_stays() -> None:
    sent = message(b"").replace(b"8bit", b"quoted-printable") + PIXEL.replace(b"alt=", b"alt= \r\n=") + b"\r\n"
    assert seen(sent).foreign == {"pixel": 1}
    assert cleared(sent) == sent


def test_our_own_pixel_and_other_peoples_links_stay() -> None:
    ours = f'<img width="1" height="1" alt="" src="{BASE}/o/{DELIVERY.decode()}.gif">'.encode()
    redirect = b'<a href="https://u1.ct.sendgrid.net/ls/click?upn=a">x</a>'
    spacer = b'<img src="https://shop.example/spacer.gif" width="1" height="1">'
    sent = message(ours + redirect + spacer + PIXEL)
    assert seen(sent).foreign == {"link": 1, "pixel": 1}
    assert cleared(sent) == message(ours + redirect + spacer)


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (message(PIXEL, more=b"DKIM-Signature: v=1; a=rsa-sha256\r\n"), Reason.DKIM_SIGNED),
        (message(PIXEL, more=b"Auto-Submitted: auto-replied\r\n"), Reason.AUTO_SUBMITTED),
        (message(PIXEL, more=b"Return-Path: <>\r\n"), Reason.REPORT),
        (message(PIXEL + b"<!-- "), Reason.MALFORMED),
        (message(PIXEL + b"\r\n-----BEGIN PGP MESSAGE-----\r\n"), Reason.ENCRYPTED),
        (message(PIXEL).replace(b"text/html", b"multipart/signed; boundary=b"), Reason.SIGNED),
    ],
)
def test_what_is_never_touched_is_not_touched_for_a_pixel(sent: bytes, reason: Reason) -> None:
    assert survey(sent, REMOVE) == Refused(reason)


def test_without_the_setting_nothing_is_removed() -> None:
    found = survey(message(PIXEL), POLICY)
    assert isinstance(found, Survey)
    assert (found.foreign, without_pixels(found)) == ({"pixel": 1}, message(PIXEL))


@pytest.mark.parametrize("encoding", [b"8bit", b"quoted-printable", b"base64"])
@pytest.mark.parametrize(
    "body", [b"<body>" + PIXEL + LINK + b"</body>", LINK + PIXEL, LINK + b"\r\n" + OTHER + b"</body>", PIXEL * 2 + LINK]
)
def test_tracked_copies_lose_them_unless_they_track_opens(encoding: bytes, body: bytes) -> None:
    sent = message(body, encoding)
    one = rewritten(sent, frozenset({Purpose.CLICK}), REMOVE)
    assert one is not None
    assert (one.plan.pixels_removed, one.plan.links_tracked) == (body.count(PIXEL) + body.count(OTHER), 1)
    told = NOTICE.sub(b"", decoded(one.after, encoding))
    plain = body.replace(PIXEL, b"").replace(OTHER, b"")
    assert TRACKED.sub(b"https://shop.example/", told).replace(b"\r\n", b"\n") == plain.replace(b"\r\n", b"\n")
    both = rewritten(sent, MAIL_PURPOSES, REMOVE)
    assert both is not None
    assert both.plan.pixels_removed == 0
    kept = decoded(both.after, encoding).replace(b"\r\n", b"\n")
    assert len([tracker for tracker in find(kept, (BASE,)) if tracker.kind == "pixel"]) == one.plan.pixels_removed


def test_a_link_that_leaves_no_room_for_the_joined_line_gives_way() -> None:
    """A tag over two lines joins them: with a tracked link before it the line would be too long."""
    sent = message(b"x" * 500 + LINK + OTHER + b"y" * 440 + b"\r\n")
    assert cleared(sent) == sent.replace(OTHER, b"")
    one = rewritten(sent, frozenset({Purpose.CLICK}), REMOVE)
    assert one is None, "the copy leaves untracked, and without the pixel"


BITS = st.sampled_from(
    [PIXEL, PIXEL, OTHER, LINK, b"<p>", b"\n", b" ", b"x", b"x" * 90, b"<", b"&am", b"=", b"--b", b"</body>", b"<body>",
     b"<!--[if mso]>", b"<![endif]-->", b"<!-- ", b" -->", b"\xc3\xbc", b"<title>", b"</title>", b".", b"From "]
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(BITS, max_size=12).map(b"".join), st.sampled_from([b"8bit", b"quoted-printable", b"base64"]))
def test_whatever_stands_around_them_only_tags_go(body: bytes, encoding: bytes) -> None:
    sent = message(body, encoding)
    found = survey(sent, REMOVE)
    if isinstance(found, Refused):
        return
    out = without_pixels(found)
    if out == sent:
        return
    assert [leaf.type for leaf in leaves(out)] == [leaf.type for leaf in leaves(sent)]
    old, new = decoded(sent, encoding), decoded(out, encoding)
    at = 0
    for tracker in find(old, POLICY.public_urls):
        if tracker.kind == "pixel":
            assert new.startswith(old[at : tracker.start])
            new = new[tracker.start - at :]
            at = tracker.end
    assert new == old[at:]
    assert find(decoded(out, encoding), POLICY.public_urls) == ()
    assert cleared(out) == out


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(BITS, max_size=12).map(b"".join), st.sampled_from([b"8bit", b"quoted-printable", b"base64"]))
def test_a_tracked_copy_is_the_cleared_one_with_links_and_notice(body: bytes, encoding: bytes) -> None:
    one = rewritten(message(body, encoding), frozenset({Purpose.CLICK}), REMOVE)
    if one is None:
        return
    assert one.plan.pixels_removed == sum(len(html.pixels) for html in one.seen.bodies)
    told = NOTICE.sub(b"", decoded(one.after, encoding))
    assert TRACKED.sub(b"https://shop.example/", told) == decoded(without_pixels(one.seen), encoding)


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.one_of(messages(), damaged()), st.integers(0, 10_000))
def test_in_any_message_nothing_but_pixels_goes(sent: bytes, place: int) -> None:
    at = sent.find(b"<p", place % (len(sent) + 1))
    sent = sent if at < 0 else sent[:at] + PIXEL + sent[at:]
    found = survey(sent, REMOVE)
    if isinstance(found, Refused):
        return
    out = without_pixels(found)
    assert between(out) == between(sent)
    for (kind, old), (_, new) in zip(bodies(sent), bodies(out), strict=True):
        if kind != "text/html":
            assert old == new
        assert len(new) <= len(old)
    assert survey(out, POLICY) != Refused(Reason.MALFORMED)


def test_on_real_mail_most_pixels_come_out_and_nothing_else() -> None:
    if not CORPUS.is_dir():
        pytest.skip("the shared corpus is not beside the checkout")
    carried = cleared_of = 0
    for path in sorted(CORPUS.rglob("*")):
        if not path.is_file() or path.suffix in (".jsonl", ".tsv", ".md") or path.stat().st_size > 300_000:
            continue
        sent = unsigned(path.read_bytes())
        found = survey(sent, REMOVE)
        if isinstance(found, Refused) or not found.foreign.get("pixel"):
            continue
        carried += 1
        out = without_pixels(found)
        if out == sent:
            continue
        cleared_of += 1
        assert between(out) == between(sent)
        again = survey(out, REMOVE)
        assert isinstance(again, Survey)
        assert not again.foreign.get("pixel")
        assert [link.target for link in again.links] == [link.target for link in found.links]
        assert again.left == found.left
    assert carried > 20
    assert cleared_of >= 0.8 * carried
