"""The way through the company's provider: out to it, and back with what it says."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import Final

from aiohttp import web

from tracker.core.access import Stage
from tracker.doors.dashboard.gate import local
from tracker.doors.dashboard.provider import Attempt, Provider
from tracker.doors.dashboard.sign_in_page import SignInPage
from tracker.doors.dashboard.visit import EVERY_ROLE, Route, Visit
from tracker.flows.signing_in import SigningIn
from tracker.model import ProviderAway, SignInFailed, TooManyAttempts

BEGIN: Final = "/sign-in/provider"
BACK: Final = "/sign-in/provider/back"
LASTS: Final = 600
"""Seconds that somebody has to sign in there."""


class ProviderPage:
    """Answers `/sign-in/provider` and where the provider sends browsers back to.

    Both are GET: one is a link, the other's method is the protocol's. What the second does it does once, since a
    code of the provider is good once, and only for the browser that holds the cookie of the first.
    """

    def __init__(
        self,
        provider: Provider,
        signing_in: SigningIn,
        page: SignInPage,
        key: Callable[[], bytes],
        random_bytes: Callable[[int], bytes],
        *,
        secure: bool,
    ) -> None:
        """KEY: what attempts are derived with; SECURE: whether browsers come over https."""
        self._provider = provider
        self._signing_in = signing_in
        self._page = page
        self._key = key
        self._random_bytes = random_bytes
        self._secure = secure
        self._cookie = "__Host-attempt" if secure else "attempt"

    @property
    def routes(self) -> tuple[Route, ...]:
        """What it answers."""
        out = frozenset({Stage.OUT})
        return (
            Route(BEGIN, get=self.begin, roles=EVERY_ROLE, stages=out),
            Route(BACK, get=self.back, roles=EVERY_ROLE, stages=out),
        )

    async def begin(self, visit: Visit) -> web.StreamResponse:
        """Send the browser to the provider."""
        seed = urlsafe_b64encode(self._random_bytes(24)).decode("ascii")
        try:
            address = await self._provider.address_to_ask(Attempt.of(self._key(), seed), visit.now)
        except (SignInFailed, ProviderAway) as error:
            return self._page.again(visit, error)
        answer = self._page.away(address)
        after = urlsafe_b64encode(local(visit.request.query.get("next", "/")).encode("ascii")).decode("ascii")
        self._set(answer, f"{seed}.{after}", LASTS)
        return answer

    async def back(self, visit: Visit) -> web.StreamResponse:
        """Go on signed in, or to the second factor; else show the form for the password."""
        seed, _, after = visit.request.cookies.get(self._cookie, "").partition(".")
        attempt = Attempt.of(self._key(), seed)
        said = dict(visit.request.query)
        try:
            if not seed:
                raise SignInFailed
            opened = await self._signing_in.by_provider(
                lambda: self._provider.email(said, attempt, visit.now), self._page.peer(visit), visit.now
            )
        except (SignInFailed, TooManyAttempts, ProviderAway) as error:
            answer = self._page.again(visit, error)
        else:
            answer = self._page.on(visit, opened, _path(after))
        self._set(answer, "", 0)
        return answer

    def _set(self, answer: web.StreamResponse, value: str, seconds: int) -> None:
        answer.set_cookie(
            self._cookie, value, max_age=seconds, path="/", secure=self._secure, httponly=True, samesite="Lax"
        )


def _path(after: str) -> str:
    """The page that the way began at, as the cookie holds it."""
    try:
        return local(urlsafe_b64decode(after.encode("ascii")).decode("ascii"))
    except ValueError:
        return "/"
