"""Reads from the head of a message who sent it, which message it is, and whether it answers or forwards another."""

from __future__ import annotations

import re
from binascii import Error as BadBase64
from binascii import a2b_base64, a2b_qp
from dataclasses import dataclass
from typing import Final

from tracker.core import headers
from tracker.core.headers import Fields

_END_OF_HEADER: Final = re.compile(rb"\r?\n\r?\n")

LONGEST_HEADER: Final = 262_144
"""Octets that are read: this is done for every message, before anything is known of it."""
_ANSWERING: Final = (b"in-reply-to", b"references", b"x-forwarded-message-id", b"resent-from")
# What mail programs put before a subject in the languages they speak, with Outlook's and old Lotus' counters.
_PREFIX: Final = re.compile(
    r"\s*+(?:\[[^\]]{1,40}\]\s*+)?"  # the name of a mailing list
    r"(?:re|r|ref|rif|resp?|rép|réf|aw|antw|antwort|sv|vs|vl|odp|ynt|atb|bls"
    r"|fwd?|wg|tr|rv|i|enc|pd|vb|vsl|ilt|doorst"
    r"|回复|答复|回覆|转发|轉寄|返信|転送)"
    r"\s*+(?:[\[(^]\d{1,3}[\])]?\s*+)?[:：]",
    re.IGNORECASE,
)
_LONGEST_PREFIX: Final = 200
"""Octets of a subject that are looked at."""
_ENCODED_WORD: Final = re.compile(rb"\s*+=\?[^?\s]{1,40}+\?([bq])\?([^?\s]*+)\?=", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Glance:
    """What a message says of itself before its body."""

    from_address: str | None
    identity: bytes
    """Message-ID, or Date, From and Subject; the same as a survey's."""
    quotes: bool = False
    """Whether it answers or forwards a message, and so may quote one; rather too often than not."""


def glance(message: bytes) -> Glance:
    """Who sent MESSAGE, which it is and whether it may quote another; never fails, whatever the bytes."""
    end = _END_OF_HEADER.search(message, 0, LONGEST_HEADER)
    fields = headers.read_fields(message[: end.start()] if end else message[:LONGEST_HEADER])
    senders = headers.addresses(fields.get(b"from", ()))
    return Glance(senders[0] if senders else None, headers.identity(fields), _quotes(fields))


def _quotes(fields: Fields) -> bool:
    """Whether FIELDS are those of an answer or a forward (RFC 5322, sections 3.6.4 and 3.6.6, and custom)."""
    if any(name in fields for name in _ANSWERING):
        return True
    return any(_PREFIX.match(_subject_start(subject)) for subject in fields.get(b"subject", ()))


def _subject_start(subject: bytes) -> str:
    """SUBJECT as far as its prefix may reach, with the first encoded word (RFC 2047) decoded, taken for UTF-8."""
    word = _ENCODED_WORD.match(subject)
    if word is None:
        return subject[:_LONGEST_PREFIX].decode("utf-8", "replace")
    try:
        decoded = a2b_base64(word[2]) if word[1] in b"bB" else a2b_qp(word[2], header=True)
    except BadBase64:
        decoded = b""
    return decoded.decode("utf-8", "replace")
