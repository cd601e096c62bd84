"""Attribute values are decoded as browsers decode them."""

from __future__ import annotations

import pytest
import turbohtml
from hypothesis import given
from hypothesis import strategies as st

from tracker.core.attribute import attribute_text


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"?a=1&amp;b=2", "?a=1&b=2"),
        (b"?a=1&#38;b=2", "?a=1&b=2"),
        (b"?a=1&#038;b=2", "?a=1&b=2"),
        (b"?a=1&#x26;b=2", "?a=1&b=2"),
        (b"?a=1&#X26b=2", "?a=1\u026b=2"),
        (b"?a=1&b=2", "?a=1&b=2"),
        (b"?a=1&copy=2&lt=3", "?a=1&copy=2&lt=3"),
        (b"?a=1&copyright=2", "?a=1&copyright=2"),
        (b"?a=1&copy", "?a=1\u00a9"),
        (b"?a=1&copy;=2", "?a=1\u00a9=2"),
        (b"?a=1&copy&lt", "?a=1\u00a9<"),
        (b"?q=&quot;x&quot", '?q="x"'),
        (b"&#104;ttps&#58;//x", "https://x"),
        (b"&ampamp;", "&ampamp;"),
        (b"&notit;", "&notit;"),
        (b"&nosuch;", "&nosuch;"),
        (b"&#150;", "\u2013"),
        (b"&#0;&#xD800;&#x110000;&#99999999999999999999;", "\ufffd" * 4),
        (b"&#00000000000000000065;", "A"),
        (b"&#;&#x;&;&", "&#;&#x;&;&"),
        (b"&NotEqualTilde;", "\u2242\u0338"),
    ],
)
def test_character_references_are_those_of_attributes(raw: bytes, expected: str) -> None:
    assert attribute_text(raw, "utf-8") == expected


@pytest.mark.parametrize(
    ("raw", "charset", "expected"),
    [
        (b"\xfc", "iso-8859-1", "ü"),
        (b"\xc3\xbc", "utf-8", "ü"),
        (b"\xc3\xbc", "us-ascii", "ü"),
        (b"\xc3\xbc", "", "ü"),
        (b"\xfc", "us-ascii", None),
        (b"\xfc", "utf-8", None),
        (b"\xfc", "x-unknown-9", None),
        (b"x", "x-unknown-9", "x"),
        (b"\x83\x5c", "shift_jis", "ソ"),
    ],
)
def test_values_are_text_in_their_charset_or_nothing(raw: bytes, charset: str, expected: str | None) -> None:
    assert attribute_text(raw, charset) == expected


SYLLABLES = "& # x X ; = a 6 amp amp; &amp &copy; &copy &not &notin; &#x2 &#65 &lt &LT; &AMP é /"


@given(st.lists(st.sampled_from(SYLLABLES.split(" ")), max_size=12).map("".join))
def test_references_are_read_as_another_tokenizer_reads_them(value: str) -> None:
    token = next(iter(turbohtml.tokenize(f'<a href="{value}">')))
    assert attribute_text(value.encode(), "utf-8") == (dict(token.attrs or ())["href"] or "")


@given(st.binary(), st.sampled_from(["utf-8", "iso-8859-1", "shift_jis", "gb18030", "us-ascii", "nonsense"]))
def test_any_octets_can_be_decoded_or_refused(raw: bytes, charset: str) -> None:
    attribute_text(raw, charset)
