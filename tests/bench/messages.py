"""Makes the messages that are measured: a note, a quoted-printable and a base64 newsletter, one with attachments."""

from __future__ import annotations

import base64
import quopri
import random
from dataclasses import dataclass

WORDS = "the workbench of beech stands in light and waits for hands that know what to do with it".split()  # noqa: SIM905


@dataclass(frozen=True)
class Sample:
    """One message and what it is called."""

    name: str
    message: bytes


def samples() -> tuple[Sample, ...]:
    """The four messages, the same in every run."""
    chance = random.Random(7)
    return (
        Sample("2 kB note", _single(_html(chance, 2_000, 2), "7bit")),
        Sample("27 kB newsletter, quoted-printable, 20 links", _single(_html(chance, 24_500, 20), "quoted-printable")),
        Sample("100 kB newsletter, base64, 60 links", _single(_html(chance, 73_000, 60), "base64")),
        Sample("5 MB with attachments", _attached(chance)),
    )


def _html(chance: random.Random, size: int, links: int) -> str:
    gap = size // links - 110
    body = "".join(
        f'<p style="margin:0">{_prose(chance, gap)} <a href="https://shop.example.com/product/{number}?utm=news&amp;x=1">'
        f"Look</a></p>\r\n"
        for number in range(links)
    )
    return f"<!DOCTYPE html>\r\n<html><body>\r\n{body}</body></html>\r\n"


def _prose(chance: random.Random, size: int) -> str:
    words: list[str] = []
    while sum(map(len, words)) + len(words) < size:
        words.append(chance.choice(WORDS) + ("\r\n" if chance.random() < 0.1 else ""))
    return " ".join(words)


def _single(html: str, encoding: str) -> bytes:
    return _head("text/html; charset=utf-8", encoding) + _encoded(html.encode(), encoding)


def _attached(chance: random.Random) -> bytes:
    attachment = base64.encodebytes(chance.randbytes(3_700_000)).replace(b"\n", b"\r\n")
    return (
        _head('multipart/mixed; boundary="b"', "7bit")
        + b"--b\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        + _encoded(_html(chance, 24_500, 20).encode(), "quoted-printable")
        + b"\r\n--b\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n"
        + b"Content-Disposition: attachment\r\n\r\n"
        + attachment
        + b"--b--\r\n"
    )


def _head(kind: str, encoding: str) -> bytes:
    return (
        "From: jonas@werkstatt-nord.example\r\nTo: anna@example.org\r\nSubject: News\r\nMessage-ID: <bench@x>\r\n"
        f"MIME-Version: 1.0\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    ).encode()


def _encoded(body: bytes, encoding: str) -> bytes:
    if encoding == "quoted-printable":
        return quopri.encodestring(body.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
    if encoding == "base64":
        return base64.encodebytes(body).replace(b"\n", b"\r\n")
    return body
