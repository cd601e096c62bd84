"""What a page of the dashboard is told of a request, and the table of who may ask for which page.

The law: nobody may do anything that a route does not allow them; a route that names no role allows nobody.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, TypeAlias

from aiohttp import web

from tracker.core.access import Deed, Stage, stage_of
from tracker.doors.forms import LARGEST_FORM
from tracker.model import Account, Language, Role, StaffSession

EVERY_ROLE: Final = frozenset(Role)
SIGNED_IN: Final = frozenset({Stage.IN})


@dataclass(frozen=True, slots=True)
class Visit:
    """A request that the gate let through, of whoever it says."""

    request: web.Request
    now: datetime
    language: Language
    token: str = field(repr=False)
    """The browser's cookie, also of one that is not signed in. Forms are tied to it."""
    session: StaffSession | None = None
    fields: tuple[tuple[str, str], ...] = ()
    """What the form held, of a POST."""

    @property
    def account(self) -> Account:
        """Whose visit it is; only for routes that nobody reaches who is signed out."""
        return self.signed_in.account

    @property
    def signed_in(self) -> StaffSession:
        """The session; only for routes that nobody reaches who is signed out."""
        if self.session is None:
            raise RuntimeError("a route for everybody asked who it is")
        return self.session

    @property
    def stage(self) -> Stage:
        """How far the visitor has come with signing in."""
        return stage_of(self.session)

    def with_session(self, session: StaffSession, token: str) -> Visit:
        """The same visit after its session got a new TOKEN."""
        return replace(self, session=session, token=token)

    def text(self, name: str) -> str:
        """The first field NAME of the form; empty when there is none."""
        return next((value for other, value in self.fields if other == name), "")


Page: TypeAlias = Callable[[Visit], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    """A path, what answers it, and for whom. GET shows and answers HEAD too, POST acts."""

    path: str
    """As aiohttp writes it, such as `/message/{id}`; also its name in logs."""
    get: Page | None = None
    post: Page | None = None
    roles: frozenset[Role] = frozenset()
    stages: frozenset[Stage] = SIGNED_IN
    """How far a visitor must have come, no less and no more."""
    label: str | None = None
    """What the navigation calls it, in English (a key of the catalogue); None: it is not there."""
    noted: Deed | None = None
    """What the audit trail says of whoever uses it, once in an hour; None: nothing, or the flow does."""
    by_itself: bool = False
    """Whether an open page asks for it by itself: then nobody need be there, and the session ages."""
    largest: int = LARGEST_FORM
    """Bytes that its form may have."""

    def allows(self, visitor: StaffSession | None) -> bool:
        """Whether VISITOR may use it."""
        if stage_of(visitor) not in self.stages:
            return False
        return visitor is None or visitor.account.role in self.roles
