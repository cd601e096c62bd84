"""Tells how somebody signs in: password, then a code where they have a second factor; and what a session is.

The law: a failure says nothing of what failed, and takes as long for an account that is not there. A session has a new
token whenever what it may do changes; it ends by itself, at once when its account is disabled, and when told to.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from tracker.core.access import Deed, Stage, stage_of
from tracker.core.calendar import day_of, later
from tracker.core.one_time import recovery_digest, step_of, unseal
from tracker.core.periods import AUDIT_DAYS
from tracker.core.pseudonym import normalise
from tracker.core.tokens import Tokens
from tracker.core.tries import Tries
from tracker.flows.passwords import Passwords
from tracker.flows.throttle import MOST, Throttle, network_of
from tracker.model import Account, Credentials, InvalidAddress, SignInFailed, StaffSession, TooManyAttempts
from tracker.store.staff import StaffBook
from tracker.store.store import Store

LASTS: Final = timedelta(hours=12)
"""How long a session lasts at most, however much it is used; unused it ends earlier (store/staff)."""
ON_THE_WAY: Final = timedelta(minutes=10)
"""How long there is for the second factor after the password."""
NOTE_USE: Final = timedelta(minutes=1)
"""How often it is noted that a session is used."""
FREE_TRIES: Final = 5
FREE_TRIES_OF_A_NETWORK: Final = 50
"""A company of sixty reps may sit behind one address."""
TOKEN_SIZE: Final = 32
UNKNOWN: Final = "unknown"
"""How the audit trail names whoever tried an account that is not there."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A session with the token that only its browser has."""

    session: StaffSession
    token: str = field(repr=False)


class SigningIn:
    """Opens, finds and ends sessions. Everything raises StoreUnavailable."""

    def __init__(
        self,
        store: Store,
        tokens: Callable[[], Tokens],
        passwords: Passwords,
        random_bytes: Callable[[int], bytes],
        tries: Tries,
    ) -> None:
        """TRIES: where failures are counted."""
        self._store = store
        self._tokens = tokens
        self._passwords = passwords
        self._random_bytes = random_bytes
        self._by_account = Throttle(tries, FREE_TRIES, most=MOST)
        self._by_network = Throttle(tries, FREE_TRIES_OF_A_NETWORK)

    async def by_password(self, login: str, password: str, peer: str, now: datetime) -> Opened:
        """Begin a session for who proves with PASSWORD to be LOGIN, from the network address PEER.

        Raises SignInFailed for whatever is wrong, TooManyAttempts.
        """
        name = _normalised(login)
        network = f"network {network_of(peer)}"
        self._by_network.begin(network, now)
        known = await self._credentials(name)
        try:
            account = await self._proved(f"password {name}", password, known, now)
        except TooManyAttempts:
            self._by_network.take_back(network)  # nothing was tried
            raise
        if account is None:
            raise SignInFailed
        self._by_network.take_back(network)
        return await self._begin(account, Deed.PASSWORD_GIVEN if account.second_factor else Deed.SIGNED_IN, now)

    async def by_provider(self, ask: Callable[[], Awaitable[str]], peer: str, now: datetime) -> Opened:
        """Begin a session for whoever has the e-mail address that ASK learns from the company's provider.

        The second factor, where the account has one or needs one, is still ours to ask for. Raises SignInFailed when
        the address is no account's, TooManyAttempts, and what ASK raises.
        """
        network = f"network {network_of(peer)}"
        self._by_network.begin(network, now)
        known = await self._credentials(_normalised(await ask()))
        if known is None:
            async with self._store.staff() as book:
                await self.note(book, UNKNOWN, Deed.NO_ACCOUNT, now)
            raise SignInFailed
        self._by_network.take_back(network)
        return await self._begin(known.account, Deed.PROVIDER_VOUCHED, now)

    async def _begin(self, account: Account, deed: Deed, now: datetime) -> Opened:
        """Begin a session of ACCOUNT, whose first factor is proved; without its second where it has one."""
        async with self._store.staff() as book:
            return await self.rotated(book, None, account, now, deed, complete=not account.second_factor)

    async def by_code(self, session: StaffSession, code: str, now: datetime) -> Opened:
        """Complete SESSION with a one-time or a recovery CODE. Raises SignInFailed, TooManyAttempts."""
        account = session.account
        name = f"code {account.id}"
        self._by_account.begin(name, now)
        async with self._store.staff() as book:
            how = await self._used(book, account, code, now)
            if how is not None:
                self._by_account.forget(name)
                return await self.rotated(book, session, account, now, how, complete=True)
            await self.note(book, account.actor, Deed.WRONG_CODE, now)
        raise SignInFailed

    async def proves_again(self, session: StaffSession, password: str, now: datetime) -> bool:
        """Whether PASSWORD is that of SESSION's account: asked before anything that an open browser must not do."""
        async with self._store.staff_as_it_is() as book:
            known = await book.by_id(session.account.id)
        return await self._proved(f"password {session.account.login}", password, known, now) is not None

    async def session(self, token: str, now: datetime, *, used: bool = True) -> StaffSession | None:
        """The session whose TOKEN a browser brought; None when there is none or it is over.

        USED: whether somebody is there; a session that is not used ends.
        """
        digest = token_digest(token)
        async with self._store.staff_as_it_is() as book:
            session = await book.session(digest, now)
        if used and session is not None and now - session.used >= NOTE_USE:
            async with self._store.staff() as book:
                await book.use_session(digest, now)
        return session

    async def sessions(self, account: Account, now: datetime) -> tuple[StaffSession, ...]:
        """Every session of ACCOUNT, the one used last first."""
        async with self._store.staff_as_it_is() as book:
            return await book.sessions_of(account, now)

    async def end(self, account: Account, digest: bytes, now: datetime) -> bool:
        """End the session with DIGEST if it is ACCOUNT's; False when it has none such."""
        async with self._store.staff() as book:
            ended = await book.end_session(account.id, digest)
            if ended:
                await self.note(book, account.actor, Deed.SIGNED_OUT, now)
        return ended

    async def end_others(self, session: StaffSession, now: datetime) -> int:
        """End every other session of SESSION's account; how many."""
        async with self._store.staff() as book:
            ended = await book.end_sessions(session.account.id, but=session.digest)
            await self.note(book, session.account.actor, Deed.SIGNED_OUT_ELSEWHERE, now)
        return ended

    async def rotated(
        self,
        book: StaffBook,
        old: StaffSession | None,
        account: Account,
        now: datetime,
        deed: Deed,
        *,
        complete: bool,
    ) -> Opened:
        """A session with a new token in place of OLD, and a line about the DEED in the audit trail."""
        if old is not None:
            await book.end_session(account.id, old.digest)
        token = urlsafe_b64encode(self._random_bytes(TOKEN_SIZE)).rstrip(b"=").decode("ascii")
        session = StaffSession(
            digest=token_digest(token),
            account=account,
            began=now,
            used=now,
            ends=now + LASTS,
            complete=complete,
        )
        if stage_of(session) is not Stage.IN:
            session = StaffSession(session.digest, account, now, now, now + ON_THE_WAY, complete)
        await book.begin(session)
        await self.note(book, account.actor, deed, now)
        return Opened(session, token)

    async def note(self, book: StaffBook, actor: str, deed: Deed, now: datetime) -> None:
        """Write into the audit trail that ACTOR did DEED."""
        await book.audit(at=now, actor=actor, action=deed.value, last_day=later(day_of(now), AUDIT_DAYS))

    async def _credentials(self, login: str) -> Credentials | None:
        async with self._store.staff_as_it_is() as book:
            known = await book.by_login(login)
        return None if known is None or known.account.disabled_day is not None else known

    async def _proved(self, name: str, password: str, known: Credentials | None, now: datetime) -> Account | None:
        """The account of KNOWN if PASSWORD is its; tries count under NAME. Raises TooManyAttempts."""
        self._by_account.begin(name, now)
        try:
            verdict = await self._passwords.verify(password, None if known is None else known.password)
        except TooManyAttempts:
            self._by_account.take_back(name)  # nothing was tried
            raise
        if not verdict.right or known is None:
            async with self._store.staff() as book:  # for everybody, so that time tells nothing
                actor = UNKNOWN if known is None else known.account.actor
                await self.note(book, actor, Deed.WRONG_PASSWORD, now)
            return None
        self._by_account.forget(name)
        if verdict.fresh is not None:
            async with self._store.staff() as book:
                await book.set_password(known.account.id, verdict.fresh)
        return known.account

    async def _used(self, book: StaffBook, account: Account, code: str, now: datetime) -> Deed | None:
        """What kind of code of ACCOUNT CODE is, now used up; None when it is none."""
        key = self._tokens().ring.staff
        known = await book.by_id(account.id)
        sealed = None if known is None else known.second_factor
        secret = None if sealed is None else unseal(key, account.id, sealed)
        step = None if known is None or secret is None else step_of(secret, code, now, known.last_step)
        if step is not None and await book.use_step(account.id, step):
            return Deed.CODE_GIVEN
        if await book.use_recovery_code(account.id, recovery_digest(key, account.id, code)):
            return Deed.RECOVERY_CODE_GIVEN
        return None


def token_digest(token: str) -> bytes:
    """By which the session with TOKEN is found: 256 bits of chance need no stretching."""
    return sha256(token.encode("utf-8", "replace")).digest()


def _normalised(login: str) -> str:
    try:
        return normalise(login.strip())
    except InvalidAddress:
        return ""  # no account has this login
