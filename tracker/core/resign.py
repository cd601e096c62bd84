"""Takes DKIM signatures of our own domains out of a message, where the next hop signs again (RFC 6376)."""

from __future__ import annotations

import re
from collections.abc import Set
from typing import Final

LONGEST_HEADER: Final = 262_144
"""Octets that are looked at."""
_END_OF_HEADER: Final = re.compile(rb"(?:\A|\n)\r?\n")
_SIGNATURE: Final = re.compile(rb"(?mi)^dkim-signature[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)\n")
_DOMAIN: Final = re.compile(rb"(?:\A|;)\s*+d\s*+=\s*+([^;\s]*+)")


def without_signatures(message: bytes, domains: Set[str]) -> tuple[bytes, int]:
    """MESSAGE without the signatures whose `d=` is one of DOMAINS (lower-case A-labels), and how many these were.

    Every other octet stays. A signature that names its domain twice is left, and with it the message.
    """
    if not domains:
        return message, 0
    end = _END_OF_HEADER.search(message, 0, LONGEST_HEADER)
    kept: list[bytes] = []
    at = count = 0
    for match in _SIGNATURE.finditer(message, 0, end.start() + 1 if end else 0):
        named = _DOMAIN.findall(match[1])
        if len(named) == 1 and named[0].decode("latin-1").lower() in domains:
            kept.append(message[at : match.start()])
            at = match.end()
            count += 1
    return (b"".join((*kept, message[at:])), count) if count else (message, 0)
