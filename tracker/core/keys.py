"""Holds the ring of keys and derives from it one key for each use.

The law: no two uses share a key, so that what was made for one door opens no other.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from hashlib import blake2b
from typing import Final

from tracker.model import BadKeyFile

KEY_SIZE: Final = 32
"""Octets of every secret and of every derived key."""
FINGERPRINT_SIZE: Final = 16
KEY_IDS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
"""The base64url alphabet (RFC 4648 section 5): one character names a signing key or a generation of pseudonym key."""


def derive(secret: bytes, use: str) -> bytes:
    """The 32-octet key for one USE of SECRET: HMAC-SHA-256 over the use's name."""
    return hmac.digest(secret, b"consent-tracker 1 " + use.encode("ascii"), "sha256")


@dataclass(frozen=True)
class SigningKey:
    """A key for tokens; for each kind of token it derives a key of that kind's own, once."""

    id: str
    """One character of KEY_IDS; it stands first in every token made with this key."""
    secret: bytes = field(repr=False)
    signs_from: datetime
    """Aware. Earlier than that other servers may not have read it yet."""
    retired: bool = False
    """Leaked: it signs nothing more, and what it signed is only believed after asking."""

    def __post_init__(self) -> None:
        _check_size(self.secret)
        if len(self.id) != 1 or self.id not in KEY_IDS:
            raise ValueError("a signing key is named by one base64url character")
        if self.signs_from.tzinfo is None:
            raise ValueError("signs_from needs a time zone")

    @cached_property
    def delivery(self) -> bytes:
        """For the delivery token in pixel and links."""
        return derive(self.secret, "delivery")

    @cached_property
    def link(self) -> bytes:
        """For the part of a tracked link that carries the target."""
        return derive(self.secret, "link")

    @cached_property
    def stop(self) -> bytes:
        """For the stop token in the notice (AES-256)."""
        return derive(self.secret, "stop")

    @cached_property
    def ask(self) -> bytes:
        """For the ask token in a mail that asks for consent."""
        return derive(self.secret, "ask")

    @cached_property
    def mailbox(self) -> bytes:
        """For the mailbox token that opens a session."""
        return derive(self.secret, "mailbox")

    @cached_property
    def session(self) -> bytes:
        """For the cookie of the session that a mailbox token opens."""
        return derive(self.secret, "session")


@dataclass(frozen=True)
class DigestKeys:
    """Keys of digests that must not change with rotation; from the first pseudonym key, which every rekey keeps."""

    first: bytes = field(repr=False)

    @cached_property
    def delivery(self) -> bytes:
        """For delivery ids."""
        return derive(self.first, "delivery id")

    @cached_property
    def owner(self) -> bytes:
        """For owners: reps' logins."""
        return derive(self.first, "owner")

    @cached_property
    def message(self) -> bytes:
        """For messages: campaign ids and Message-IDs."""
        return derive(self.first, "message")

    @cached_property
    def identity(self) -> bytes:
        """For the digest by which a token knows the message it was made for."""
        return derive(self.first, "identity")


@dataclass(frozen=True)
class KeyRing:
    """All keys of one installation, as the key file holds them; oldest first."""

    pseudonym_keys: tuple[bytes, ...] = field(repr=False)
    """Generations: each wraps the one before it (`secret rekey`)."""
    ledger_key: bytes = field(repr=False)
    signing: tuple[SigningKey, ...]

    def __post_init__(self) -> None:
        for secret in (*self.pseudonym_keys, self.ledger_key):
            _check_size(secret)
        if not 1 <= len(self.pseudonym_keys) <= len(KEY_IDS):
            raise ValueError("a ring has 1 to 64 pseudonym keys")
        secrets = [*self.pseudonym_keys, self.ledger_key, *(key.secret for key in self.signing)]
        if len(set(secrets)) != len(secrets):
            raise ValueError("two keys of the ring are the same")
        if not self.signing or len(self._by_id) != len(self.signing):
            raise ValueError("a ring has at least one signing key, each with an id of its own")

    def signing_key(self, now: datetime) -> SigningKey:
        """The newest key that may sign at NOW (aware). Raises BadKeyFile when there is none."""
        for key in reversed(self.signing):
            if not key.retired and key.signs_from <= now:
                return key
        raise BadKeyFile("key_file: no signing key may sign yet, or all are retired")

    def by_id(self, key_id: str) -> SigningKey | None:
        """The signing key that is called KEY_ID."""
        return self._by_id.get(key_id)

    @cached_property
    def fingerprint(self) -> bytes:
        """16 octets by which a database recognises its pseudonym keys; it tells nothing about them."""
        return _fingerprint(self.pseudonym_keys)

    @cached_property
    def former(self) -> dict[bytes, tuple[bytes, ...]]:
        """The fingerprints of earlier generations, each with the pseudonym keys that came after it."""
        keys = self.pseudonym_keys
        return {_fingerprint(keys[:count]): keys[count:] for count in range(1, len(keys))}

    @cached_property
    def digest_keys(self) -> DigestKeys:
        """The keys of ids that stay the same whatever rotates."""
        return DigestKeys(self.pseudonym_keys[0])

    @cached_property
    def journal_key(self) -> bytes:
        """What seals the lines of the journal."""
        return derive(self.ledger_key, "journal")

    @cached_property
    def receipt(self) -> bytes:
        """For signing receipts (the seed of an Ed25519 key); from the ledger's key, which nothing rotates."""
        return derive(self.ledger_key, "receipt")

    @cached_property
    def receipt_subject(self) -> bytes:
        """For the digest by which a receipt names its subject to the issuer."""
        return derive(self.ledger_key, "receipt subject")

    @cached_property
    def staff(self) -> bytes:
        """For what seals and names the second factors of accounts; from the ledger's key, which nothing rotates."""
        return derive(self.ledger_key, "staff")

    @cached_property
    def _by_id(self) -> dict[str, SigningKey]:
        return {key.id: key for key in self.signing}


def _fingerprint(pseudonym_keys: tuple[bytes, ...]) -> bytes:
    digest = blake2b(digest_size=FINGERPRINT_SIZE, person=b"tracker pseudony")
    for key in pseudonym_keys:
        digest.update(derive(key, "fingerprint"))
    return digest.digest()


def _check_size(secret: bytes) -> None:
    if len(secret) != KEY_SIZE:
        raise ValueError(f"a key has {KEY_SIZE} octets")
