"""Tells what somebody changes of their own account: password, second factor, recovery codes, language.

The law: whatever would let somebody else in asks for the password again, ends every other session and makes a new one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from tracker.core.access import Deed, Stage, may_remove_second_factor, stage_of
from tracker.core.one_time import (
    NONCE_SIZE,
    RECOVERY_CODES,
    RECOVERY_SIZE,
    offered_secret,
    recovery_code,
    recovery_digest,
    seal,
    step_of,
)
from tracker.core.tokens import Tokens
from tracker.flows.passwords import Passwords
from tracker.flows.signing_in import Opened, SigningIn
from tracker.model import Account, Language, NotForYou, SignInFailed, StaffSession
from tracker.store.store import Store


class OwnAccount:
    """Everything raises StoreUnavailable; what asks for the password also SignInFailed and TooManyAttempts."""

    def __init__(
        self,
        store: Store,
        tokens: Callable[[], Tokens],
        passwords: Passwords,
        signing_in: SigningIn,
        random_bytes: Callable[[int], bytes],
        controller: str,
    ) -> None:
        self._store = store
        self._tokens = tokens
        self._passwords = passwords
        self._signing_in = signing_in
        self._random_bytes = random_bytes
        self._controller = controller

    async def change_password(self, session: StaffSession, current: str, new: str, now: datetime) -> Opened:
        """Let NEW be the password, if CURRENT is. Raises BadPassword too."""
        await self._prove(session, current, now)
        account = session.account
        fresh = await self._passwords.accepted(new, (*account.logins, self._controller))
        async with self._store.staff() as book:
            await book.set_password(account.id, fresh)
            await book.end_sessions(account.id)
            deed = Deed.PASSWORD_CHANGED
            return await self._signing_in.rotated(book, None, account, now, deed, complete=session.complete)

    def offered(self, token: str) -> bytes:
        """The secret that the session with TOKEN may set up as its second factor."""
        return offered_secret(self._tokens().ring.staff, token)

    async def set_up(
        self, session: StaffSession, token: str, password: str, code: str, now: datetime
    ) -> tuple[Opened, tuple[str, ...]]:
        """Let the secret that was offered to TOKEN be the second factor, if CODE is of it; the new recovery codes.

        Who is on the way in gave the PASSWORD a moment ago and need not again.
        """
        if stage_of(session) is Stage.IN:
            await self._prove(session, password, now)
        secret = self.offered(token)
        step = step_of(secret, code, now, after=0)
        if step is None:
            raise SignInFailed("code")
        account = replace(session.account, second_factor=True)
        key = self._tokens().ring.staff
        sealed = seal(key, account.id, secret, self._random_bytes(NONCE_SIZE))
        codes = self._new_codes()
        async with self._store.staff() as book:
            await book.set_second_factor(account.id, sealed, step, self._digests(account, codes))
            await book.end_sessions(account.id)
            deed = Deed.FACTOR_SET_UP
            return await self._signing_in.rotated(book, None, account, now, deed, complete=True), codes

    async def renew_codes(self, session: StaffSession, password: str, now: datetime) -> tuple[str, ...]:
        """New recovery codes; the old ones are void. Raises NotForYou without a second factor."""
        account = session.account
        if not account.second_factor:
            raise NotForYou
        await self._prove(session, password, now)
        codes = self._new_codes()
        async with self._store.staff() as book:
            await book.set_recovery_codes(account.id, self._digests(account, codes))
            await self._signing_in.note(book, account.actor, Deed.CODES_RENEWED, now)
        return codes

    async def remove(self, session: StaffSession, password: str, now: datetime) -> Opened:
        """Do without a second factor. Raises NotForYou where the role needs one."""
        if not may_remove_second_factor(session.account):
            raise NotForYou
        await self._prove(session, password, now)
        account = replace(session.account, second_factor=False)
        async with self._store.staff() as book:
            await book.set_second_factor(account.id, None, 0, ())
            await book.end_sessions(account.id)
            deed = Deed.FACTOR_REMOVED
            return await self._signing_in.rotated(book, None, account, now, deed, complete=True)

    async def codes_left(self, account: Account) -> int:
        """How many recovery codes ACCOUNT has."""
        async with self._store.staff_as_it_is() as book:
            return await book.recovery_codes_left(account.id)

    async def speak(self, account: Account, language: Language) -> None:
        """Show ACCOUNT the pages in LANGUAGE from now on."""
        async with self._store.staff() as book:
            await book.set_language(account.id, language)

    async def _prove(self, session: StaffSession, password: str, now: datetime) -> None:
        if not await self._signing_in.proves_again(session, password, now):
            raise SignInFailed("password")

    def _new_codes(self) -> tuple[str, ...]:
        return tuple(recovery_code(self._random_bytes(RECOVERY_SIZE)) for _ in range(RECOVERY_CODES))

    def _digests(self, account: Account, codes: tuple[str, ...]) -> list[bytes]:
        key = self._tokens().ring.staff
        return [recovery_digest(key, account.id, code) for code in codes]
