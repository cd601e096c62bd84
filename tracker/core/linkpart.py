"""Packs a link's target into a URL segment of its own, signed, and bound to the plan and to the host that is shown.

A segment is base64url of one octet of flags and what the URL says beyond them, a dot, and the MAC. The host stands in
the tracked URL anyway, for people to see; where the target says no more than that before its path, it is not repeated.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Final
from urllib.parse import quote

from tracker.core import base64url

KNOWN_PARTS: Final = 1_000
"""Link parts whose targets are remembered under one key: those of a campaign are followed by many."""

_HTTPS: Final = 1
_HOST_OMITTED: Final = 2
_WHOLE: Final = 4
"""The segment holds the whole URL, for its scheme is not written in lower case."""

_MAC_SIZE: Final = 15  # 20 characters of base64 without slack bits
_PERSON: Final = b"tracker link"
_SHAPE: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{20})")
_HOST: Final = re.compile(r"[A-Za-z0-9._~%:-]+")
# A backslash before the path would be a slash to browsers, and so another host than the one shown.
_TARGET: Final = re.compile(r"([Hh][Tt][Tt][Pp][Ss]?)://([^/?#\\]+)([/?#].*)?")
_PRINTABLE: Final = re.compile(r"[!-~]+")
_PORT: Final = re.compile(r":[0-9]*\Z")


@dataclass(frozen=True, slots=True)
class LinkPart:
    """The two segments of a tracked URL that follow the delivery token, in characters that need no escaping."""

    part: bytes
    host: bytes


class LinkSigner:
    """Signs and reads link parts with one key."""

    def __init__(self, key: bytes) -> None:
        self._keyed = blake2b(key=key, digest_size=_MAC_SIZE, person=_PERSON)
        self._remembered = lru_cache(KNOWN_PARTS)(self._read)

    def sign(self, plan: bytes, target: str) -> LinkPart:
        """The segments that lead to TARGET from the copies of PLAN (5 octets).

        TARGET: an absolute http or https URL in printable ASCII. Raises ValueError for anything else.
        """
        match = _TARGET.fullmatch(target) if _PRINTABLE.fullmatch(target) else None
        host = "" if match is None else _shown(match[2])
        if match is None or not host:
            raise ValueError("a target is an absolute http or https URL in printable ASCII")
        scheme, authority, rest = match.groups("")
        if not scheme.islower():
            flags, said = _WHOLE, target
        elif authority == host:
            flags, said = _HTTPS * (scheme == "https") | _HOST_OMITTED, rest
        else:
            flags, said = _HTTPS * (scheme == "https"), authority + rest
        payload = bytes((flags,)) + said.encode("ascii")
        shown = host.encode("ascii")
        return LinkPart(base64url.encode(payload) + b"." + base64url.encode(self._mac(plan, shown, payload)), shown)

    def read(self, plan: bytes, part: str, host: str) -> str | None:
        """The target, exactly as it was signed; None when PART or HOST was altered or belongs to another plan."""
        return self._remembered(plan, part, host)

    def _read(self, plan: bytes, part: str, host: str) -> str | None:
        match = _SHAPE.fullmatch(part)
        if match is None or not _HOST.fullmatch(host):
            return None
        try:
            payload = base64url.decode(match[1].encode("ascii"))
        except ValueError:
            return None
        shown = host.encode("ascii")
        if not hmac.compare_digest(match[2].encode("ascii"), base64url.encode(self._mac(plan, shown, payload))):
            return None
        if base64url.encode(payload) != match[1].encode("ascii"):  # slack bits that decoding ignores
            return None
        flags, rest = payload[0], payload[1:].decode("ascii")
        if flags & _WHOLE:
            return rest
        return f"http{'s' * (flags & _HTTPS)}://{host if flags & _HOST_OMITTED else ''}{rest}"

    def _mac(self, plan: bytes, shown: bytes, payload: bytes) -> bytes:
        # The plan has a fixed length and no host contains NUL: no two links have the same input.
        mac = self._keyed.copy()
        mac.update(b"%b%b\0%b" % (plan, shown, payload))
        return mac.digest()


def _shown(authority: str) -> str:
    """The host of AUTHORITY as the tracked URL shows it: lower case, no user name, no port, no brackets."""
    host = _PORT.sub("", authority.rpartition("@")[2])
    return quote(host.strip("[]").lower(), safe="%:~")
