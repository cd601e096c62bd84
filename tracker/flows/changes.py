"""Tells a mail system what changed since it last asked: page by page, with a cursor that only says how far it got."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tracker.core.calendar import day_of
from tracker.core.ledger import GENESIS
from tracker.model import Change, InvalidField
from tracker.store.store import Store

PAGE: Final = 1_000
_MARK: Final = 8
"""Octets of the entry's digest: enough to see that this is another past than the one that was read."""


@dataclass(frozen=True, slots=True)
class ChangesSince:
    """A page of changes, the cursor for the next one, and whether there is one already."""

    changes: tuple[Change, ...]
    next: str
    more: bool


class Changes:
    """Grants, withdrawals and erasures, for who has references of their own for the people concerned.

    They can be read back as long as the ledger holds their contents: a no or a withdrawal for `proof_days`, a grant
    until its end and `proof_days` more, unless what ended it goes before. All of it only while the reference is kept,
    which is as long as a grant or a no stands for the person; that a grant ran out by itself is therefore told
    beforehand, by its `until`. That somebody was erased is told for 30 days.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def since(self, source: str, cursor: str | None, now: datetime) -> ChangesSince:
        """What became since CURSOR (None: since the beginning) of the people whom SOURCE has references for.

        Raises InvalidField for a cursor that no page gave, or that tells of another past than this database has, as
        after a backup was restored; StoreUnavailable.
        """
        entry = 0 if cursor is None else await self._entry(cursor)
        page = await self._store.changes(source, entry, day_of(now), PAGE)
        return ChangesSince(page.changes, await self._cursor(page.reached), page.more)

    async def _cursor(self, entry: int) -> str:
        digest = await self._store.ledger_digest(entry) or GENESIS
        return urlsafe_b64encode(entry.to_bytes(8, "big") + digest[:_MARK]).decode().rstrip("=")

    async def _entry(self, cursor: str) -> int:
        try:
            said = urlsafe_b64decode(cursor.encode("ascii") + b"==")
        except ValueError:
            raise InvalidField("since: what `next` of another page said") from None
        entry = int.from_bytes(said[:8], "big")
        if len(said) != 8 + _MARK or entry >= 2**63:
            raise InvalidField("since: what `next` of another page said")
        if await self._cursor(entry) != cursor:
            raise InvalidField("since: the ledger has no such past any more; read again from the beginning")
        return entry
