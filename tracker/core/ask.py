"""Makes and opens the ask token: whom it asks for what, under authenticated encryption, good for one answer.

The law: only what the tracker itself mailed to the address says so (`mailed`), and a retired key's token asks nothing.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from struct import Struct
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tracker.core.keys import KEY_IDS, KeyRing
from tracker.core.pseudonym import rewrap
from tracker.model import Language, Pseudonym, Purpose

ASK_NONCE_SIZE: Final = 12
LONGEST_VERSION: Final = 256
"""Octets of a notice version."""

_OPEN_PART: Final = 2  # key id and generation of pseudonym keys
_SHAPE: Final = re.compile(r"[A-Za-z0-9_-]{92,450}")
_CONTENT: Final = Struct(">32sB2sI")  # the notice version follows
_BITS: Final = {Purpose.OPEN: 1, Purpose.CLICK: 2}
_MAILED: Final = 4


@dataclass(frozen=True, slots=True)
class AskToken:
    """One question to one person."""

    pseudonym: Pseudonym
    """As of the newest generation of pseudonym keys."""
    purposes: frozenset[Purpose]
    language: Language
    expires: datetime
    """Aware; kept in whole seconds."""
    notice_version: str
    mailed: bool
    """Whether the tracker itself mailed it to the address: whoever has it reads that mailbox."""
    retired: bool = False
    """Set by opening: its key was retired, so that anybody may have made it."""


class AskTokens:
    """Seals and opens ask tokens with the keys of one ring."""

    def __init__(self, ring: KeyRing) -> None:
        self._pseudonym_keys = ring.pseudonym_keys
        self._generation = KEY_IDS[len(ring.pseudonym_keys) - 1]
        self._ciphers = {key.id: (AESGCM(key.ask), key.retired) for key in ring.signing}

    def seal(self, token: AskToken, nonce: bytes, key_id: str) -> str:
        """TOKEN as text of `A-Za-z0-9_-`.

        NONCE: 12 random octets, never used twice. Raises KeyError for an unknown KEY_ID, ValueError for what does not
        fit.
        """
        version = token.notice_version.encode()
        expires = int(token.expires.timestamp())
        fits = len(nonce) == ASK_NONCE_SIZE and len(token.pseudonym) == 32 and 0 <= expires < 2**32
        if not fits or not 1 <= len(version) <= LONGEST_VERSION or not token.purposes or token.purposes - _BITS.keys():
            raise ValueError("a field of the ask token does not fit")
        flags = sum(_BITS[purpose] for purpose in token.purposes) | (_MAILED if token.mailed else 0)
        content = _CONTENT.pack(token.pseudonym, flags, token.language.value.encode(), expires) + version
        head = f"{key_id}{self._generation}"
        cipher, _ = self._ciphers[key_id]
        return head + _encoded(nonce + cipher.encrypt(nonce, content, head.encode()))

    def open(self, text: str) -> AskToken | None:
        """What TEXT says, expired or not; None for anything that was altered or made elsewhere."""
        if not _SHAPE.fullmatch(text):
            return None
        head, body = text[:_OPEN_PART], text[_OPEN_PART:]
        cipher, retired = self._ciphers.get(head[0], (None, False))
        generation = KEY_IDS.index(head[1])
        if cipher is None or generation >= len(self._pseudonym_keys) or len(body) % 4 == 1:
            return None
        sealed = urlsafe_b64decode(body + "=" * (-len(body) % 4))
        if _encoded(sealed) != body:  # a bit that decoding ignores
            return None
        try:
            content = cipher.decrypt(sealed[:ASK_NONCE_SIZE], sealed[ASK_NONCE_SIZE:], head.encode())
        except InvalidTag:
            return None
        name, flags, language, expires = _CONTENT.unpack(content[: _CONTENT.size])
        return AskToken(
            pseudonym=rewrap(self._pseudonym_keys[generation + 1 :], Pseudonym(name)),
            purposes=frozenset(purpose for purpose, bit in _BITS.items() if flags & bit),
            language=Language(language.decode()),
            expires=datetime.fromtimestamp(expires, UTC),
            notice_version=content[_CONTENT.size :].decode(),
            mailed=bool(flags & _MAILED),
            retired=retired,
        )


def token_digest(text: str) -> bytes:
    """By what a one-POST token is remembered once it was used."""
    return sha256(text.encode()).digest()


def _encoded(octets: bytes) -> str:
    return urlsafe_b64encode(octets).rstrip(b"=").decode()
