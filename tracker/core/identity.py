"""Names deliveries, messages and owners by keyed digests, so that copies agree on them without asking the store."""

from __future__ import annotations

from hashlib import blake2b

from tracker.model import Day, DeliveryId, MessageKey, Owner, Pseudonym

_SIZE = 16


def owner_of(key: bytes, login: str) -> Owner:
    """The owner whose LOGIN this is; letter case does not distinguish two logins."""
    return Owner(_digest(key, b"login", login.casefold().encode()))


def campaign_key(key: bytes, owner: Owner, campaign: str) -> MessageKey:
    """All copies of one owner with the same CAMPAIGN id are one message."""
    return MessageKey(_digest(key, b"campaign", owner, campaign.encode()))


def mail_key(key: bytes, owner: Owner, identity: bytes) -> MessageKey:
    """All copies of one owner with the same IDENTITY (Message-ID, or Date, From and Subject) are one message."""
    return MessageKey(_digest(key, b"mail", owner, identity))


def digest_of(message: bytes) -> bytes:
    """What stands for MESSAGE in delivery ids: worked out once for all its copies."""
    return blake2b(message).digest()


def delivery_id(key: bytes, digest: bytes, recipient: Pseudonym, day: Day) -> DeliveryId:
    """The same bytes (by their DIGEST) sent again to the same person on the same day are the same delivery."""
    return DeliveryId(_digest(key, b"delivery", recipient, day.to_bytes(4, "big"), digest))


def _digest(key: bytes, *fields: bytes) -> bytes:
    digest = blake2b(key=key, digest_size=_SIZE)
    for field in fields:
        digest.update(len(field).to_bytes(8, "big"))  # lengths keep ("ab", "c") and ("a", "bc") apart
        digest.update(field)
    return digest.digest()
