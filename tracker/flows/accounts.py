"""Tells how accounts are made, listed, disabled and let in again by whoever runs the tracker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from tracker.core.access import Deed
from tracker.core.calendar import day_of, later
from tracker.core.periods import AUDIT_DAYS
from tracker.core.pseudonym import normalise
from tracker.flows.passwords import Passwords
from tracker.model import Account, InvalidAddress, InvalidField, OwnActor, Role
from tracker.store.staff import StaffBook
from tracker.store.store import Store


class Accounts:
    """For the command line. Everything raises StoreUnavailable; what names a login InvalidField when there is none."""

    def __init__(
        self, store: Store, passwords: Passwords, random_bytes: Callable[[int], bytes], controller: str
    ) -> None:
        self._store = store
        self._passwords = passwords
        self._random_bytes = random_bytes
        self._controller = controller

    async def add(self, login: str, role: Role, aliases: Sequence[str], password: str, now: datetime) -> Account:
        """Make an account for LOGIN, an e-mail address, with mail from ALIASES theirs too. Raises BadPassword."""
        account = Account(
            id=int.from_bytes(self._random_bytes(4), "big"),  # no number is used again when an account is forgotten
            login=_address("login", login),
            role=role,
            created_day=day_of(now),
            aliases=tuple(_address("alias", alias) for alias in aliases),
        )
        fresh = await self._passwords.accepted(password, (*account.logins, self._controller))
        async with self._store.staff() as book:
            if not await book.add(account, fresh):
                raise InvalidField("login or alias: it belongs to an account already")
            await self._note(book, Deed.ACCOUNT_MADE.of(account), now)
        return account

    async def all(self) -> tuple[Account, ...]:
        """Every account by login, disabled ones too."""
        async with self._store.staff_as_it_is() as book:
            return await book.all()

    async def disable(self, login: str, now: datetime) -> None:
        """Let LOGIN sign in no more: its sessions are over at once. Forgotten when the audit trail has forgotten it."""
        async with self._of(login) as (book, account):
            await book.disable(account.id, day_of(now), later(day_of(now), AUDIT_DAYS))
            await self._note(book, Deed.ACCOUNT_DISABLED.of(account), now)

    async def enable(self, login: str, now: datetime) -> None:
        """Let LOGIN sign in again."""
        async with self._of(login) as (book, account):
            await book.enable(account.id)
            await self._note(book, Deed.ACCOUNT_ENABLED.of(account), now)

    async def set_password(self, login: str, password: str, now: datetime) -> None:
        """Let PASSWORD be LOGIN's; its sessions are over. Raises BadPassword."""
        async with self._store.staff_as_it_is() as reading:
            account = await _found(reading, login)
        fresh = await self._passwords.accepted(password, (*account.logins, self._controller))
        async with self._of(login) as (book, account):
            await book.set_password(account.id, fresh)
            await book.end_sessions(account.id)
            await self._note(book, Deed.PASSWORD_SET.of(account), now)

    async def reset_second_factor(self, login: str, now: datetime) -> None:
        """Take LOGIN's second factor and recovery codes away, after a lost telephone; its sessions are over."""
        async with self._of(login) as (book, account):
            await book.set_second_factor(account.id, None, 0, ())
            await book.end_sessions(account.id)
            await self._note(book, Deed.FACTOR_RESET.of(account), now)

    @asynccontextmanager
    async def _of(self, login: str) -> AsyncIterator[tuple[StaffBook, Account]]:
        async with self._store.staff() as book:
            yield book, await _found(book, login)

    async def _note(self, book: StaffBook, action: str, now: datetime) -> None:
        await book.audit(at=now, actor=OwnActor.CLI, action=action, last_day=later(day_of(now), AUDIT_DAYS))


async def _found(book: StaffBook, login: str) -> Account:
    known = await book.by_login(_address("login", login))
    if known is None:
        raise InvalidField("login: there is no such account")
    return known.account


def _address(field: str, text: str) -> str:
    try:
        return normalise(text.strip())
    except InvalidAddress:
        raise InvalidField(f"{field}: must be one e-mail address") from None
