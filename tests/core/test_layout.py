"""Promise 3: in tracked mail nothing changes but link URLs and one notice; a copy is one join."""

from __future__ import annotations

import pickle
import re
from base64 import b64decode, b64encode, encodebytes
from email import message_from_bytes
from pathlib import Path
from quopri import decodestring, encodestring

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.core import mime
from tracker.core.layout import Plan, PlanUrls, lay_out, render
from tracker.core.linkpart import LinkPart
from tracker.core.mime import Structure
from tracker.core.notice import NoticeTexts
from tracker.core.survey import Refused, Survey, SurveyPolicy, survey
from tracker.model import Language, Left, Purpose, Reason

BASE = b"https://t.example.com"
POLICY = SurveyPolicy((BASE.decode(),))
BOTH = frozenset({Purpose.OPEN, Purpose.CLICK})
TEXTS = NoticeTexts(Language.DE)
DELIVERY = b"D" + b"-_az09AZ" * 5 + b"abcd.0123456789_-ABCDEFGH"[:25]
STOP = b"A0de" + b"0123456789" * 8
TRACKED = re.compile(re.escape(BASE) + rb"/c/[A-Za-z0-9._-]{66}/[A-Za-z0-9._-]+/[A-Za-z0-9._~%:-]+/")
NOTICE = re.compile(rb'<div\s[^>]*data-tracker="notice".*?</div>', re.DOTALL)
CORPUS = Path(__file__).parents[3] / "shared" / "corpus"


def urls_for(seen: Survey) -> PlanUrls:
    parts = {
        link.target: LinkPart(b"L%d.aaaaaaaaaaaaaaaaaaaa" % number, b"shop.example")
        for number, link in enumerate(seen.links)
    }
    return PlanUrls(BASE, parts)


def planned(message: bytes, purposes: frozenset[Purpose] = BOTH, policy: SurveyPolicy = POLICY) -> Plan | None:
    seen = survey(message, policy)
    return None if isinstance(seen, Refused) else lay_out(seen, purposes, TEXTS, urls_for(seen))


def rewritten(message: bytes, purposes: frozenset[Purpose] = BOTH) -> bytes:
    plan = planned(message, purposes)
    return message if plan is None else render(plan, DELIVERY, STOP)


def decoded_leaves(message: bytes) -> list[tuple[str, bytes]]:
    """Kind and decoded body of each leaf, with the standard library's decoders."""
    structure = mime.walk(message)
    assert isinstance(structure, Structure)
    out = []
    for leaf in structure.leaves:
        body = message[leaf.start : leaf.end]
        if leaf.encoding == "quoted-printable":
            body = decodestring(body)
        elif leaf.encoding == "base64":
            letters = re.sub(rb"[^A-Za-z0-9+/]", b"", body)
            body = b64decode(letters + b"=" * (-len(letters) % 4))
        out.append((leaf.type.kind, readable(body, leaf.type.charset)))
    return out


def readable(body: bytes, charset: str | None) -> bytes:
    """A body in UTF-16 or EBCDIC as UTF-8, any other as it stands."""
    try:
        return body.decode(charset or "").encode() if re.match("(?i)utf-?16|cp037", charset or "") else body
    except UnicodeError:
        return body


def assert_only_links_and_notice(message: bytes, purposes: frozenset[Purpose] = BOTH) -> bool:
    """The law of the layout, looked at from outside; whether anything was tracked."""
    seen = survey(message, POLICY)
    plan = None if isinstance(seen, Refused) else lay_out(seen, purposes, TEXTS, urls_for(seen))
    if plan is None:
        return False
    assert isinstance(seen, Survey)
    out = render(plan, DELIVERY, STOP)
    assert out != message
    old, new = decoded_leaves(message), decoded_leaves(out)
    assert [kind for kind, _ in old] == [kind for kind, _ in new]
    originals: list[bytes] = []
    for body in seen.bodies:
        originals += [readable(body.view.body[link.start : link.end], body.view.codec) for link in body.links]
    if plan.left.get(Left.TOO_LONG):
        return True  # which of them stayed is shown by tests of their own
    if Purpose.CLICK not in purposes:
        originals = []
    assert plan.links_tracked == len(originals)
    queue = iter(originals)
    notices = 0
    for (kind, before), (_, after) in zip(old, new, strict=True):
        if before == after:
            continue
        if kind == "text/html":
            known = NOTICE.findall(before)
            bare = NOTICE.sub(lambda found: found[0] if found[0] in known else b"", after)  # noqa: B023
            notices += len(NOTICE.findall(after)) - len(known)
            assert TRACKED.sub(lambda found: next(queue), bare) == before
        else:
            assert kind == "text/plain"
            assert after.startswith(before.rstrip(b"\r\n"))
            assert after[len(before) :].count(BASE + b"/privacy/" + STOP) == 1
    assert notices == 1
    assert next(queue, None) is None
    assert long_lines(out) <= long_lines(message)
    return True


def long_lines(message: bytes, limit: int = 998) -> int:
    return sum(len(line) > limit for line in re.split(rb"\r?\n", message))


# --- building messages ---------------------------------------------------------------------------

HREFS = st.sampled_from(
    [
        "https://shop.example/a?b=1&amp;c=2",
        "http://shop.example/",
        "HTTPS://Shop.Example/x y",
        "https://shop.example/\u00fc",
        "https://shop.example/long/" + "x" * 300,
        "mailto:anna@example.org",
        "#top",
    ]
)
WORDS = st.text(
    st.characters(codec="utf-8", exclude_characters="<>&\r\n\0", exclude_categories=["Cc", "Cs"]), max_size=90
)
BITS = st.one_of(
    WORDS.map(lambda text: f"<p>{text}</p>\n"),
    st.builds(lambda href, text: f'<a class="x" href="{href}">{text}</a>', HREFS, WORDS),
    st.builds(lambda href: f"<A\nHREF='{href}'>now</A>\n", HREFS),
    st.sampled_from(
        ["\n", " ", "<!-- <a href='https://no.example/'>x</a> -->", "<br>" * 30, "=3D=\n", "\t \n", ".\n", "From x\n"]
    ),
)
HTML = st.builds(
    lambda bits, end: "<html><body>" + "".join(bits) + end,
    st.lists(BITS, max_size=12),
    st.sampled_from(["</body></html>\n", "</body></html>", "", "\n\n"]),
)


@st.composite
def parts(draw: st.DrawFn, kind: str, eol: str) -> bytes:
    text: str = draw(HTML if kind == "html" else WORDS).replace("\n", eol)
    charset = draw(st.sampled_from(["utf-8", "iso-8859-1", "shift_jis", "gb18030", "iso-2022-jp", "utf-16-le", "x-no"]))
    body: bytes = text.encode("utf-8" if charset == "x-no" else charset, "xmlcharrefreplace")
    encodings = ["base64"] if charset == "utf-16-le" else ["8bit", "quoted-printable", "base64", "base64-one-line"]
    encoding = draw(st.sampled_from(encodings))
    line_end = eol.encode()
    if encoding == "quoted-printable":
        body = encodestring(body.replace(line_end, b"\n")).replace(b"\n", line_end)
    elif encoding == "base64":
        body = encodebytes(body).replace(b"\n", line_end)
    elif encoding == "base64-one-line":
        body = b64encode(body)
    head = [
        f"Content-Type: text/{kind}; charset={charset}",
        f"Content-Transfer-Encoding: {encoding.removesuffix('-one-line')}",
    ]
    return eol.join(head).encode() + line_end * 2 + body


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    eol = draw(st.sampled_from(["\n", "\r\n"]))
    head = f"From: Shop <news@shop.example>{eol}To: anna@example.org{eol}Message-ID: <1@shop.example>{eol}".encode()
    html: bytes = draw(parts("html", eol))
    if draw(st.booleans()):
        return head + html
    plain: bytes = draw(parts("plain", eol))
    line_end = eol.encode()
    kind = draw(st.sampled_from([b"alternative", b"mixed"]))
    opening = b'Content-Type: multipart/%b; boundary="b 1"' % kind + line_end * 2 + b"preamble" + line_end
    delimiter = line_end + b"--b 1" + line_end
    closing = draw(st.sampled_from([line_end + b"--b 1--" + line_end + b"epilogue", b"", line_end]))
    return head + opening + delimiter + plain + delimiter + html + closing


@settings(max_examples=300, deadline=None)
@given(messages(), st.sampled_from([BOTH, frozenset({Purpose.OPEN}), frozenset({Purpose.CLICK})]))
def test_taking_the_notice_out_and_putting_the_urls_back_gives_the_original(
    message: bytes, purposes: frozenset[Purpose]
) -> None:
    """R23: nothing else changed."""
    assert_only_links_and_notice(message, purposes)


@settings(max_examples=100, deadline=None)
@given(messages())
def test_without_a_purpose_there_is_no_plan(message: bytes) -> None:
    assert planned(message, frozenset()) is None
    assert planned(message, frozenset({Purpose.PHONE})) is None


@settings(max_examples=100, deadline=None)
@given(messages())
def test_every_copy_is_the_plan_with_its_own_tokens(message: bytes) -> None:
    plan = planned(message)
    if plan is None:
        return
    first, second = render(plan, DELIVERY, STOP), render(plan, DELIVERY[::-1].replace(b".", b"x"), STOP[::-1])
    assert len(first) == len(second)
    assert render(pickle.loads(pickle.dumps(plan)), DELIVERY, STOP) == first
    for kind, body in decoded_leaves(second):
        assert DELIVERY not in body, kind
        assert STOP not in body, kind


def unsigned(message: bytes) -> bytes:
    """MESSAGE before its sender's server signed it."""
    head, blank, rest = re.split(rb"(\r?\n\r?\n|\Z)", message, maxsplit=1)
    return re.sub(rb"(?mi)^(?:DKIM-Signature|ARC-[a-z-]+):.*\n(?:[ \t].*\n)*", b"", head) + blank + rest


def test_the_corpus_keeps_every_other_byte() -> None:
    """R23: real mail of many senders."""
    if not CORPUS.is_dir():
        pytest.skip("the shared corpus is not beside the checkout")
    tracked = 0
    for path in sorted(CORPUS.rglob("*")):
        note = path.suffix in (".jsonl", ".tsv", ".md") or (
            path.with_suffix(".eml").is_file() and path.suffix == ".txt"
        )
        if note or not path.is_file() or path.stat().st_size > 300_000:
            continue
        tracked += assert_only_links_and_notice(unsigned(path.read_bytes()))
    assert tracked > 600


# --- cases -----------------------------------------------------------------------------------------


def html_message(body: bytes, encoding: bytes = b"7bit", head: bytes = b"") -> bytes:
    return (
        b"From: a@shop.example\r\nMessage-ID: <1@shop.example>\r\nContent-Type: text/html; charset=utf-8\r\n"
        + head
        + b"Content-Transfer-Encoding: "
        + encoding
        + b"\r\n\r\n"
        + body
    )


def test_opens_alone_leave_links_as_they_stand() -> None:
    out = rewritten(html_message(b'<a href="https://shop.example/">x</a>'), frozenset({Purpose.OPEN}))
    assert b'<a href="https://shop.example/">x</a>' in out
    assert out.count(BASE + b"/o/" + DELIVERY + b".gif") == 1


def test_clicks_alone_bring_no_pixel_and_need_a_link() -> None:
    """R3: no pixel without a grant for opens."""
    clicks = frozenset({Purpose.CLICK})
    out = rewritten(html_message(b'<a href="https://shop.example/">x</a>'), clicks)
    assert TRACKED.search(out)
    assert b"/o/" not in out
    assert planned(html_message(b"<p>no link</p>"), clicks) is None


def test_a_message_with_opens_and_no_link_tracks_opens_only() -> None:
    plan = planned(html_message(b"<p>no link</p>"))
    assert plan is not None
    assert plan.purposes == {Purpose.OPEN}


@pytest.mark.parametrize("rest", [0, 1, 2, 7, 20])
def test_a_link_that_would_outgrow_its_line_stays(rest: int) -> None:
    anchor = b'<a href="https://shop.example/">x</a>'
    plan = planned(
        html_message(b"<p>\r\n" + b"x" * (998 - len(anchor) - rest) + anchor + b"\r\n<a href=http://b.example/>b")
    )
    assert plan is not None
    assert plan.links_tracked == 1
    assert plan.left == {Left.TOO_LONG: 1}
    assert [link.host for link in plan.links] == ["b.example"]


def test_a_plan_names_what_it_tracks_once_and_in_order() -> None:
    body = b"".join(b'<a href="https://%b.example/%d">x</a>\r\n' % (name, at) for at, name in enumerate([b"b", b"a"]))
    both = planned(html_message(body + body))
    opens = planned(html_message(body), frozenset({Purpose.OPEN}))
    assert both is not None
    assert opens is not None
    assert both.links_tracked == 4
    assert [link.host for link in both.links] == ["b.example", "a.example"]
    assert opens.links == ()


def test_a_line_may_be_filled_to_the_last_octet() -> None:
    """R24: 998 octets and not one more."""
    anchor = b'<a href="https://shop.example/">x</a>'
    grown = len(rewritten(html_message(b"<p>\r\n" + anchor + b"\r\n<p>")).split(b"\r\n")[6]) - len(anchor)
    for spare, tracked in ((0, 1), (-1, 0)):
        body = b"<p>\r\n" + b"x" * (998 - len(anchor) - grown - spare) + anchor + b"\r\n<p>"
        plan = planned(html_message(body))
        assert plan is not None
        assert plan.links_tracked == tracked


def test_a_line_that_is_too_long_already_takes_links_and_notice_and_stays_one() -> None:
    message = html_message(
        b"<body>" + b"x" * 1500 + b'<a href="https://shop.example/">x</a>' + b"y" * 1500 + b"</body>"
    )
    out = rewritten(message)
    assert TRACKED.search(out)
    assert long_lines(out) == long_lines(message) == 1


@pytest.mark.parametrize("before", [900, 950, 980, 990])
def test_the_notice_never_makes_a_line_too_long(before: int) -> None:
    out = rewritten(html_message(b"<body>" + b"x" * (before - 6) + b"</body>"))
    assert NOTICE.search(out)
    assert long_lines(out) == 0


def test_a_tracked_url_of_more_than_2000_characters_is_not_made() -> None:
    message = html_message(b"<a href=https://shop.example/>x</a>\r\n<p>")
    seen = survey(message, POLICY)
    assert isinstance(seen, Survey)
    for size, tracked in ((2000, 1), (2001, 0)):
        part = b"L" * (size - len(BASE) - len("/c//") - 66 - len("/shop.example/"))
        plan = lay_out(seen, BOTH, TEXTS, PlanUrls(BASE, {"https://shop.example/": LinkPart(part, b"shop.example")}))
        assert plan is not None
        assert plan.links_tracked == 0  # a line of 998 octets does not take either
        quoted = survey(html_message(b"<a href=3Dhttps://shop.example/>x</a>", b"quoted-printable"), POLICY)
        assert isinstance(quoted, Survey)
        plan = lay_out(quoted, BOTH, TEXTS, PlanUrls(BASE, {"https://shop.example/": LinkPart(part, b"shop.example")}))
        assert plan is not None
        assert plan.links_tracked == tracked


@pytest.mark.parametrize("encoding", [b"quoted-printable", b"base64"])
def test_encoded_lines_stay_within_76_octets(encoding: bytes) -> None:
    body = b"<body>" + b'<p>abc d\xc3\xa9f</p><a href="https://shop.example/?a=1">x</a> = \n' * 30 + b"</body>"
    encoded = (encodestring(body) if encoding == b"quoted-printable" else encodebytes(body)).replace(b"\n", b"\r\n")
    message = html_message(encoded, encoding)
    out = rewritten(message)
    assert len(TRACKED.findall(decoded_leaves(out)[0][1])) == 30
    assert long_lines(out.partition(b"\r\n\r\n")[2], 76) == 0


def test_base64_writes_a_token_in_few_forms() -> None:
    body = b"<body>" + b"".join(b'%b<a href="https://shop.example/">x</a>' % (b"y" * n) for n in range(60)) + b"</body>"
    plan = planned(html_message(encodebytes(body), b"base64"))
    assert plan is not None
    assert plan.links_tracked == 60
    assert len(plan.forms) + len(plan.stop_forms) <= 5


def test_long_html_gets_its_notice_at_the_beginning() -> None:
    body = b"<html><body>\r\n" + b"<p>text</p>\r\n" * 7_500 + b"</body></html>\r\n"
    out = rewritten(html_message(body))
    assert out.partition(b"<body>")[2].startswith(b'<div data-tracker="notice"')
    short = rewritten(html_message(body[:40] + b"</body></html>\r\n"))
    assert b"</div></body>" in short


def test_the_text_alternative_says_the_same_at_its_end() -> None:
    """R26: the text says so too, with the link that stops it."""
    message = (
        b"From: a@shop.example\nContent-Type: multipart/alternative; boundary=b\n\n"
        b"--b\nContent-Type: text/plain\n\nHello\nhttps://shop.example/\n\n--b\n"
        b"Content-Type: text/html\n\n<p>Hello</p>\n\n--b--\n"
    )
    out = rewritten(message)
    assert b"\r" not in out
    text = decoded_leaves(out)[0][1]
    assert text.startswith(b"Hello\nhttps://shop.example/\n\n")
    lines = text.split(b"\n")
    assert lines[-2:] == [BASE + b"/privacy/" + STOP, b""]


def test_an_empty_text_alternative_stays_empty() -> None:
    message = (
        b"From: a@shop.example\nContent-Type: multipart/alternative; boundary=b\n\n"
        b"--b\nContent-Type: text/plain\n\n--b\nContent-Type: text/html\n\n<p>Hello</p>\n\n--b--\n"
    )
    assert decoded_leaves(rewritten(message))[0] == ("text/plain", b"")


def test_other_mail_programs_read_the_same_structure() -> None:
    message = html_message(b'<a href="https://shop.example/">x</a>')
    before, after = message_from_bytes(message), message_from_bytes(rewritten(message))
    assert before.items() == after.items()


def test_a_refused_message_has_no_plan() -> None:
    assert survey(html_message(b"<p>x", head=b"DKIM-Signature: v=1\r\n"), POLICY) == Refused(Reason.DKIM_SIGNED)
