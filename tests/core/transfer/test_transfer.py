"""Every transfer encoding splices exactly: what comes out decodes to the edited text, and the rest stays as it was."""

from __future__ import annotations

import re
from base64 import b64decode, encodebytes
from binascii import a2b_qp
from quopri import encodestring

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tracker.core.transfer import base64, quoted_printable
from tracker.core.transfer.identity import Identity
from tracker.core.transfer.pieces import Edit, Encoded, Form, Slot, Transfer

TOKENS = {Slot.DELIVERY: b"D" * 65 + b"d", Slot.STOP: b"S" * 83 + b"s"}


def filled(pieces: Encoded) -> bytes:
    return b"".join(piece.fill(TOKENS[piece.slot]) if isinstance(piece, Form) else piece for piece in pieces)


def plain(content: tuple[bytes | Slot, ...]) -> bytes:
    return b"".join(TOKENS[piece] if isinstance(piece, Slot) else piece for piece in content)


def longest(text: bytes) -> int:
    return max(map(len, re.split(rb"\r?\n", text)))


def edited(body: bytes, edits: list[Edit]) -> bytes:
    out, at = b"", 0
    for edit in edits:
        out += body[at : edit.start] + plain(edit.content)
        at = edit.end
    return out + body[at:]


@st.composite
def changes(draw: st.DrawFn, size: int) -> list[Edit]:
    places = sorted(draw(st.lists(st.integers(0, size), max_size=8)))
    contents = st.sampled_from(
        [
            (b"https://t/c/", Slot.DELIVERY, b"/link/host/"),
            (b'<a href="', Slot.STOP, b'">=' + b"x" * 90),
            (b"ab", Slot.DELIVERY, b".gif"),
        ]
    )
    return [Edit(start, end, draw(contents)) for start, end in zip(places[::2], places[1::2], strict=False)]


TEXT = st.lists(st.sampled_from([b"abc", b" ", b"=", b"\xc3\xa9", b"\r\n", b".", b"x" * 70, b"\t", b"<a>"])).map(
    b"".join
)


@given(st.data(), TEXT)
def test_quoted_printable_decodes_to_the_edited_text(data: st.DataObject, text: bytes) -> None:
    encoded = encodestring(text.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
    part = quoted_printable.read(encoded, b"\r\n")
    assert part.body == text
    edits = data.draw(changes(len(text)))
    out = filled(part.splice(edits))
    assert a2b_qp(out) == edited(text, edits)
    assert longest(out) <= max(76, longest(encoded))  # the standard library's own lines may have 77


@given(
    st.data(),
    st.lists(st.sampled_from([b"=", b"=3d", b"=3D", b"\n", b"\r\n", b"=\n", b"= \n", b"=\r", b"a", b" ", b"=="])),
)
def test_quoted_printable_of_any_kind_is_mapped_as_the_decoder_reads_it(
    data: st.DataObject, pieces: list[bytes]
) -> None:
    encoded = b"".join(pieces)
    part = quoted_printable.read(encoded, b"\n")
    at = data.draw(st.integers(0, len(part.body)))
    out = filled(part.splice([Edit(at, at, (b"<", Slot.DELIVERY, b">"))]))
    assume(part.is_clear(max(0, at - 1), min(at + 1, len(part.body))))
    assert a2b_qp(out) == edited(part.body, [Edit(at, at, (b"<", Slot.DELIVERY, b">"))])


def test_quoted_printable_lines_without_an_edit_keep_their_encoding() -> None:
    encoded = b"caf=c3=a9 =3d \r\na=\r\nb LINK c  \r\n=41=42\r\n"
    out = filled(quoted_printable.read(encoded, b"\r\n").splice([Edit(13, 17, (b"u", Slot.DELIVERY, b"v"))]))
    assert out.startswith(b"caf=c3=a9 =3d \r\na=\r\nb ")
    assert out.endswith(b" c  \r\n=41=42\r\n")


@pytest.mark.parametrize(
    ("encoded", "clear"),
    [
        (b"ab=3D=\r\ncd", True),
        (b"ab=zz", False),
        (b"ab \r\ncd", False),
        (b"a\rb", False),
        (b"=zz ab=3Dcd", False),
        (b"=zz abcd", False),
    ],
)
def test_quoted_printable_that_decoders_read_differently_is_not_clear(encoded: bytes, clear: bool) -> None:
    part = quoted_printable.read(encoded, b"\r\n")
    assert part.is_clear(0, len(part.body)) is clear


@given(
    st.data(),
    TEXT,
    st.sampled_from([4, 60, 72, 76, 80]),
    st.sampled_from([b"\n", b"\r\n"]),
    st.sampled_from([b"", b"\n", b"\r\n\r\n"]),
)
def test_base64_decodes_to_the_edited_text(
    data: st.DataObject, text: bytes, width: int, eol: bytes, end: bytes
) -> None:
    letters = encodebytes(text).replace(b"\n", b"")
    encoded = eol.join(letters[at : at + width] for at in range(0, len(letters), width)) + end
    part = base64.read(encoded, eol)
    assert part is not None
    assert part.body == text
    edits = data.draw(changes(len(text)))
    out = filled(part.splice(edits))
    assert b64decode(out) == edited(text, edits)
    lines = out.rstrip(b"\r\n").split(eol)
    assert max(map(len, lines)) <= max(width, 76)
    assert b"" not in lines or not text


def test_base64_keeps_the_lines_before_and_as_many_as_fall_alike_after() -> None:
    text = bytes(range(256)) * 4
    encoded = encodebytes(text)
    part = base64.read(encoded, b"\n")
    assert part is not None
    edit = Edit(500, 503, (b"abc", Slot.DELIVERY, b"def"))  # grows by 69, a multiple of three
    out = filled(part.splice([edit]))
    assert out.startswith(encoded[: 500 // 57 * 77])
    assert out.endswith(encoded[(503 // 57 + 1) * 77 :])


@pytest.mark.parametrize("encoded", [b"YWJj!ZGVm", b"YQ==YWJj", b"YWJjZ", b"YWJj\0", b"=", b"YR="])
def test_dirty_base64_is_not_read(encoded: bytes) -> None:
    assert base64.read(encoded, b"\n") is None


@pytest.mark.parametrize("encoded", [b"YWJj\n\n ZGVm\n", b"YWJj\nZGVmZ2hp\nag", b"\r\nYWJj", b"YWJjZA"])
def test_odd_but_unambiguous_base64_is_encoded_again(encoded: bytes) -> None:
    part = base64.read(encoded, b"\n")
    assert part is not None
    edit = Edit(1, 2, (b"abc", Slot.DELIVERY, b"def"))
    assert b64decode(filled(part.splice([edit]))) == edited(part.body, [edit])


@given(st.data(), TEXT)
def test_identity_is_the_edited_text(data: st.DataObject, text: bytes) -> None:
    edits = data.draw(changes(len(text)))
    part: Transfer = Identity(text, b"\r\n")
    assert filled(part.splice(edits)) == edited(text, edits)


@given(st.data(), st.lists(st.sampled_from([b"x" * 300, b"y" * 700, b"\n", b"\r\n", b"\r", b"z"])).map(b"".join))
def test_identity_never_makes_another_line_too_long(data: st.DataObject, text: bytes) -> None:
    """Invariant: no more lines over 998 octets than before."""
    edits = data.draw(changes(len(text)))
    at = data.draw(st.integers(0, len(text)))
    assume(all(edit.end <= at or edit.start >= at for edit in edits))
    notice = Edit(at, at, (b"<div data\nx", Slot.STOP, b"\n</div>"))
    kept = Identity(text, b"\n").fitting(edits, notice)
    if kept is None:
        return
    before, after = text, filled(Identity(text, b"\n").splice(kept))
    assert too_long(after) <= too_long(before)


def too_long(text: bytes) -> int:
    return sum(len(line) > 998 for line in text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"))


@given(st.binary(max_size=300), st.booleans())
def test_counting_escapes_leads_to_the_same_places_as_decoding_line_by_line(body: bytes, crlf: bool) -> None:
    encoded = encodestring(body.replace(b"\r", b""))
    encoded = encoded.replace(b"\n", b"\r\n") if crlf else encoded
    part = quoted_printable.read(encoded, b"\n")
    assert part.regular
    size = len(part.body)
    counted, mapped = quoted_printable._RegularPlaces(encoded, size), quoted_printable._Places(encoded)
    for place in (*range(size + 1), *range(size, -1, -7)):
        assert counted.start_of(place) == mapped.start_of(place)
        assert counted.end_of(place) == mapped.end_of(place)


@pytest.mark.parametrize("encoded", [b"a=b", b"a==41", b"a=", b"a=\rb\n", b"a\rb", b"a= \r\nb", b"=4", b"=G1=\n"])
def test_broken_quoted_printable_is_not_counted_through(encoded: bytes) -> None:
    assert not quoted_printable.read(encoded, b"\n").regular
