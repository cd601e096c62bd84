"""Makes and opens what proves a mailbox: the token in the mail, and the cookie of the session that it opens.

The law: each says whose mailbox it is under authenticated encryption, with a key of its own, for a quarter of an hour;
what a retired key made opens nothing, since whoever has a leaked key could make it.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b, sha256
from hmac import compare_digest
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tracker.core.keys import KEY_IDS, KeyRing, SigningKey, derive
from tracker.core.pseudonym import rewrap
from tracker.model import Language, Pseudonym

NONCE_SIZE: Final = 12
VALID: Final = timedelta(minutes=15)
"""How long a token opens a session, and how long that lasts."""

_OPEN_PART: Final = 4
# 12 of nonce, 6 of time, 32 of pseudonym and 16 of tag are 66 octets: 88 characters of base64 without slack bits.
_TIME_SIZE: Final = 6
_SHAPE: Final = re.compile(r"[A-Za-z0-9_-]{92}")


@dataclass(frozen=True, slots=True)
class Proven:
    """Whose mailbox it is, in which language they are spoken to, and until when that counts."""

    pseudonym: Pseudonym
    """As of the newest generation of pseudonym keys."""
    language: Language
    until: datetime


class ProofTokens:
    """Seals and opens tokens of one kind with the keys of one ring."""

    def __init__(self, ring: KeyRing, key_of: Callable[[SigningKey], bytes]) -> None:
        """KEY_OF: the key of this kind that a signing key derives."""
        self._ring = ring
        self._generation = KEY_IDS[len(ring.pseudonym_keys) - 1]
        self._keys = {key.id: key_of(key) for key in ring.signing if not key.retired}

    def seal(self, pseudonym: Pseudonym, language: Language, nonce: bytes, now: datetime) -> str:
        """The token for PSEUDONYM (of the newest generation), good for a quarter of an hour from NOW on.

        NONCE: 12 random octets, never used twice. Raises ValueError for wrong sizes, BadKeyFile when no key may sign.
        """
        if len(nonce) != NONCE_SIZE or len(pseudonym) != 32:
            raise ValueError("a token holds a nonce of 12 octets and a pseudonym of 32")
        key_id = self._ring.signing_key(now).id
        head = f"{key_id}{self._generation}{language.value}"
        until = int((now + VALID).timestamp()).to_bytes(_TIME_SIZE, "big")
        sealed = AESGCM(self._keys[key_id]).encrypt(nonce, until + pseudonym, head.encode("ascii"))
        return head + urlsafe_b64encode(nonce + sealed).decode("ascii")

    def open(self, text: str, now: datetime) -> Proven | None:
        """What TEXT says at NOW; None for anything that was altered, made elsewhere or is over."""
        if not _SHAPE.fullmatch(text) or text[0] not in self._keys:
            return None
        generation = KEY_IDS.index(text[1])
        if generation >= len(self._ring.pseudonym_keys):
            return None
        later_keys = self._ring.pseudonym_keys[generation + 1 :]
        octets = urlsafe_b64decode(text[_OPEN_PART:])
        head = text[:_OPEN_PART].encode("ascii")
        try:
            opened = AESGCM(self._keys[text[0]]).decrypt(octets[:NONCE_SIZE], octets[NONCE_SIZE:], head)
            language = Language(text[2:_OPEN_PART])
        except (InvalidTag, ValueError):
            return None
        until = datetime.fromtimestamp(int.from_bytes(opened[:_TIME_SIZE], "big"), UTC)
        if now >= until:
            return None
        return Proven(rewrap(later_keys, Pseudonym(opened[_TIME_SIZE:])), language, until)

    def form_key(self, text: str) -> str:
        """What each form on a page of the session TEXT carries, so that no other site can send it (LAW.md R60).

        Raises KeyError for a text that `open` does not open.
        """
        key = derive(self._keys[text[0]], "form")
        return urlsafe_b64encode(blake2b(text.encode("ascii"), key=key, digest_size=24).digest()).decode("ascii")

    def is_form_key(self, text: str, given: str) -> bool:
        """Whether GIVEN is the form key of the session TEXT."""
        return compare_digest(self.form_key(text).encode("ascii"), given.encode("utf-8", "replace"))


def token_digest(text: str) -> bytes:
    """By which a token that was used is remembered: 32 octets that lead back to nothing."""
    return sha256(text.encode("ascii")).digest()
