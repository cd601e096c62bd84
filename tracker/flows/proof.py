"""Tells how somebody gets a proof of what they agreed to, refused and withdrew: read, shaped, signed."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Callable
from datetime import datetime

from tracker.core.calendar import day_of
from tracker.core.consent_record import Header, consent_record
from tracker.core.disclosure import Disclosure
from tracker.core.pseudonym import normalise, pseudonym
from tracker.core.receipt import SALT_SIZE, ReceiptKey
from tracker.core.tokens import Tokens
from tracker.model import Pseudonym
from tracker.store.store import Store


class Proofs:
    """Makes receipts: signed records of one person's consent (core/receipt.py says how they are checked)."""

    def __init__(
        self, store: Store, tokens: Callable[[], Tokens], random: Callable[[int], bytes], disclosure: Disclosure
    ) -> None:
        self._store = store
        self._tokens = tokens
        self._random = random
        self._disclosure = disclosure

    def public_key(self) -> str:
        """The key that receipts are checked with, in PEM."""
        return self._key().public

    async def receipt(self, person: str | Pseudonym, now: datetime) -> dict[str, object]:
        """The signed receipt of PERSON, by address or, where none is at hand, by pseudonym; plain JSON values.

        By address it also carries a check that whoever knows the address can make without us.
        Raises InvalidAddress, StoreUnavailable.
        """
        if isinstance(person, str):
            address: str | None = normalise(person)
            name = pseudonym(self._tokens().ring.pseudonym_keys, normalise(person))
        else:
            address, name = None, person
        proof = await self._store.proof(name, day_of(now))
        salt = self._random(SALT_SIZE)
        key = self._key()
        subject = await asyncio.to_thread(key.subject, name, address, salt)  # scrypt takes its time
        header = Header(self._random(SALT_SIZE).hex(), b64encode(salt).decode("ascii"), subject, now)
        return key.sign(consent_record(proof, header, self._disclosure))

    def _key(self) -> ReceiptKey:
        return ReceiptKey(self._tokens().ring)
