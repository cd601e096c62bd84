"""Finds delivery tokens in an answer or a forward, also where nothing may be changed: signed, broken, attached.

The law: it looks at octets, not at structure, so that no way of writing a message hides a quotation from it; time is
linear in the size. What it finds may be anything of a token's shape: whether it is one, its MAC tells.
"""

from __future__ import annotations

import re
from binascii import Error as BadBase64
from binascii import a2b_base64, a2b_qp
from collections.abc import Iterator
from typing import Final

# Programs that check links wrap them (`?url=https%3A%2F%2Ft.example.com%2Fo%2F...`), so a slash may stand encoded.
# No base URL here: a proxy may have changed it.
_TOKEN: Final = re.compile(
    rb"(?:/|%(?:25)*+2[Ff])[oc](?:/|%(?:25)*+2[Ff])([A-Za-z0-9_-]{45}\.[A-Za-z0-9_-]{20})(?![A-Za-z0-9_-])"
)
_QUOTED_PRINTABLE: Final = re.compile(rb"(?i)quoted-printable")
_BASE64: Final = re.compile(rb"(?im)^content-transfer-encoding[ \t]*+:(?:[ \t]|\r?\n[ \t])*+base64")
_TYPE: Final = re.compile(rb"(?im)^content-type[ \t]*+:(?:[ \t]|\r?\n[ \t])*+([a-z]*+)")
_BLANK_LINE: Final = re.compile(rb"\n\r?\n")
_READ_BY_PEOPLE: Final = frozenset({b"text", b"message", b"multipart"})


def quoted_tokens(message: bytes) -> frozenset[str]:
    """What looks like a delivery token in MESSAGE, in whatever part and transfer encoding; never fails."""
    found = set(_TOKEN.findall(message))
    if _QUOTED_PRINTABLE.search(message):
        found.update(_TOKEN.findall(a2b_qp(message)))
    for body in _base64_bodies(message):
        found.update(_TOKEN.findall(body))
    return frozenset(token.decode("ascii") for token in found)


def _base64_bodies(message: bytes) -> Iterator[bytes]:
    """The base64 bodies of MESSAGE that hold text, decoded; zero octets (of UTF-16) left out."""
    at = 0
    while encoding := _BASE64.search(message, at):
        blank = _BLANK_LINE.search(message, encoding.end())
        if blank is None:
            return
        # The part's header begins after its delimiter; of two fields, the one nearest to the body is the part's own.
        header = message[max(at, message.rfind(b"\n--", at, encoding.start())) : blank.start() + 1]
        end = message.find(b"\n--", blank.end())
        at = blank.end() if end < 0 else end
        kinds = _TYPE.findall(header)
        if kinds and kinds[-1].lower() not in _READ_BY_PEOPLE:
            continue
        yield _decoded(message[blank.end() : None if end < 0 else end]).replace(b"\0", b"")


def _decoded(body: bytes) -> bytes:
    """BODY, a base64 one, decoded; also one that was cut short."""
    try:
        return a2b_base64(body)
    except BadBase64:
        pass
    try:
        return a2b_base64(body + b"A==")
    except BadBase64:
        return b""
