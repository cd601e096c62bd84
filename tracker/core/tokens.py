"""Makes and reads tokens: delivery token and link parts, and through modules of their own stop and ask token.

The law: each kind has a key of its own, and text that differs in any way from what was signed, also in a bit that
decoding ignores, reads as None.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from hashlib import blake2b
from struct import Struct
from typing import Final, NamedTuple

from itsdangerous import Signer
from itsdangerous.signer import SigningAlgorithm

from tracker.core import base64url
from tracker.core.ask import ASK_NONCE_SIZE, AskToken, AskTokens
from tracker.core.keys import KeyRing, SigningKey
from tracker.core.linkpart import LinkPart, LinkSigner
from tracker.core.stop import STOP_NONCE_SIZE, STOP_TOKEN_SIZE, StopToken, StopTokens
from tracker.model import Day, DeliveryId, Language, Pseudonym

__all__ = [
    "ASK_NONCE_SIZE",
    "DELIVERY_TOKEN_SIZE",
    "MESSAGE_DIGEST_SIZE",
    "PLAN_SIZE",
    "STOP_NONCE_SIZE",
    "STOP_TOKEN_SIZE",
    "AskToken",
    "DeliveryToken",
    "LinkPart",
    "StopToken",
    "Tokens",
]

DELIVERY_TOKEN_SIZE: Final = 66
"""Octets: key id, 44 of content, a dot, 20 of MAC. A multiple of three, and it fits one quoted-printable line."""
PLAN_SIZE: Final = 5
"""Octets of a plan's random id."""
MESSAGE_DIGEST_SIZE: Final = 6

_MAC_SIZE: Final = 15  # 20 characters of base64 without slack bits
_PERSON: Final = b"tracker delivery"
_CONTENT: Final = Struct(">H16s5s6sI")  # 33 octets: 44 characters without slack bits
_SIGNED: Final = 45
"""Octets before the dot."""
_DOT: Final = ord(".")


class DeliveryToken(NamedTuple):
    """What the token in every link and pixel of one copy says; nothing about the person."""

    last_day: Day
    """Of the delivery's rows; at most 2149-06-06."""
    delivery: DeliveryId
    plan: bytes
    """5 random octets, the same for all copies of one rewrite or batch call."""
    message_digest: bytes
    """6 octets by which a message recognises its own token (`Tokens.message_digest`)."""
    issued: int
    """Whole seconds since 1970 began (UTC)."""
    key_id: str
    retired: bool = False
    """Set by reading: its key was retired, so that its links ask before they lead on."""


class _KeyedBlake2b(SigningAlgorithm):
    """The MAC of delivery tokens: as good as HMAC, in a third of its time (RFC 7693 section 2.9)."""

    def get_signature(self, key: bytes, value: bytes) -> bytes:
        return _mac(key, value).digest()


def _mac(key: bytes, value: bytes = b"") -> blake2b:
    return blake2b(value, key=key, digest_size=_MAC_SIZE, person=_PERSON)


class _Door:
    """What one signing key signs and opens."""

    def __init__(self, key: SigningKey) -> None:
        self.key_id = key.id
        self.retired = key.retired
        # "none" derives nothing and ignores the salt: the kinds are kept apart by keys that were derived before.
        self.delivery = Signer(key.delivery, sep=".", key_derivation="none", algorithm=_KeyedBlake2b())
        self.link = LinkSigner(key.link)
        self._mac = _mac(key.delivery)

    def signed(self, octets: bytes) -> bool:
        """Whether OCTETS, of the size of a delivery token, are one of this key.

        What `Signer.validate` says in a third of its time: the key is taken in already, and texts are compared before
        they are decoded.
        """
        mac = self._mac.copy()
        mac.update(octets[:_SIGNED])
        return hmac.compare_digest(base64url.encode(mac.digest()), octets[_SIGNED + 1 :])


class Tokens:
    """All tokens of one key ring; a new ring takes a new `Tokens`."""

    def __init__(self, ring: KeyRing, newer: Callable[[str], Tokens | None] = lambda key_id: None) -> None:
        """NEWER finds the tokens of a newer ring that knows a key id which RING does not; None when there is none."""
        self.ring = ring
        self._newer = newer
        self._doors = {ord(key.id): _Door(key) for key in ring.signing}
        self._stop = StopTokens(ring)
        self._ask = AskTokens(ring)
        self._identity_key = ring.digest_keys.identity

    def knowing(self, key_id: str) -> Tokens:
        """These tokens, or newer ones where only those know KEY_ID: another process read the key file before us."""
        return self if self.ring.by_id(key_id) is not None else self._newer(key_id) or self

    def sign_delivery(self, token: DeliveryToken) -> bytes:
        """TOKEN as 66 octets of `A-Za-z0-9_.-`.

        Raises KeyError for an unknown key id, ValueError for a field that does not fit.
        """
        sizes = len(token.delivery), len(token.plan), len(token.message_digest)
        if sizes != (16, PLAN_SIZE, MESSAGE_DIGEST_SIZE) or not (
            0 <= token.last_day < 2**16 and 0 <= token.issued < 2**32
        ):
            raise ValueError("a field of the delivery token does not fit")
        content = _CONTENT.pack(token.last_day, token.delivery, token.plan, token.message_digest, token.issued)
        key_id = token.key_id.encode("ascii")
        return self._doors[key_id[0]].delivery.sign(key_id + base64url.encode(content))

    def read_delivery(self, text: str | bytes) -> DeliveryToken | None:
        """What TEXT says; None for anything altered. A token of a retired key is read, and says so."""
        try:
            octets = text.encode("ascii") if isinstance(text, str) else text
        except UnicodeEncodeError:
            return None
        if len(octets) != DELIVERY_TOKEN_SIZE or octets[_SIGNED] != _DOT:
            return None
        door = self._doors.get(octets[0])
        if door is None:
            newer = self._newer(chr(octets[0]))
            return None if newer is None else newer.read_delivery(octets)
        if not door.signed(octets):
            return None
        # What was signed is of the alphabet.
        last_day, delivery, plan, digest, issued = _CONTENT.unpack(base64url.decode(octets[1:_SIGNED]))
        return DeliveryToken(last_day, delivery, plan, digest, issued, door.key_id, door.retired)

    def sign_link(self, key_id: str, plan: bytes, target: str) -> LinkPart:
        """The two segments that lead to TARGET (pure ASCII, absolute, http or https) from copies of PLAN.

        KEY_ID: that of the delivery token. Raises KeyError for an unknown one, ValueError for another kind of target.
        """
        return self._doors[ord(key_id)].link.sign(plan, target)

    def read_link(self, delivery: DeliveryToken, part: str, host: str) -> str | None:
        """The target of a link in a copy of DELIVERY (as read), exactly as it was signed; None for anything altered."""
        number = ord(delivery.key_id)
        door = self._doors.get(number) or self.knowing(delivery.key_id)._doors.get(number)
        return None if door is None else door.link.read(delivery.plan, part, host)

    def seal_stop(self, pseudonym: Pseudonym, language: Language, nonce: bytes, key_id: str) -> bytes:
        """The stop token for PSEUDONYM, 84 octets; see `StopTokens.seal`."""
        return self._stop.seal(pseudonym, language, nonce, key_id)

    def open_stop(self, text: str) -> StopToken | None:
        """Who says no with TEXT; None for anything altered; see `StopTokens.open`."""
        return self.knowing(text[:1])._stop.open(text)

    def seal_ask(self, token: AskToken, nonce: bytes, key_id: str) -> str:
        """TOKEN as text; see `AskTokens.seal`."""
        return self._ask.seal(token, nonce, key_id)

    def open_ask(self, text: str) -> AskToken | None:
        """What TEXT asks whom; None for anything altered; see `AskTokens.open`."""
        return self.knowing(text[:1])._ask.open(text)

    def message_digest(self, identity: bytes) -> bytes:
        """6 octets for a message's IDENTITY (Message-ID, or Date, From and Subject), the same under every ring."""
        return blake2b(identity, key=self._identity_key, digest_size=MESSAGE_DIGEST_SIZE).digest()
