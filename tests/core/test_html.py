"""The tag scanner finds what a browser would find, where it stands, in linear time.

Invariant of the fuzzing: on any bytes the scanner reports the same links, in the same order and with the same values,
as turbohtml, an independent tokenizer after the same standard, and agrees with it on whether the text ends inside a
construct; and markup put at `notice_at` is live markup that leaves every other token as it was.
"""

from __future__ import annotations

import json
import pickle
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import turbohtml
from hypothesis import example, given
from hypothesis import strategies as st

from tracker.core.attribute import attribute_text
from tracker.core.html import VISIBLE, scan

SNIPPETS = Path(__file__).parents[3] / "shared/corpus/html5lib-tokens.jsonl"
PROBE = '<div data-probe="">'


def values(body: bytes) -> list[bytes]:
    """The href values that the scanner finds, each checked against its span."""
    found = scan(body)
    for anchor in found.anchors:
        assert body[anchor.start : anchor.end] == anchor.value
        if anchor.quote:
            assert body[anchor.start - 1 : anchor.start] == body[anchor.end : anchor.end + 1] == anchor.quote
    return [anchor.value for anchor in found.anchors]


def texts(body: bytes) -> list[bytes]:
    return [anchor.text for anchor in scan(body).anchors]


def marks(body: bytes) -> list[bool]:
    return [anchor.marked for anchor in scan(body).anchors]


# --- links -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'<a href="https://x.example/a">', [b"https://x.example/a"]),
        (b"<a href='x\"y'>", [b'x"y']),
        (b"<a href=https://x.example/u/>", [b"https://x.example/u/"]),
        (b"<a href=x?y='z'>", [b"x?y='z'"]),
        (b'<A HREF="x">', [b"x"]),
        (b"<a\n\thref\n =\n 'x'>", [b"x"]),
        (b'<a/href="x"/class=y>', [b"x"]),
        (b'<a title=y"href="x">', []),
        (b'<a title="y"href="x">', [b"x"]),
        (b'<a href="x\ny">', [b"x\ny"]),
        (b'<a href="x" HREF="y">', [b"x"]),
        (b'<a href href="y">', []),
        (b'<a href="">', []),
        (b"<a href=>", []),
        (b'<a = href="x">', [b"x"]),
        (b'<a title="a>b" href="x>1">', [b"x>1"]),
        (b'<p title="<a href=x>">', []),
        (b'<area href="x">', [b"x"]),
        (b'<v:roundrect arcsize="1" href="x">', [b"x"]),
        (b'<noscript><a href="x">', [b"x"]),
        (b'</html><a href="x">', [b"x"]),
        (b'<svg><a xlink:href="x">', []),
        (b'<a href="x"><a href="y">', [b"x", b"y"]),
        (b'<a href="x"><area href="y"></a>', [b"x", b"y"]),
    ],
)
def test_links_are_found_as_browsers_tokenize_them(body: bytes, expected: list[bytes]) -> None:
    assert values(body) == expected


@pytest.mark.parametrize(
    "body",
    [
        b'<ahref="x">',
        b'<a data-href="x">',
        b'<a xhref="x" hrefx="x" ng-href="x">',
        b'<abbr href="x">',
        b'<link href="x">',
        b'<base href="x">',
        b'<div href="x">',
        b'<form action="x">',
        b'<img src="x" usemap="#m">',
        b'</a href="x">',
        b'< a href="x">',
        b'<!-- <a href="x"> -->',
        b'<!--> --> <!-- <a href="x"> --!>',
        b'<!a href="x">',
        b'<?a href="x">',
        b'<!DOCTYPE html PUBLIC "a href=x">',
    ],
)
def test_what_only_looks_like_a_link_is_none(body: bytes) -> None:
    assert values(body) == []


@pytest.mark.parametrize("name", ["script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes"])
def test_raw_text_is_no_markup(name: str) -> None:
    raw = f'<{name} class=x><a href="y"></{name}x></ {name}></{name.upper()} ><a href="z">'
    assert values(raw.encode()) == [b"z"]


@pytest.mark.parametrize(
    ("script", "live"),
    [
        (b"<script><!--</script><a href=x>", True),
        (b"<script><!--<script></script><a href=x>", False),
        (b"<script><!--<script></script></script><a href=x>", True),
        (b"<script><!--<script>--></script><a href=x>", True),
        (b"<script><!--><script></script><a href=x>", True),
        (b"<script><!--<scripty></script><a href=x>", True),
        (b"<script><!--<script><!--></script><a href=x>", True),
    ],
)
def test_a_script_ends_where_its_escaped_states_say(script: bytes, live: bool) -> None:
    assert values(script) == ([b"x"] if live else [])
    assert scan(script).complete == live


def test_nothing_is_markup_after_plaintext() -> None:
    found = scan(b"<a href=x>1</a><plaintext><a href=y></plaintext><a href=z>")
    assert [anchor.value for anchor in found.anchors] == [b"x"]
    assert not found.complete


# --- conditional comments --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'<!--[if mso]><v:roundrect href="x"><![endif]-->', [b"x"]),
        (b'<!--[if (gte mso 9)|(IE)]><a href="x">1</a><![endif]--><a href="y">', [b"x", b"y"]),
        (b'<!--[if !mso]><!--><a href="x"><!--<![endif]-->', [b"x"]),
        (b'<!--[if !mso]><!-- --><a href="x"><!-- <![endif]-->', [b"x"]),
        (b'<![if !mso]><a href="x"><![endif]>', [b"x"]),
        (b'<!--[if mso]><!--[if vml]><v:rect href="x"><![endif]--><a href="y">', [b"x", b"y"]),
        (b'<!--[if mso]><style><a href="x"></style><a href="y"><![endif]-->', [b"y"]),
        (b'<!--[if mso]><style><a href="x"><![endif]--><a href="y">', [b"y"]),
        (b'<!--[if mso]><a href="x--><a href="y">', [b"y"]),
        (b'<!--[if mso] <a href="x">-->', []),
        (b'<!--[iffy]><a href="x">-->', []),
        (b'<!-- [if mso]><a href="x">-->', []),
        (b'<a href="x"><!--[if mso]><v:rect href="y"><![endif]--></a>', [b"x", b"y"]),
    ],
)
def test_conditional_comments_are_read_as_outlook_reads_them(body: bytes, expected: list[bytes]) -> None:
    assert values(body) == expected
    assert scan(body).complete


# --- visible text and marks ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"<a href=x>Shop</a> more", b"Shop"),
        (b"<a href=x><b>www.</b><span title='>'>shop</span>.example</a>", b"www.shop.example"),
        (b"<a href=x>Shop<br>www.shop.example</a>", b"Shop www.shop.example"),
        (b"<a href=x><!--[if mso]>&nbsp;<![endif]-->Shop<!-- -->s</A>", b"Shops"),
        (b"<a href=x>Shop<a href=y>", b"Shop"),
        (b"<a href=x>Shop</ax> & Co", b"Shop & Co"),
        (b"<a href=x><img alt=logo></a>", b" "),
        (b"<a href=x>" + b"y" * 9999, b"y" * VISIBLE),
    ],
)
def test_visible_text_is_what_stands_between_the_tags(body: bytes, expected: bytes) -> None:
    assert texts(body)[0] == expected


@pytest.mark.parametrize(
    "mark",
    [
        b"data-no-track",
        b'DATA-NO-TRACK="true"',
        b"data-pm-no-track",
        b"ses:no-track",
        b"clicktracking=off",
        b'clicktracking="OFF"',
        b"disable-tracking=true",
        b"disable-tracking='true'",
    ],
)
def test_no_track_marks_are_seen_on_a_link_and_on_elements_around_it(mark: bytes) -> None:
    assert marks(b"<a " + mark + b" href=x><a href=y>") == [True, False]
    assert marks(b"<a href=x " + mark + b">") == [True]
    assert marks(b"<div " + mark + b"><p><div></div><a href=x>1</a></p></div><a href=y>") == [True, False]
    assert marks(b"<td " + mark + b"><!--[if mso]><v:rect href=x></td><![endif]--><a href=y>") == [True, True]
    assert marks(b"<!--[if mso]><td " + mark + b"><a href=x><![endif]--><a href=y>") == [True, False]
    assert marks(b"<img " + mark + b"><a href=x>") == [False]


@pytest.mark.parametrize(
    "attribute",
    [
        b"clicktracking=on",
        b"disable-tracking=false",
        b'title="data-no-track"',
        b"xdata-no-track",
        b'x="y data-no-track"',
    ],
)
def test_what_only_looks_like_a_mark_is_none(attribute: bytes) -> None:
    assert marks(b"<div " + attribute + b"><a " + attribute + b" href=x>") == [False]


# --- where the notice goes -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"<body>Hi", b"</body></html>"),
        (b"<body>Hi", b"</BODY ></HTML\n>"),
        (b"<body>Hi</body><p>", b"</body>"),
        (b"<body>Hi", b"</body></html>\n<!-- </body> -->"),
        (b"Hi<!-- </body> -->", b"</html>\n"),
        (b"Hi<!-- </body> -->", b"\r\n\r\n"),
        (b"<p title='</body>'>Hi<script>'</body>'</script>", b""),
        (b"Hi<!--[if mso]></body><![endif]-->", b""),
        (b"Hi <", b""),
        (b"", b" \n"),
    ],
)
def test_the_notice_goes_before_the_end_of_the_body(before: bytes, after: bytes) -> None:
    assert scan(before + after).notice_at == len(before)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"<body>Hi<body>", 6),
        (b"<BODY bgcolor='>'\n>Hi", 19),
        (b"<!--[if mso]><body><![endif]--><body class=x>", 45),
        (b"<tbody><!-- <body> --><p title='<body>'>", None),
    ],
)
def test_the_body_starts_after_its_tag(body: bytes, expected: int | None) -> None:
    assert scan(body).body_starts == expected


@pytest.mark.parametrize(
    "body",
    [
        b"<!-- ",
        b"<!-- -- >",
        b"<!--[if mso]> <![endif]",
        b"<style>",
        b"<title>",
        b"<script><!-- -->",
        b"<a",
        b"<a href",
        b"<a href='x>",
        b'<p title="',
        b"</p ",
        b"</",
        b"<!",
        b"<!DOCTYPE html",
        b"<?xml",
        b"<plaintext>",
    ],
)
def test_a_body_that_ends_inside_a_construct_is_not_complete(body: bytes) -> None:
    assert not scan(b"<p>Hi" + body).complete


@pytest.mark.parametrize(
    "body", [b"", b"<", b"a<b", b"&", b"<p>", b"</p>", b"<!-->", b"<!--->", b"<!>", b"</>", b"\x00", b"<p>>"]
)
def test_a_body_that_ends_in_text_is_complete(body: bytes) -> None:
    assert scan(body).complete == (body != b"a<b")


def test_a_scan_can_be_pickled() -> None:
    found = scan(b"<body><a href=x>y</a></body>")
    assert pickle.loads(pickle.dumps(found)) == found


# --- against another tokenizer ---------------------------------------------------------------------


def tokens(text: str) -> Iterator[turbohtml.Token]:
    # Mail programs run no scripts: for them `noscript` is an element like others.
    return iter(turbohtml.tokenize(plain_noscript(text)))


def plain_noscript(text: str) -> str:
    return re.sub(r"(?i)noscript", "nosxript", text)


def links_of(text: str) -> list[str]:
    """The links that turbohtml sees, with values as browsers read them."""
    found = []
    for token in tokens(text):
        if token.type is turbohtml.TokenType.START_TAG and re.fullmatch(r"a|area|v:[a-z0-9]+", token.tag or ""):
            found += [dict(token.attrs or ()).get("href") or ""]
    return [value for value in found if value]


def read(value: bytes) -> str:
    """A value as turbohtml gives it: CR LF and CR as LF."""
    text = attribute_text(value.replace(b"\r\n", b"\n").replace(b"\r", b"\n"), "utf-8")
    assert text is not None
    return text


def agrees(text: str) -> None:
    found = scan(text.encode())
    if "[if" not in text.lower():
        assert [plain_noscript(read(anchor.value)) for anchor in found.anchors] == links_of(text)
    assert found.complete == any(map(is_probe, tokens(text + PROBE)))
    if found.complete:
        at = len(text.encode()[: found.notice_at].decode())
        noticed = [token for token in tokens(text[:at] + PROBE + text[at:]) if not is_text(token)]
        assert sum(map(is_probe, noticed)) == 1
        assert [str(token) for token in noticed if not is_probe(token)] == [
            str(token) for token in tokens(text) if not is_text(token)
        ]


def is_text(token: turbohtml.Token) -> bool:
    return token.type is turbohtml.TokenType.TEXT


def is_probe(token: turbohtml.Token) -> bool:
    return (
        token.type is turbohtml.TokenType.START_TAG and token.tag == "div" and "data-probe" in dict(token.attrs or ())
    )


MARKUP = (
    "< > / = \" ' a A b ! ? - -- --> --!> <!-- <!--> <!---> <a <area <A\t href HREF= href=' href=\" =x & &amp; &copy "
    "&copy= &lt; &#x41 &#0; &#150; </a </A> </a> <p> </p > <v:rect <style </style> <script> </script <script "
    "<!--<script> <title> </title> </body> <body </html> <textarea> </textarea\n> <xmp> </xmp/> <!DOCTYPE <![CDATA[ "
    "]]> <?xml ?> <noscript> x y&z \u00e4 \u2028"
)
PIECES = st.sampled_from(MARKUP.split(" "))
BLANKS = st.sampled_from([" ", "\n", "\t", "\f", "\r\n", "\r", "\x0b", "\0", ""])
SOUP = st.lists(st.one_of(PIECES, BLANKS), max_size=40).map("".join)


@given(SOUP)
@example("<a b=c=d href=x>")
@example("<a =href=x>")
@example("<a x= 'y'href=x>")
@example("<a href=x/>")
@example("<script><!--<script></script>")
@example("<!--!><a href=x>-->")
@example("<!--a--!-><a href=x>-->")
@example("</a\t<a href=x>")
def test_soup_is_read_as_another_tokenizer_reads_it(text: str) -> None:
    agrees(text)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_read_as_another_tokenizer_reads_it(text: str) -> None:
    agrees(text)


@given(st.binary())
def test_any_octets_can_be_scanned(body: bytes) -> None:
    found = scan(body)
    assert 0 <= found.notice_at <= len(body)


@pytest.mark.skipif(not SNIPPETS.exists(), reason="the corpus beside the checkout is not there")
def test_the_snippets_of_html5lib_are_read_as_another_tokenizer_reads_them() -> None:
    for line in SNIPPETS.read_text().splitlines():
        snippet = json.loads(line)["html"]
        if any("\ud800" <= letter <= "\udfff" for letter in snippet):
            continue
        agrees(snippet)
        agrees(re.sub(r"<[a-z]+", "<a", snippet))
        agrees(re.sub(r"(?<=[\s/])\w+(?==)", "href", re.sub(r"<\w+", "<a", snippet)) + '<a href="end">')


# --- hostile input ---------------------------------------------------------------------------------


HOSTILE = (
    "<|<a |<a|<a href=\"|<a title='|<a href=x>|<a><b>|<a b=|<a x|</a |</|<!|<?|<!--|<!-- --|<!--[if mso]>|"
    "<a href=x><!--|<!--[if mso]><a href=x>|<script>|<script><!--|<style>|<title></title|<div data-no-track>|= |"
    '"|<v:|<body>|&amp|<a href=x><div data-no-track>|<a href=x><![endif]-->'
)


@pytest.mark.parametrize("piece", HOSTILE.split("|"))
def test_hostile_input_takes_linear_time(piece: str) -> None:
    def seconds(size: int) -> float:
        body = f"<a href=x>{piece * (size // len(piece))}-->".encode()
        begin = time.process_time()
        scan(body)
        return time.process_time() - begin

    assert min(seconds(100_000) for _ in range(2)) < 1  # quadratic time would be minutes
