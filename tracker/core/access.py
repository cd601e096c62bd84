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


class Deed(StrEnum):
    """What the audit trail says of people who sign in; one of somebody else's account names that after a colon."""

    SIGNED_IN = "signed in"
    PASSWORD_GIVEN = "signed in with a password"  # noqa: S105 - a text
    CODE_GIVEN = "signed in with a one-time code"
    RECOVERY_CODE_GIVEN = "signed in with a recovery code"
    PROVIDER_VOUCHED = "signed in with the company's provider"
    NO_ACCOUNT = "came from the company's provider without an account"
    WRONG_PASSWORD = "a password was wrong"  # noqa: S105 - a text
    WRONG_CODE = "a code was wrong"
    SIGNED_OUT = "signed out"
    SIGNED_OUT_ELSEWHERE = "signed out everywhere else"
    PASSWORD_CHANGED = "changed the password"  # noqa: S105 - a text
    FACTOR_SET_UP = "set up a second factor"
    FACTOR_REMOVED = "removed the second factor"
    CODES_RENEWED = "renewed the recovery codes"
    ACCOUNT_MADE = "made an account"
    ACCOUNT_DISABLED = "disabled an account"
    ACCOUNT_ENABLED = "enabled an account"
    PASSWORD_SET = "set the password of an account"  # noqa: S105 - a text
    FACTOR_RESET = "reset the second factor of an account"
    SAW_MESSAGES = "looked at messages"
    SAW_PEOPLE = "looked at people"
    SAW_TOTALS = "looked at totals"
    TOOK_FIGURES = "exported figures"
    SAW_CONSENTS = "looked at the state of consents"
    SAW_TRAIL = "looked at the audit trail"
    SAW_DELETION = "looked at what was deleted"

    def of(self, account: Account) -> str:
        """The action's text when it was done to ACCOUNT."""
        return f"{self.value}: {account.actor}"


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
