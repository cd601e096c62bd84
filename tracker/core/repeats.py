"""Tells messages apart that differ in nothing but whom they name, and carries a survey over from one to the other.

The law: two messages of the same shape have the same body and the same fields that a survey reads, byte for byte, but
for those in OF_ONE_COPY, of which a survey keeps no more than `carried` reads anew. A survey that is kept holds nothing
of those, nor of any field that it does not read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Final

from tracker.core import headers
from tracker.core.survey import Refused, Survey

OF_ONE_COPY: Final = frozenset({b"to", b"cc", b"date", b"message-id", b"subject"})
"""What a survey reads and a mail system that calls once for each recipient writes differently each time."""
READ: Final = frozenset({b"from", b"auto-submitted", b"return-path", b"list-unsubscribe"})
"""What else a survey reads, beside the `Content-` fields. Of all others it matters at most whether they are there."""

_END_OF_HEADER: Final = re.compile(rb"\n\r?\n")
_NAME: Final = re.compile(rb"(?m)^([!-9;-~]++)[ \t]*+:")
_FIELD_READ: Final = re.compile(
    rb"(?mi)^(?:%b|content-[!-9;-~]++)[ \t]*+:[^\n]*+(?:\n[ \t][^\n]*+)*+" % b"|".join(sorted(READ))
)


@dataclass(frozen=True, slots=True)
class Shape:
    """What two copies of one mailing have in common."""

    digest: bytes
    head: int
    """Octets before the body."""


def shape(message: bytes) -> Shape | None:
    """The shape of MESSAGE; None for one without a clean header, which is not worth remembering."""
    end = _END_OF_HEADER.search(message)
    if end is None or message.startswith((b"\n", b"\r", b"From ", b">From ")):
        return None
    head = end.end()
    block = message[: end.start() + 1]
    if headers.has_junk(block):
        return None
    digest = blake2b(b"\n".join(_NAME.findall(block)).lower(), digest_size=32)
    digest.update(b"\0%b\0%d\0" % (b"\n".join(_FIELD_READ.findall(block)), head - len(block)))
    digest.update(memoryview(message)[head:])
    return Shape(digest.digest(), head)


def stripped(survey: Survey | Refused, head: int) -> Survey | Refused:
    """SURVEY of a message with HEAD octets before its body, without anything of the copy it was made from."""
    if isinstance(survey, Refused):
        return survey
    return replace(_shifted(survey, -head), message=b"", identity=b"", message_id=None, named_recipients=0)


def carried(survey: Survey | Refused, message: bytes, head: int) -> Survey | Refused:
    """The stripped SURVEY, carried over to MESSAGE of the same shape with HEAD octets before its body."""
    if isinstance(survey, Refused):
        return survey
    fields = headers.read_fields(message[:head])
    named = headers.addresses((*fields.get(b"to", ()), *fields.get(b"cc", ())))
    return replace(
        _shifted(survey, head),
        message=message,
        identity=headers.identity(fields),
        message_id=headers.message_id(fields),
        named_recipients=len({name.casefold() for name in named}),
    )


def _shifted(survey: Survey, by: int) -> Survey:
    text = survey.text
    return replace(
        survey,
        bodies=tuple(replace(body, start=body.start + by, end=body.end + by) for body in survey.bodies),
        text=None if text is None else replace(text, start=text.start + by, end=text.end + by),
    )
