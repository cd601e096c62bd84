"""Says how far somebody has come with signing in, and which roles must bring a second factor."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from tracker.model import Account, Role, StaffSession

NEEDS_SECOND_FACTOR: Final = frozenset({Role.MANAGER, Role.PRIVACY})


class Stage(StrEnum):
    """How far somebody has come."""

    OUT = "out"
    """Not signed in."""
    CODE = "code"
    """The password was right; a code is missing."""
    ENROL = "enrol"
    """The password was right; the role needs a second factor, and there is none yet."""
    IN = "in"
    """Signed in."""


def stage_of(session: StaffSession | None) -> Stage:
    """How far whoever has SESSION has come."""
    if session is None:
        return Stage.OUT
    if session.account.second_factor:
        return Stage.IN if session.complete else Stage.CODE
    return Stage.ENROL if session.account.role in NEEDS_SECOND_FACTOR else Stage.IN


def may_remove_second_factor(account: Account) -> bool:
    """Whether ACCOUNT may do without one."""
    return account.role not in NEEDS_SECOND_FACTOR
