"""Forms are read in memory, whatever was sent."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.doors.forms import MOST_FIELDS, fields
from tracker.model import BadRequest

URLENCODED = "application/x-www-form-urlencoded"
NAMES = st.text(st.characters(codec="utf-8", exclude_characters='";\r\n'), min_size=1, max_size=8).filter(
    lambda name: name == name.strip()
)
VALUES = st.text(st.characters(codec="utf-8", exclude_characters="-"), max_size=20)
PAIRS = st.lists(st.tuples(NAMES, VALUES), max_size=MOST_FIELDS)


@given(PAIRS)
def test_what_a_browser_sends_is_read_either_way(pairs: list[tuple[str, str]]) -> None:
    parts = [f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in pairs]
    multipart = ("".join(parts) + "--b--\r\n").encode()
    assert fields("multipart/form-data; boundary=b", multipart) == pairs
    assert fields(URLENCODED, urlencode(pairs).encode()) == pairs


@given(st.sampled_from([URLENCODED, "multipart/form-data; boundary=b", "text/plain", ""]), st.binary(max_size=400))
def test_anything_else_is_read_as_what_it_seems_or_refused(content_type: str, body: bytes) -> None:
    try:
        assert len(fields(content_type, body)) <= MOST_FIELDS
    except BadRequest:
        assert body.count(b"&") >= MOST_FIELDS


@given(st.text(max_size=60), st.binary(max_size=60))
def test_any_content_type_is_survived(content_type: str, body: bytes) -> None:
    fields(f"multipart/form-data; {content_type}", body)


def test_a_body_of_another_kind_has_no_fields() -> None:
    assert fields("application/json", b"purpose=open") == []


def test_too_many_fields_are_refused() -> None:
    with pytest.raises(BadRequest):
        fields(URLENCODED, b"&".join([b"a=b"] * (MOST_FIELDS + 1)))
