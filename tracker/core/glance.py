"""Reads from the head of a message who sent it and which message it is, for counting copies that leave untouched."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from tracker.core import headers

_END_OF_HEADER: Final = re.compile(rb"\r?\n\r?\n")


@dataclass(frozen=True, slots=True)
class Glance:
    """What a message says of itself before its body."""

    from_address: str | None
    identity: bytes
    """Message-ID, or Date, From and Subject; the same as a survey's."""


def glance(message: bytes) -> Glance:
    """Who sent MESSAGE, and which it is; never fails, whatever the bytes."""
    end = _END_OF_HEADER.search(message)
    fields = headers.read_fields(message[: end.start()] if end else message)
    senders = headers.addresses(fields.get(b"from", ()))
    return Glance(senders[0] if senders else None, headers.identity(fields))
