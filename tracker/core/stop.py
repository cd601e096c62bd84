"""Makes and opens the stop token: a pseudonym under authenticated encryption, good for withdrawing and nothing else.

It needs no row, so that whoever holds the mail can say no for as long as the mail exists.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tracker.core.keys import KEY_IDS, KeyRing
from tracker.core.pseudonym import rewrap
from tracker.model import Language, Pseudonym

STOP_TOKEN_SIZE: Final = 84
"""Octets: key id, generation, language (the open four), then 80 of base64url."""
STOP_NONCE_SIZE: Final = 12

_OPEN_PART: Final = 4
# 12 of nonce, 32 of pseudonym and 16 of tag are 60 octets, which base64 holds in 80 characters without slack bits.
_SHAPE: Final = re.compile(r"[A-Za-z0-9_-]{84}")


@dataclass(frozen=True, slots=True)
class StopToken:
    """Who says no, and in which language they were spoken to."""

    pseudonym: Pseudonym
    """As of the newest generation of pseudonym keys."""
    language: Language


class StopTokens:
    """Seals and opens stop tokens with the keys of one ring; retired keys go on opening theirs."""

    def __init__(self, ring: KeyRing) -> None:
        self._pseudonym_keys = ring.pseudonym_keys
        self._generation = KEY_IDS[len(ring.pseudonym_keys) - 1]
        self._ciphers = {key.id: AESGCM(key.stop) for key in ring.signing}

    def seal(self, pseudonym: Pseudonym, language: Language, nonce: bytes, key_id: str) -> bytes:
        """The token for PSEUDONYM (of the newest generation), 84 octets of base64url.

        NONCE: 12 random octets, never used twice. Raises KeyError for an unknown KEY_ID, ValueError for wrong sizes.
        """
        if len(nonce) != STOP_NONCE_SIZE or len(pseudonym) != 32:
            raise ValueError("a stop token holds a nonce of 12 octets and a pseudonym of 32")
        head = f"{key_id}{self._generation}{language.value}".encode("ascii")
        return head + urlsafe_b64encode(nonce + self._ciphers[key_id].encrypt(nonce, pseudonym, head))

    def open(self, text: str) -> StopToken | None:
        """What TEXT says; None for anything that was altered or made elsewhere."""
        if not _SHAPE.fullmatch(text):
            return None
        cipher = self._ciphers.get(text[0])
        generation = KEY_IDS.index(text[1])
        if cipher is None or generation >= len(self._pseudonym_keys):
            return None
        sealed = urlsafe_b64decode(text[_OPEN_PART:])
        head = text[:_OPEN_PART].encode("ascii")
        try:
            opened = cipher.decrypt(sealed[:STOP_NONCE_SIZE], sealed[STOP_NONCE_SIZE:], head)
            return StopToken(
                rewrap(self._pseudonym_keys[generation + 1 :], Pseudonym(opened)), Language(text[2:_OPEN_PART])
            )
        except (InvalidTag, ValueError):
            return None
