"""Tells how API keys are made, recognised and revoked; the store knows only their digests."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from typing import Final

from tracker.model import ApiKey, Day, InvalidField, OwnActor, Scope, Unauthorized
from tracker.store.reported import Ended
from tracker.store.store import Store

PREFIX: Final = "trk_"
NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class Access:
    """Keys for mail systems and dashboards."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def authenticate(self, bearer: str | None, today: Day) -> ApiKey:
        """The key that BEARER is. Raises Unauthorized when it is missing, unknown or revoked; StoreUnavailable."""
        key = await self._store.key_by_digest(_digest(bearer), today) if bearer else None
        if key is None:
            raise Unauthorized
        return key

    async def create(
        self,
        name: str,
        scopes: frozenset[Scope],
        owner: str | None,
        today: Day,
        random_text: Callable[[], str],
    ) -> str:
        """Make a key NAME for SCOPES, bound to the rep OWNER if given; return its text, which is shown only here.

        RANDOM_TEXT gives at least 256 bits in URL-safe characters. Raises InvalidField, StoreUnavailable.
        """
        if not NAME.fullmatch(name):
            raise InvalidField("name: up to 64 of a-z 0-9 . _ -")
        if name in set(OwnActor):
            raise InvalidField("name: the ledger uses this word for somebody else")
        if not scopes:
            raise InvalidField("scope: at least one")
        key = PREFIX + random_text()
        if not await self._store.add_key(ApiKey(name, scopes, today, owner), _digest(key)):
            raise InvalidField("name: there is a key of that name")
        return key

    async def revoke(self, name: str, today: Day) -> None:
        """Let the key NAME open nothing any more. Raises InvalidField when there is none, StoreUnavailable."""
        if not await self._store.revoke_key(name, today):
            raise InvalidField("name: there is no such key")

    async def end_reported(self, name: str, since: datetime, now: datetime, proof_days: int) -> Ended:
        """End what the key NAME reported since: grants, with what was measured, and what waits for a confirmation.

        Nobody is suppressed, since nobody said no, and what the key reported as a no stays. Raises StoreUnavailable.
        """
        return await self._store.end_reported(name, since, now, proof_days)

    async def all(self) -> tuple[ApiKey, ...]:
        """Every key, revoked ones too. Raises StoreUnavailable."""
        return await self._store.keys()


def _digest(key: str) -> bytes:
    # A key has 256 random bits: nothing to stretch, and a digest is looked up in constant time.
    return sha256(key.encode("utf-8", "surrogateescape")).digest()
