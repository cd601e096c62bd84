"""A quoted token is found however it was written, and what is none costs time linear in its size at most."""

from __future__ import annotations

import base64
import quopri
from time import thread_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.core.quotation import quoted_tokens

TOKEN = "A" * 45 + "." + "b-_4" * 5
PIXEL = f'<p>Hi</p><img src="https://t.example.com/o/{TOKEN}.gif" />'
LINK = f'<a href="https://t.example.com/c/{TOKEN}/AQ.xyz/shop.example/">x</a>'
WRAPPED = (
    f'<a href="https://safe.example/?url=https%3A%2F%2Ft.example.com%2Fc%2F{TOKEN}%2FAQ.xyz%2Fshop.example%2F&amp;d=1">'
)
TWICE = f"https://one.example/?u=https%253A%252F%252Ft.example.com%252Fo%252F{TOKEN}.gif"


def part(body: bytes, encoding: str, kind: str = "text/html; charset=utf-8") -> bytes:
    return b"Content-Type: %b\r\nContent-Transfer-Encoding: %b\r\n\r\n%b" % (kind.encode(), encoding.encode(), body)


def multipart(*parts: bytes, kind: str = "mixed") -> bytes:
    inner = b"".join(b"--b\r\n%b\r\n" % one for one in parts)
    return b"Subject: Re: x\r\nContent-Type: multipart/%b; boundary=b\r\n\r\n%b--b--\r\n" % (kind.encode(), inner)


@pytest.mark.parametrize("html", [PIXEL, LINK, WRAPPED, TWICE])
def test_found_in_every_transfer_encoding(html: str) -> None:
    octets = html.encode()
    for message in (
        part(octets, "7bit"),
        part(octets, "8bit"),
        part(quopri.encodestring(octets), "quoted-printable"),
        part(base64.encodebytes(octets), "base64"),
        part(base64.encodebytes(octets), "BASE64").replace(b"\r\n", b"\n"),
        part(base64.encodebytes(html.encode("utf-16")), "base64", "text/html; charset=utf-16"),
        multipart(part(b"Hi", "7bit", "text/plain"), part(base64.encodebytes(octets), "base64")),
        multipart(part(base64.encodebytes(b"x" * 99), "base64", "image/png"), part(octets, "7bit")),
    ):
        assert quoted_tokens(message) == {TOKEN}


def test_found_where_a_survey_may_not_look() -> None:
    quoting = part(base64.encodebytes(PIXEL.encode()), "base64")
    signature = part(b"x", "base64", "application/pkcs7-signature")
    assert quoted_tokens(multipart(quoting, signature, kind="signed")) == {TOKEN}
    attached = b"Content-Type: message/rfc822\r\n\r\nSubject: Offer\r\n" + quoting
    assert quoted_tokens(multipart(part(b"See below", "7bit", "text/plain"), attached)) == {TOKEN}
    assert quoted_tokens(multipart(quoting)[:-20]) == {TOKEN}, "cut short"


def test_several_are_told_apart() -> None:
    other = TOKEN.replace("b", "c")
    assert quoted_tokens(part(f"{PIXEL}{LINK}{PIXEL.replace(TOKEN, other)}".encode(), "7bit")) == {TOKEN, other}


@pytest.mark.parametrize(
    "text", [TOKEN, f"/p/{TOKEN}", f"/o/{TOKEN}x", f"/o/{TOKEN[1:]}", f"/o/{TOKEN.replace('.', '-')}"]
)
def test_what_is_none_of_ours_is_not_found(text: str) -> None:
    assert quoted_tokens(part(text.encode(), "7bit")) == frozenset()


@given(st.binary(max_size=500) | st.lists(st.sampled_from([
    b"content-transfer-encoding: base64\n", b"content-type: text/html\n", b"\n", b"\r\n", b"--b", b"QUJD", b"=", b"/o/",
    b"%2F", TOKEN.encode(), b"quoted-printable", b"\xff",
]), max_size=30).map(b"".join))  # fmt: skip
def test_it_never_fails(message: bytes) -> None:
    quoted_tokens(message)


@pytest.mark.parametrize("piece", [b"content-transfer-encoding: base64\n", b"\n--b\n\n", b"%25", b"/o/AAAA", b"=\n"])
def test_time_is_linear_in_the_size(piece: bytes) -> None:
    def seconds(size: int) -> float:
        message = b"Content-Transfer-Encoding: quoted-printable\n" + piece * (size // len(piece))
        times = []
        for _ in range(5):
            began = thread_time()
            quoted_tokens(message)
            times.append(thread_time() - began)
        return min(times)

    assert seconds(400_000) < 8 * seconds(100_000) + 0.01
