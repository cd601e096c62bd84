"""The whole rewriter against an independent HTML tokenizer (turbohtml), on soup made of the standard's own snippets.

Invariant: in a body that was rewritten, turbohtml reads the same tokens as before, but for the notice's own, which
follow each other without anything between, and for the `href` values of tracked links, each of which is one attribute
value before and after; and each opens what a browser would have opened. What is left
untouched is empty, or ends inside a construct.
"""

from __future__ import annotations

import json
import re
from base64 import decodebytes, encodebytes
from functools import cache
from pathlib import Path

import pytest
import turbohtml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.rewriting import PLAN_ID, POLICY, SIGNER, TRACKED, rewritten
from tracker.core import target
from tracker.core.survey import SurveyPolicy

SNIPPETS = Path(__file__).parents[3] / "shared/corpus/html5lib-tokens.jsonl"
HEAD = b"From: a@shop.example\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
URL = "https://shop.example/?A=1&b"
LINKS = st.sampled_from(
    [f'<a href="{URL}">x</a>', f"<A HREF='{URL}'>", f"<a/href={URL}>", f"<area href = {URL} >", f'<a x=y href="{URL}"',
     f'<a href="{URL}', "<a href=", f"href={URL}", f"'{URL}'", f'"{URL}"', URL, "<a", "</a>", ">", "<!--", "-->"]
)  # fmt: skip
WITH_VISIBLE = SurveyPolicy(POLICY.public_urls, rewrite_visible_urls=True)
NOTICE = ("data-tracker", "notice")
Token = tuple[str, str, tuple[tuple[str, str], ...], str]


@cache
def snippets() -> tuple[str, ...]:
    if not SNIPPETS.exists():
        return ("<!DOCTYPE html>", "<p>", "<!-- x -->", "<script><!--<script></script>", "<title></ title></title>")
    found = (json.loads(line)["html"] for line in SNIPPETS.read_text().splitlines())
    return tuple(snippet for snippet in found if not any("\ud800" <= letter <= "\udfff" for letter in snippet))


@st.composite
def soup(draw: st.DrawFn) -> str:
    """Snippets, cut anywhere, with links between and within them."""
    pieces = []
    for _ in range(draw(st.integers(1, 3))):
        snippet = draw(st.sampled_from(snippets()))
        cut = draw(st.integers(0, len(snippet)))
        pieces += [snippet[:cut], draw(LINKS), snippet[cut:] if draw(st.booleans()) else ""]
    return "".join(pieces)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(soup())
def test_soup_of_the_standards_snippets_is_changed_in_its_links_alone(text: str) -> None:
    agrees(text)


@pytest.mark.skipif(not SNIPPETS.exists(), reason="the shared corpus is not beside the checkout")
def test_a_link_after_each_of_the_standards_snippets_is_tracked_or_the_snippet_does_not_end() -> None:
    for snippet in snippets():
        agrees(f'{snippet}<a href="{URL}">x</a>')


def agrees(text: str) -> None:
    text = without_noscript(text)
    one = rewritten(HEAD + encodebytes(text.encode()), policy=WITH_VISIBLE)
    if one is None:
        assert not text.encode().strip() or not any(tag == "x-probe" for _, tag, _, _ in tokens(text + "<x-probe>"))
        return
    before, after = tokens(text), tokens(decodebytes(one.after[len(HEAD) :]).decode())
    start, end = notice(after)
    del after[start : end + 1]
    seen = [url for url in hrefs(after) if TRACKED.fullmatch(url.encode())]
    if "[if" not in text.lower():  # what Outlook reads is a comment here
        assert len(seen) == one.plan.links_tracked
        assert [opened(url) for url in seen] == [link.target for link in one.seen.links]
        was, now = hrefs(before), hrefs(after)
        assert all(opened(new) == URL for old, new in zip(was, now, strict=True) if old == URL)
    assert with_targets(after) == with_targets(before)


def tokens(text: str) -> list[Token]:
    """What turbohtml reads, with text in one piece."""
    out: list[Token] = []
    for token in turbohtml.tokenize(text):
        attributes = tuple((name, value or "") for name, value in token.attrs or ())
        one = (str(token.type), token.tag or token.name or "", attributes, token.data or "")
        if out and out[-1][0] == one[0] == str(turbohtml.TokenType.TEXT):
            one = (*one[:3], out.pop()[3] + one[3])
        out.append(one)
    return out


def notice(found: list[Token]) -> tuple[int, int]:
    """Where the notice begins and ends in what was FOUND; it stands there once."""
    starts = [at for at, (_, tag, attributes, _) in enumerate(found) if tag == "div" and NOTICE in attributes]
    assert len(starts) == 1
    tags = [(tag, kind) for kind, tag, _, _ in found[starts[0] : starts[0] + 10] if tag]
    kinds = [str(turbohtml.TokenType.START_TAG), str(turbohtml.TokenType.END_TAG)]
    assert tags[:5] == [("div", kinds[0]), ("a", kinds[0]), ("a", kinds[1]), ("img", kinds[0]), ("div", kinds[1])]
    return starts[0], next(at for at in range(starts[0], len(found)) if found[at][:2] == (kinds[1], "div"))


def hrefs(found: list[Token]) -> list[str]:
    """The values of links, in order."""
    links = [attributes for kind, tag, attributes, _ in found if is_link(kind, tag)]
    return [dict(reversed(attributes)).get("href", "") for attributes in links]


def is_link(kind: str, tag: str) -> bool:
    return kind == str(turbohtml.TokenType.START_TAG) and re.fullmatch(r"a|area|v:[a-z0-9]+", tag) is not None


def opened(url: str) -> str | None:
    found = TRACKED.fullmatch(url.encode())
    return None if found is None else SIGNER.read(PLAN_ID, found["part"].decode(), found["host"].decode())


def with_targets(found: list[Token]) -> list[Token]:
    """FOUND with each web link's value as what it opens, also in comments, and text in one piece."""
    out: list[Token] = []
    for kind, tag, attributes, data in found:
        if is_link(kind, tag):
            named = dict(reversed(attributes))
            value = named.get("href", "")
            target_of = opened(value) or target.resolve(value) or value
            attributes = tuple((name, target_of if name == "href" else one) for name, one in named.items())
        if kind == str(turbohtml.TokenType.COMMENT):
            data = TRACKED.sub(lambda match: (opened(match[0].decode()) or "").encode(), data.encode()).decode()
        if out and out[-1][0] == kind == str(turbohtml.TokenType.TEXT):
            data = out.pop()[3] + data
        out.append((kind, tag, attributes, data))
    return out


def without_noscript(text: str) -> str:
    """Mail programs run no scripts: for them `noscript` is an element like others."""
    return re.sub(r"(?i)noscript", "nosxript", text)
