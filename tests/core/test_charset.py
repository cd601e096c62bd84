"""A view has markup in plain ASCII, and its places lead back to the body."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.core.charset import view

CHARSETS = [
    "utf-8",
    "iso-8859-1",
    "shift_jis",
    "gb18030",
    "big5",
    "cp949",
    "iso-2022-jp",
    "utf-16",
    "utf-16-be",
    "utf-32",
    "cp037",
]


@given(st.sampled_from(CHARSETS), st.text(), st.text())
def test_markup_is_found_where_it_stands(charset: str, before: str, after: str) -> None:
    """Invariant: a mark between any texts is found, and its place in the body is right."""
    before, after = (
        text.replace("<", "").replace("\x1b", "").encode(charset, "ignore").decode(charset) for text in (before, after)
    )
    body = (before + "<a>" + after).encode(charset)
    found = view(body, charset)
    if found is None:
        assert body.startswith((b"\xff\xfe", b"\xfe\xff")) or charset == "iso-2022-jp"
        return
    at = found.text.index(b"<a>")
    assert found.text.count(b"<") == 1
    start, end = found.places([at, at + 3])
    assert body[:start] + found.written(b"<a>") + body[end:] == body
    assert body[start:end] == found.written(b"<a>")


@pytest.mark.parametrize(
    ("body", "charset"),
    [
        (b"<+AGE-", "utf-7"),
        (b"~{abc~}", "hz-gb-2312"),
        (b"\x0eab\x0f", "iso-2022-kr"),
        (b"<\0a\0>", "utf-16-le"),
        (b"<\0a\0", "utf-16"),
        (b"\xff\xfe<\0", "utf-8"),
        (b"\xff\xfe<\0", None),
        (b"\x1b$B$<\n<a>", "iso-2022-jp"),
    ],
)
def test_what_cannot_be_shown_exactly_is_not_shown(body: bytes, charset: str | None) -> None:
    assert view(body, charset) is None


@pytest.mark.parametrize("charset", [None, "us-ascii", "x-unknown-9", "utf-8", "latin1"])
def test_a_wrong_or_unknown_charset_changes_nothing(charset: str | None) -> None:
    body = b"<p>\xff\x80\xc3\x28"
    found = view(body, charset)
    assert found is not None
    assert found.text == body
