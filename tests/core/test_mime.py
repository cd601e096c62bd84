"""The walker yields spans of what came in, in one pass, whatever the message holds."""

from __future__ import annotations

from collections.abc import Callable
from email import message_from_bytes
from functools import partial
from operator import and_

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.linear import assert_linear
from tracker.core import mime
from tracker.core.mime import Structure
from tracker.model import Reason


def bodies(message: bytes) -> list[bytes]:
    structure = mime.walk(message)
    assert isinstance(structure, Structure)
    return [message[leaf.start : leaf.end] for leaf in structure.leaves]


HEAD = b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n'
INNER = b"Content-Type: multipart/mixed; boundary=c\r\n\r\n"


@pytest.mark.parametrize(
    ("message", "leaves"),
    [
        (b"A: b\r\n\r\nbody\r\n", [b"body\r\n"]),
        (b"A: b\n\nbody", [b"body"]),
        (b"A: b\n\r\nbody", [b"body"]),
        (b"\r\nno header", [b"no header"]),
        (b"From x Mon\nA: b\n\nbody", [b"body"]),
        (HEAD + b"pre\r\n--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--\r\nepilogue", [b"one", b"two"]),
        (HEAD + b"--b \t\r\n\r\none\n--b\n\ntwo\r\n\r\n--b-- \r\n--b\r\n\r\nno", [b"one", b"two\r\n"]),
        (HEAD + b"--b\r\n\r\nthe end is missing\r\n", [b"the end is missing\r\n"]),
        (HEAD + b"--b\r\n\r\n--bc\r\n --b\r\n--b_\r\n-b\r\n--b--", [b"--bc\r\n --b\r\n--b_\r\n-b"]),
        (HEAD + b"--b\r\n\r\n--b\r\nA: header alone\r\n--b--", [b"", b""]),
        (HEAD + b"--b\r\nA: --b\r\n\r\nx\r\n--b--", [b"x"]),
        (HEAD + b"--b\r\n" + INNER + b"--c\r\n\r\nx\r\n--b\r\n\r\ny\r\n--c\r\n", [b"x", b"y\r\n--c\r\n"]),
        (HEAD + b"--b\r\nContent-Type: message/rfc822\r\n\r\n" + INNER + b"--c\r\n\r\nx\r\n--b--",
         [INNER + b"--c\r\n\r\nx"]),
    ],
)  # fmt: skip
def test_leaves_are_spans_of_the_message(message: bytes, leaves: list[bytes]) -> None:
    assert bodies(message) == leaves


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"A: b\r\n", Reason.MALFORMED),
        (b"A: b\r\nno field\r\n\r\nx", Reason.MALFORMED),
        (b"A: b\rB: c\r\n\r\nx", Reason.MALFORMED),
        (b" continued\r\nA: b\r\n\r\nx", Reason.MALFORMED),
        (HEAD + b"no part at all\r\n", Reason.MALFORMED),
        (HEAD + b"--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\nx\r\n--b--", Reason.MALFORMED),
        (HEAD + b"--b\r\njunk\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\nx\r\n--b--", Reason.MALFORMED),
    ],
)
def test_what_programs_read_differently_is_malformed(message: bytes, reason: Reason) -> None:
    assert mime.walk(message) == reason


def test_a_part_with_a_broken_header_is_no_body() -> None:
    structure = mime.walk(HEAD + b"--b\r\nContent-Type: text/html\r\njunk\r\n\r\nx\r\n--b\r\n\r\ny\r\n--b--")
    assert isinstance(structure, Structure)
    assert [leaf.is_body for leaf in structure.leaves] == [False, True]


@settings(deadline=None)
@given(st.lists(st.sampled_from([b"--b", b"--b--", b"--c", b"--c--", b"x", b"", b"A: b"])), st.booleans())
def test_leaves_are_those_of_the_standard_library(lines: list[bytes], crlf: bool) -> None:
    """Invariant: whatever stands between delimiters, both see the same bodies."""
    dashed = [line.startswith(b"--") for line in lines]
    assume(not any(map(and_, dashed, dashed[1:])))  # it takes two delimiters in a row for one, also a closing one
    message = HEAD + b"--b\r\n" + INNER + b"--c\r\n\r\n" + b"".join(line + b"\r\n" for line in lines)
    message = message if crlf else message.replace(b"\r\n", b"\n")
    structure = mime.walk(message)
    if not isinstance(structure, Structure) or not all(leaf.is_body for leaf in structure.leaves):
        return  # it guesses where a broken header ends
    known = message_from_bytes(message)
    theirs = [str(part.get_payload()) for part in known.walk() if not part.is_multipart()]
    ours = [message[leaf.start : leaf.end].decode() for leaf in structure.leaves]
    # It drops the last line end of a message that no delimiter ends; parts without a byte are nobody's concern.
    assert [text.rstrip() for text in theirs if text.strip()] == [text.rstrip() for text in ours if text.strip()]


HOSTILE: dict[str, Callable[[int], bytes]] = {
    "nested multiparts": lambda n: b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (i, i) for i in range(n)
    ) + b"\r\nx",
    "many parts": lambda n: HEAD + b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n" * n + b"--b--",
    "parts without a blank line": lambda n: HEAD + b"--b\r\nA: b\r\n" * n,
    "many header fields": lambda n: b"Received: by x\r\n\tfor y\r\n" * n + b"\r\nx",
    "one long header field": lambda n: b"A: b\r\n" + b" c\r\n" * n + b"\r\nx",
    "dashes": lambda n: HEAD + b"--b\r\n\r\n" + b"--\n" * n,
    "nested messages": lambda n: b"Content-Type: message/rfc822\r\n\r\n" * n,
    "closing delimiters": lambda n: HEAD + b"--b--\r\n" * n,
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_messages_take_linear_time(name: str) -> None:
    assert_linear(lambda size: partial(mime.walk, HOSTILE[name](size)), 2_000, 16_000)
