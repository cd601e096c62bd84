"""Keeps the people who sign in: accounts, their other addresses, second factors and sessions.

The law: a session that is over or whose account is disabled is never returned; every row of one has an end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, and_, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.core.calendar import day_of
from tracker.model import Account, Credentials, Day, Language, Role, StaffSession
from tracker.store.audit import write_audit
from tracker.store.schema import accounts, aliases, recovery_codes, sessions

IDLE: Final = timedelta(minutes=30)
"""After how long without a request a session is over."""


class StaffBook:
    """One transaction on accounts and sessions."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    # --- accounts ---

    async def add(self, account: Account, password: str) -> bool:
        """Put ACCOUNT on file with the hash PASSWORD; False when one of its addresses is somebody's already."""
        names = account.logins
        taken = select(accounts.c.id).where(accounts.c.login.in_(names))
        taken_too = select(aliases.c.account).where(aliases.c.alias.in_(names))
        if (await self._connection.execute(taken.union(taken_too))).first() is not None or len(set(names)) < len(names):
            return False
        await self._connection.execute(
            insert(accounts).values(
                id=account.id,
                login=account.login,
                role=account.role.value,
                password=password,
                last_step=0,
                created_day=account.created_day,
            )
        )
        if account.aliases:
            rows = [{"alias": alias, "account": account.id} for alias in account.aliases]
            await self._connection.execute(insert(aliases), rows)
        return True

    async def all(self) -> tuple[Account, ...]:
        """Every account by login, disabled ones too."""
        rows = (await self._connection.execute(select(accounts).order_by(accounts.c.login))).all()
        known = await self._aliases(row.id for row in rows)
        return tuple(_account(row, known[row.id]) for row in rows)

    async def by_login(self, login: str) -> Credentials | None:
        """What the account LOGIN is proved with, disabled or not; aliases do not sign in."""
        return await self._credentials(accounts.c.login == login)

    async def by_id(self, account: int) -> Credentials | None:
        """What the account with that id is proved with."""
        return await self._credentials(accounts.c.id == account)

    async def set_password(self, account: int, password: str) -> None:
        """Let PASSWORD be the hash of ACCOUNT's password."""
        await self._change(account, password=password)

    async def set_language(self, account: int, language: Language) -> None:
        """Speak LANGUAGE with ACCOUNT."""
        await self._change(account, language=language.value)

    async def disable(self, account: int, today: Day, last_day: Day) -> None:
        """Let ACCOUNT sign in no more; its sessions are over at once, and it is forgotten after LAST_DAY."""
        await self._change(account, disabled_day=today, last_day=last_day)
        await self.end_sessions(account)

    async def enable(self, account: int) -> None:
        """Let a disabled ACCOUNT sign in again."""
        await self._change(account, disabled_day=None, last_day=None)

    # --- second factors ---

    async def set_second_factor(self, account: int, sealed: bytes | None, step: int, codes: Sequence[bytes]) -> None:
        """Let the SEALED secret (None: no more) prove ACCOUNT from after STEP on, and recovery CODES by their digests.

        Those it had are void.
        """
        await self._change(account, second_factor=sealed, last_step=step)
        await self.set_recovery_codes(account, codes)

    async def set_recovery_codes(self, account: int, codes: Sequence[bytes]) -> None:
        """Let these CODES be ACCOUNT's, by their digests, and no earlier ones."""
        await self._connection.execute(delete(recovery_codes).where(recovery_codes.c.account == account))
        if codes:
            rows = [{"account": account, "digest": digest} for digest in codes]
            await self._connection.execute(insert(recovery_codes), rows)

    async def use_step(self, account: int, step: int) -> bool:
        """Use up the one-time codes of ACCOUNT until STEP; False when that one was used before."""
        used = await self._connection.execute(
            update(accounts).where(accounts.c.id == account, accounts.c.last_step < step).values(last_step=step)
        )
        return bool(used.rowcount)

    async def use_recovery_code(self, account: int, digest: bytes) -> bool:
        """Use up a recovery code of ACCOUNT; False when there is none with that DIGEST."""
        used = await self._connection.execute(
            delete(recovery_codes).where(recovery_codes.c.account == account, recovery_codes.c.digest == digest)
        )
        return bool(used.rowcount)

    async def recovery_codes_left(self, account: int) -> int:
        """How many recovery codes ACCOUNT has."""
        found = await self._connection.execute(
            select(recovery_codes.c.digest).where(recovery_codes.c.account == account)
        )
        return len(found.all())

    # --- sessions ---

    async def begin(self, session: StaffSession) -> None:
        """Put SESSION on file."""
        await self._connection.execute(
            insert(sessions).values(
                digest=session.digest,
                account=session.account.id,
                began=_seconds(session.began),
                used=_seconds(session.used),
                ends=_seconds(session.ends),
                complete=int(session.complete),
                last_day=day_of(session.ends),
            )
        )

    async def session(self, digest: bytes, now: datetime) -> StaffSession | None:
        """The session with that DIGEST, when it is not over NOW."""
        query = (
            select(sessions, accounts.c.id.label("owner"))
            .join(accounts, sessions.c.account == accounts.c.id)
            .where(sessions.c.digest == digest, _live(now))
        )
        row = (await self._connection.execute(query)).one_or_none()
        credentials = None if row is None else await self.by_id(row.owner)
        return None if row is None or credentials is None else _session(row, credentials.account)

    async def sessions_of(self, account: Account, now: datetime) -> tuple[StaffSession, ...]:
        """The sessions of ACCOUNT that are not over NOW, the one used last first."""
        query = (
            select(sessions)
            .join(accounts, sessions.c.account == accounts.c.id)
            .where(sessions.c.account == account.id, _live(now))
            .order_by(sessions.c.used.desc(), sessions.c.began.desc())
        )
        return tuple(_session(row, account) for row in await self._connection.execute(query))

    async def open_sessions(self, digests: Collection[bytes], now: datetime) -> frozenset[bytes]:
        """Those of the sessions with DIGESTS that are not over NOW."""
        query = (
            select(sessions.c.digest)
            .join(accounts, sessions.c.account == accounts.c.id)
            .where(sessions.c.digest.in_(digests), _live(now))
        )
        return frozenset((await self._connection.execute(query)).scalars())

    async def use_session(self, digest: bytes, now: datetime) -> None:
        """Note that the session was used NOW."""
        await self._connection.execute(update(sessions).where(sessions.c.digest == digest).values(used=_seconds(now)))

    async def end_session(self, account: int, digest: bytes) -> bool:
        """End a session of ACCOUNT; False when it has none with that DIGEST."""
        ended = await self._connection.execute(
            delete(sessions).where(sessions.c.account == account, sessions.c.digest == digest)
        )
        return bool(ended.rowcount)

    async def end_sessions(self, account: int, but: bytes | None = None) -> int:
        """End every session of ACCOUNT BUT the one with that digest; how many."""
        theirs = sessions.c.account == account
        which = theirs if but is None else and_(theirs, sessions.c.digest != but)
        return (await self._connection.execute(delete(sessions).where(which))).rowcount

    # --- the trail ---

    async def audit(self, *, at: datetime, actor: str, action: str, last_day: Day, case: str | None = None) -> None:
        """Note in the audit trail that ACTOR did ACTION at AT."""
        await write_audit(self._connection, at=at, actor=actor, action=action, case=case, last_day=last_day)

    async def _change(self, account: int, **values: Any) -> None:
        await self._connection.execute(update(accounts).where(accounts.c.id == account).values(**values))

    async def _credentials(self, which: ColumnElement[bool]) -> Credentials | None:
        row = (await self._connection.execute(select(accounts).where(which))).one_or_none()
        known = await self._aliases([] if row is None else [row.id])  # in any case, so that time tells nothing
        if row is None:
            return None
        return Credentials(_account(row, known[row.id]), row.password, row.second_factor, row.last_step)

    async def _aliases(self, ids: Iterable[int]) -> dict[int, list[str]]:
        found: dict[int, list[str]] = defaultdict(list)
        query = select(aliases).where(aliases.c.account.in_(list(ids))).order_by(aliases.c.alias)
        for row in await self._connection.execute(query):
            found[row.account].append(row.alias)
        return found


def _live(now: datetime) -> ColumnElement[bool]:
    return and_(
        sessions.c.ends > _seconds(now),
        sessions.c.used > _seconds(now - IDLE),
        accounts.c.disabled_day.is_(None),
    )


def _seconds(instant: datetime) -> int:
    return int(instant.timestamp())


def _instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _account(row: Row[Any], known: Iterable[str]) -> Account:
    return Account(
        id=row.id,
        login=row.login,
        role=Role(row.role),
        created_day=Day(row.created_day),
        aliases=tuple(known),
        language=None if row.language is None else Language(row.language),
        second_factor=row.second_factor is not None,
        disabled_day=None if row.disabled_day is None else Day(row.disabled_day),
    )


def _session(row: Row[Any], account: Account) -> StaffSession:
    return StaffSession(
        digest=row.digest,
        account=account,
        began=_instant(row.began),
        used=_instant(row.used),
        ends=_instant(row.ends),
        complete=bool(row.complete),
    )
