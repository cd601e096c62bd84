"""What MAIL and RCPT name, and where data ends, however it comes in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.core.smtp_lines import (
    LONGEST_LINE,
    Path,
    end_of_data,
    has_bare_line_end,
    has_long_line,
    read_path,
    unstuffed,
)


@pytest.mark.parametrize(
    ("argument", "path"),
    [
        ("FROM:<a@b.example>", Path("a@b.example")),
        ("from: <a@b.example> SIZE=10 BODY=8BITMIME", Path("a@b.example", {"SIZE": "10", "BODY": "8BITMIME"})),
        ("FROM:<>", Path("")),
        ("FROM:a@b.example smtputf8", Path("a@b.example", {"SMTPUTF8": None})),
        ("FROM:<@relay.example,@two.example:a@b.example>", Path("a@b.example")),
        ('FROM:<"a > b"@c.example>', Path('"a > b"@c.example')),
        ("FROM:<ä@b.example>", Path("ä@b.example")),
        ("FROM:<a@b.example> ENVID=a=b", Path("a@b.example", {"ENVID": "a=b"})),
        ("TO:<a@b.example>", None),
        ("FROM:<a@b.example", None),
        ("FROM:<a@b.example>x", None),
        ("FROM:<a@b.example> SIZE=1 SIZE=2", None),
        ("FROM:<a\r@b.example>", None),
        ("FROM:<a @b.example>", None),
        ("FROM:<\udcff@b.example>", None),
        ("FROM:<a@b.example> X=\x00", None),
        ("", None),
    ],
)
def test_a_path_is_read_or_refused(argument: str, path: Path | None) -> None:
    assert read_path(argument, "FROM:") == path


texts = st.lists(st.sampled_from([b".", b"..", b"a", b"\r\n", b"\r\n.", b"\r\n..", b".\r\n"]), max_size=12)


@given(texts, st.lists(st.integers(1, 5)))
def test_what_is_stuffed_comes_out_as_it_was_in_whatever_pieces(parts: list[bytes], sizes: list[int]) -> None:
    message = b"".join(parts)
    message += b"" if message.endswith(b"\r\n") or not message else b"\r\n"
    stuffed = (b"." if message.startswith(b".") else b"") + message.replace(b"\r\n.", b"\r\n..") + b".\r\n"
    wire = stuffed + b"MAIL"
    octets = bytearray()
    searched = at = 0
    end = -1
    while end < 0:
        size = sizes[at % len(sizes)] if sizes else 3
        octets += wire[len(octets) : len(octets) + size]
        end = end_of_data(octets, searched)
        searched = len(octets)
        at += 1
    assert end == len(stuffed)
    assert unstuffed(octets[:end]) == message


@pytest.mark.parametrize("octets", [b"a\nb\r\n", b"a\rb\r\n", b"\r\r\n", b"\n", b"a\r\n\r"])
def test_bare_line_ends_are_seen(octets: bytes) -> None:
    assert has_bare_line_end(octets)
    assert not has_bare_line_end(octets.replace(b"\r\n", b"").replace(b"\r", b"").replace(b"\n", b"") + b"\r\n")


@given(st.lists(st.integers(0, 2 * LONGEST_LINE), max_size=6))
def test_long_lines_are_seen(lengths: list[int]) -> None:
    message = b"".join(b"x" * length + b"\r\n" for length in lengths)
    assert has_long_line(message) == any(length + 2 > LONGEST_LINE for length in lengths)
