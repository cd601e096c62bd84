"""Signs what is on record of one person's consent, so that anybody can check it offline.

A receipt is the JSON object `receipt` in an envelope beside its `signature`: Ed25519 (RFC 8032) over the object's
canonical form, which is RFC 8785 for what stands in it (objects with ASCII names, arrays, strings, whole numbers,
true, false, null). The key is derived from the ledger's: it stays the same whatever rotates, and its public half is
published.

Whom a receipt is about (the law: neither the address nor the pseudonym stands in it, nor can either be read out of it):

- `pii_principal_id` is a keyed digest of the pseudonym with the receipt's own salt. Only the installation can compute
  it, and does so when somebody shows a receipt and names an address (`tracker consent check`).
- `pii_principal_check`, where the address was at hand when the receipt was made, is scrypt (RFC 7914) of the normalised
  address with the same salt: whoever holds the receipt and knows the address can recompute it without us. Who guesses
  addresses pays 16 MiB and some 50 ms for each guess; a receipt belongs to the person, as a letter does.
"""

from __future__ import annotations

import hmac
import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import scrypt, sha256
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from tracker.core.keys import KeyRing
from tracker.core.pseudonym import pseudonym
from tracker.model import BadReceipt, Pseudonym

SALT_SIZE: Final = 16
CANONICAL: Final = "RFC 8785"
SCRYPT: Final = {"n": 16_384, "r": 8, "p": 1, "dklen": 32}


def canonical(value: object) -> bytes:
    """The canonical form of VALUE. Raises BadReceipt for what RFC 8785 writes otherwise or not at all."""
    try:
        if not _is_plain(value):
            raise BadReceipt("receipt: only objects, arrays, strings, whole numbers, true, false and null")
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError:  # a lone surrogate
        raise BadReceipt("receipt: not Unicode") from None
    except RecursionError:
        raise BadReceipt("receipt: nested deeper than any of ours") from None


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a receipt is about, for those who can tell."""

    principal: str
    check: Mapping[str, object] | None


class ReceiptKey:
    """The key of one installation's receipts."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring
        self._private = Ed25519PrivateKey.from_private_bytes(ring.receipt)

    @property
    def public(self) -> str:
        """The public key in PEM: who has it can check receipts and make none."""
        return self._private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")

    def sign(self, receipt: Mapping[str, object]) -> dict[str, object]:
        """The envelope of RECEIPT."""
        return {
            "receipt": dict(receipt),
            "signature": {
                "algorithm": "Ed25519",
                "canonicalization": CANONICAL,
                "key_id": key_id(self.public),
                "value": b64encode(self._private.sign(canonical(receipt))).decode("ascii"),
            },
        }

    def subject(self, person: Pseudonym, address: str | None, salt: bytes) -> Subject:
        """How a receipt with SALT names PERSON, whose normalised ADDRESS may be at hand."""
        return Subject(self._principal(person, salt), None if address is None else _check(address, salt))

    def is_about(self, receipt: Mapping[str, Any], address: str) -> bool:
        """Whether RECEIPT, one of ours, is about the normalised ADDRESS, also when a rekey came between."""
        match receipt:
            case {"salt": str(salt), "pii_principal_id": str(principal)}:
                keys = self._ring.pseudonym_keys
                generations = [pseudonym(keys[: number + 1], address) for number in range(len(keys))]
                names = [self._principal(name, _salt(salt)) for name in generations]
                return any(hmac.compare_digest(principal, name) for name in names)
            case _:
                return False

    def _principal(self, person: Pseudonym, salt: bytes) -> str:
        return b64encode(hmac.digest(self._ring.receipt_subject, salt + person, "sha256")).decode("ascii")


def key_id(public: str) -> str:
    """A short name of the PUBLIC key, in PEM: the beginning of the SHA-256 of its 32 octets, in hex."""
    return sha256(_public_key(public).public_bytes_raw()).hexdigest()[:16]


def verify(envelope: object, public: str) -> Mapping[str, Any]:
    """The receipt in ENVELOPE, as whoever holds the key to PUBLIC (in PEM) signed it. Raises BadReceipt."""
    key = _public_key(public)
    match envelope:
        case {"receipt": dict(receipt), "signature": {"algorithm": "Ed25519", "value": str(value)}}:
            pass
        case _:
            raise BadReceipt("no envelope with a receipt and an Ed25519 signature")
    try:
        key.verify(b64decode(value, validate=True), canonical(receipt))
    except (InvalidSignature, ValueError):
        raise BadReceipt("the signature does not fit") from None
    return receipt


def is_about(receipt: Mapping[str, Any], address: str) -> bool | None:
    """Whether RECEIPT is about the normalised ADDRESS, by its own check; None when it carries none."""
    match receipt:
        case {"salt": str(salt), "pii_principal_check": {"digest": str(digest)}}:
            return hmac.compare_digest(digest, str(_check(address, _salt(salt))["digest"]))
        case _:
            return None


def _salt(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError:
        raise BadReceipt("salt: not base64") from None


def _check(address: str, salt: bytes) -> dict[str, object]:
    digest = scrypt(address.encode(), salt=salt, n=SCRYPT["n"], r=SCRYPT["r"], p=SCRYPT["p"], dklen=SCRYPT["dklen"])
    return {"function": "scrypt", **SCRYPT, "digest": b64encode(digest).decode("ascii")}


def _public_key(public: str) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(public.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise BadReceipt("the public key is not in PEM") from None
    if not isinstance(key, Ed25519PublicKey):
        raise BadReceipt("the public key is not one of Ed25519")
    return key


def _is_plain(value: object) -> bool:
    match value:
        case dict():
            return all(isinstance(name, str) and name.isascii() and _is_plain(one) for name, one in value.items())
        case list() | tuple():
            return all(map(_is_plain, value))
        case float():
            return False
        case int():
            return abs(value) < 2**53
        case _:
            return value is None or isinstance(value, str)
