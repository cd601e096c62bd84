"""Remembers which fields of requests were parsed before, under numbers, so that they need not be parsed again.

Programs send the same fields with every request, but for the address that a proxy of ours adds. Of a hit in one piece
whose fields are known only the path is new. What is remembered is Python's keyed hash of the fields, whose key is drawn
anew for each process: nobody's user agent outlives its request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

KNOWN: Final = 4_096
"""Numbers that a process remembers; of the browsers in use a few hundred make nearly all hits."""
LONGEST: Final = 8_000
"""Octets of a request: below every limit that the parser sets to a part of one."""
# The request line of a hit, up to the line end that begins the fields.
_LINE: Final = re.compile(rb"GET (/[oc]/[A-Za-z0-9._~%:/-]++) HTTP/1\.1(?=\r\n)")
_FIELD: Final = b"\r\nX-Forwarded-For: "
# Nothing but addresses, and the field has no further line.
_FORWARDED: Final = re.compile(_FIELD + rb"([0-9A-Fa-f.:, ]*+)(?=\r\n[^ \t])")


@dataclass(slots=True)
class Head:
    """A GET request in one piece, as far as it is the same in others."""

    path: str
    forwarded: str
    """What X-Forwarded-For says, if a proxy is to be believed."""
    rest: bytes
    """The fields but that one."""
    number: int
    """The keyed hash of `rest`."""


class Heads:
    """The fields that were parsed before."""

    def __init__(self, *, behind_proxy: bool) -> None:
        """BEHIND_PROXY: whether the address in X-Forwarded-For may be another in each request."""
        self._behind_proxy = behind_proxy
        self._known: set[int] = set()

    def read(self, octets: bytes) -> Head | None:
        """OCTETS, which begin where a request does, as one hit and no more; None for anything out of the ordinary."""
        line = _LINE.match(octets)
        if line is None or len(octets) > LONGEST:
            return None
        forwarded, rest = "", octets[line.end() :]
        if self._behind_proxy and _FIELD in rest and (field := _FORWARDED.search(rest)):  # `in` is the faster search
            forwarded, rest = field[1].decode("ascii"), rest[: field.start()] + rest[field.end() :]
        return Head(line[1].decode("ascii"), forwarded, rest, hash(rest))

    def knows(self, head: Head) -> bool:
        """Whether the fields of HEAD were parsed before, and found to be those of a whole hit without a body."""
        return head.number in self._known

    def parsed(self, head: Head, forwarded: Sequence[str]) -> None:
        """The request of HEAD was parsed, has no body, and nothing came with it.

        FORWARDED: its fields X-Forwarded-For, in any spelling. Where HEAD tells of another, each is to be parsed.
        """
        if list(forwarded) != [head.forwarded] * bool(head.forwarded):
            return
        if len(self._known) >= KNOWN:
            self._known.clear()
        self._known.add(head.number)


class Fields(Mapping[str, str]):
    """Fields that are known to be well formed, taken apart when somebody looks: their names are in lower case."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    @cached_property
    def _read(self) -> dict[str, str]:
        fields: dict[str, str] = {}
        for line in self._octets.decode("utf-8", "surrogateescape").split("\r\n"):
            name, colon, value = line.partition(":")
            if colon:
                key, value = name.lower(), value.strip(" \t")
                fields[key] = f"{fields[key]}, {value}" if key in fields else value
        return fields

    def __getitem__(self, name: str) -> str:
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read)

    def __len__(self) -> int:
        return len(self._read)
