"""Tells how a text that people agree to is put on file, and how it is superseded, which ends what rests on it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from tracker.core.notice_text import checked_text, checked_version
from tracker.model import BadNotice, Feature, Language, NoSuchNotice, Notice
from tracker.store.store import Store


class Notices:
    """The texts on file."""

    def __init__(self, store: Store, controller: str, proof_days: int) -> None:
        self._store = store
        self._controller = controller
        self._proof_days = proof_days

    async def add(self, version: str, language: Language, octets: bytes, features: frozenset[Feature]) -> bool:
        """Put the text in OCTETS on file; False when exactly this one is there already.

        Raises:
            BadNotice: the text cannot be used, another one is on file under this version and language, or the version
                was superseded or has other features in its other languages.
            StoreUnavailable: nothing was written.
        """
        text = checked_text(octets, self._controller)
        notice = Notice(checked_version(version), language, text, frozenset(features))
        if await self._store.add_notice(notice):
            return True
        if notice in await self._store.notices():
            return False
        raise BadNotice("another text is on file under that version and language, and is never overwritten")

    async def all(self) -> Sequence[Notice]:
        """Every text on file by version and language, superseded ones too. Raises StoreUnavailable."""
        return await self._store.notices()

    async def supersede(self, version: str, now: datetime) -> None:
        """End VERSION in all languages, and every grant that rests on it. Raises NoSuchNotice when it is not."""
        if not await self._store.supersede(version, now, self._proof_days):
            raise NoSuchNotice
