"""Fields are read as mail programs write them, sloppy ones too; what is ambiguous says so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.core import headers
from tracker.core.headers import AMBIGUOUS


def typed(value: bytes) -> headers.ContentType:
    return headers.content_type({b"content-type": [value]})


@pytest.mark.parametrize(
    ("value", "kind", "parameters"),
    [
        (b" text/html", "text/html", {}),
        (b" TEXT/Html ;\r\n\tCHARSET=\"UTF-8\"", "text/html", {"charset": "UTF-8"}),
        (b" text/html; charset=utf-8 (Unicode); format=flowed", "text/html", {"charset": "utf-8", "format": "flowed"}),
        (b' a/b; boundary="a \\"b\\\\ c"', "a/b", {"boundary": 'a "b\\ c'}),
        (b" a/b; boundary=----=_Part_1.2:3?'x", "a/b", {"boundary": "----=_Part_1.2:3?'x"}),
        (b" a/b; boundary = x ;; charset=y;", "a/b", {"boundary": "x", "charset": "y"}),
        (b' a/b; boundary*0="one;"; boundary*1=two', "a/b", {"boundary": "one;two"}),
        (b" a/b; charset*=us-ascii'en'utf%2D8", "a/b", {"charset": "utf-8"}),
        (b" a/b; name=\"a; boundary=no\"; boundary=yes", "a/b", {"name": "a; boundary=no", "boundary": "yes"}),
        (b" text/html charset=utf-8", AMBIGUOUS, {}),
        (b" text/html (comment)", AMBIGUOUS, {}),
        (b" html", AMBIGUOUS, {}),
        (b"", AMBIGUOUS, {}),
        (b" a/b; boundary=x; boundary=y", AMBIGUOUS, {}),
    ],
)  # fmt: skip
def test_content_type(value: bytes, kind: str, parameters: dict[str, str]) -> None:
    found = typed(value)
    assert (found.kind, dict(found.parameters)) == (kind, parameters)


def test_two_content_types_are_ambiguous_unless_they_agree() -> None:
    assert headers.content_type({b"content-type": [b" a/b", b"A/B"]}).kind == "a/b"
    assert headers.content_type({b"content-type": [b" a/b", b"a/c"]}).kind == AMBIGUOUS
    assert headers.content_type({}, "message/rfc822").kind == "message/rfc822"


@pytest.mark.parametrize(
    ("values", "expected"),
    [([], "7bit"), ([b" BASE64  "], "base64"), ([b"8bit", b" 8BIT"], "8bit"), ([b"7bit", b"base64"], AMBIGUOUS)],
)  # fmt: skip
def test_transfer_encoding(values: list[bytes], expected: str) -> None:
    assert headers.transfer_encoding({b"content-transfer-encoding": values}) == expected


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b"anna@example.org", ["anna@example.org"]),
        (b'"Anna, A." <anna@example.org>,\r\n bert@example.org (B, b@c.d)', ["anna@example.org", "bert@example.org"]),
        (b"<@relay.example,@x.example:anna@example.org>", ["anna@example.org"]),
        (b'"a@b"@example.org', ['"a@b"@example.org']),
        (b"team: anna@example.org, <bert@example.org>;", ["anna@example.org", "bert@example.org"]),
        (b"anna@example.org; bert@example.org", ["anna@example.org", "bert@example.org"]),
        (b"Nobody, undisclosed:;", []),
        (b'"unclosed <anna@example.org>', ["anna@example.org"]),
        ("jürgen@bücher.example".encode(), ["jürgen@bücher.example"]),
    ],
)
def test_addresses(value: bytes, found: list[str]) -> None:
    assert list(headers.addresses([value])) == found


@pytest.mark.parametrize(
    ("value", "attachment"),
    [
        (b" inline; filename=x", False),
        (b' "inline"', False),
        (b"", False),
        (b" ATTACHMENT;x", True),
        (b" form-data", True),
    ],
)
def test_disposition(value: bytes, attachment: bool) -> None:
    assert headers.is_attachment({b"content-disposition": [value]}) is attachment


@given(st.binary(max_size=200))
def test_any_value_is_read(value: bytes) -> None:
    typed(value)
    headers.addresses([value])
    headers.read_fields(value)
    headers.has_junk(value)
    headers.unsubscribe_urls({b"list-unsubscribe": [value]})
