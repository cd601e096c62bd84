"""The pages on which somebody signs in and out, and chooses a language."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from aiohttp import web

from tracker.core.access import Stage, stage_of
from tracker.doors.dashboard.cookie import Cookie
from tracker.doors.dashboard.gate import CODE, ENROL, SIGN_IN, local
from tracker.doors.dashboard.screens import SPOKEN, Screens
from tracker.doors.dashboard.visit import EVERY_ROLE, Route, Visit
from tracker.doors.peers import Network, peer_of
from tracker.flows.own_account import OwnAccount
from tracker.flows.signing_in import Opened, SigningIn
from tracker.model import Language, ProviderAway, ProviderRefused, SignInFailed, TooManyAttempts, TrackerError

ON_THE_WAY: Final = frozenset({Stage.CODE, Stage.ENROL, Stage.IN})
ANY_STAGE: Final = frozenset(Stage)


class SignInPage:
    """Answers `/sign-in` and what stands under it, `/sign-out`, `/language` and `/`."""

    def __init__(
        self,
        signing_in: SigningIn,
        own: OwnAccount,
        screens: Screens,
        cookie: Cookie,
        trusted_proxies: Sequence[Network],
        *,
        provider: bool = False,
    ) -> None:
        """PROVIDER: whether there is a company's provider to sign in with, too."""
        self._provider = provider
        self._signing_in = signing_in
        self._own = own
        self._screens = screens
        self._cookie = cookie
        self._trusted = tuple(trusted_proxies)

    @property
    def routes(self) -> tuple[Route, ...]:
        """What it answers."""
        out, code = frozenset({Stage.OUT}), frozenset({Stage.CODE})
        return (
            Route("/", get=self.home, roles=EVERY_ROLE),
            Route(SIGN_IN, get=self.ask, post=self.sign_in, roles=EVERY_ROLE, stages=out),
            Route(CODE, get=self.ask_code, post=self.give_code, roles=EVERY_ROLE, stages=code),
            Route("/sign-out", post=self.sign_out, roles=EVERY_ROLE, stages=ON_THE_WAY),
            Route("/language", post=self.speak, roles=EVERY_ROLE, stages=ANY_STAGE),
        )

    async def home(self, visit: Visit) -> web.StreamResponse:
        """The first page of the visitor's navigation."""
        return self._screens.go(self._screens.home(visit))

    async def ask(self, visit: Visit) -> web.StreamResponse:
        """The form for login and password."""
        return self._form(visit, "sign-in.html")

    async def sign_in(self, visit: Visit) -> web.StreamResponse:
        """Go on signed in, or to where the second factor is given or set up; else show the form again."""
        login, password = visit.text("login"), visit.text("password")
        try:
            opened = await self._signing_in.by_password(login, password, self.peer(visit), visit.now)
        except (SignInFailed, TooManyAttempts) as error:
            return self.again(visit, error)
        return self.on(visit, opened, visit.text("next"))

    async def ask_code(self, visit: Visit) -> web.StreamResponse:
        """The form for a code."""
        return self._form(visit, "code.html")

    async def give_code(self, visit: Visit) -> web.StreamResponse:
        """Go on signed in, or show the form again."""
        try:
            opened = await self._signing_in.by_code(visit.signed_in, visit.text("code"), visit.now)
        except (SignInFailed, TooManyAttempts) as error:
            return self.again(visit, error, "code.html")
        return self.on(visit, opened, visit.text("next"))

    async def sign_out(self, visit: Visit) -> web.StreamResponse:
        """End the session."""
        await self._signing_in.end(visit.account, visit.signed_in.digest, visit.now)
        answer = self._screens.go(SIGN_IN)
        self._cookie.take(answer)
        return answer

    async def speak(self, visit: Visit) -> web.StreamResponse:
        """Show the page again in another language, and every page from now on to who is signed in."""
        back = local(visit.text("back"))
        language = visit.text("lang")
        if language in SPOKEN:
            if visit.session is not None:
                await self._own.speak(visit.account, Language(language))
            back = _in_language(back, None if visit.session is not None else language)
        return self._screens.go(back)

    def again(self, visit: Visit, error: TrackerError, template: str = "sign-in.html") -> web.Response:
        """The form once more, with what became of the attempt."""
        wrong = {TooManyAttempts: "wait", ProviderAway: "away", ProviderRefused: "refused"}
        return self._form(visit, template, wrong.get(type(error), "wrong"), error.status)

    def on(self, visit: Visit, opened: Opened, after: str) -> web.Response:
        """On to the page AFTER, or to what is missing before it, with the cookie of the session that was OPENED."""
        stage, after = stage_of(opened.session), local(after)
        ways = {Stage.CODE: CODE, Stage.ENROL: ENROL}
        answer = self._screens.go(f"{ways[stage]}?next={quote(after, safe='')}" if stage in ways else after)
        self._cookie.give(answer, opened.token)
        return answer

    def away(self, address: str) -> web.Response:
        """Off to ADDRESS, which is another's."""
        return self._screens.go(address)

    def peer(self, visit: Visit) -> str:
        """The network address that VISIT comes from."""
        forwarded = ", ".join(visit.request.headers.getall("X-Forwarded-For", ()))
        return peer_of(visit.request.remote or "", forwarded, self._trusted)

    def _form(self, visit: Visit, template: str, problem: str | None = None, status: int = 200) -> web.Response:
        after = local(visit.text("next") or visit.request.query.get("next", "/"))
        values = {
            "after": after,
            "login": visit.text("login"),
            "problem": problem,
            "provider": f"{SIGN_IN}/provider?next={quote(after, safe='')}" if self._provider else "",
        }
        return self._screens.answer(template, visit, values, status=status)


def _in_language(path: str, language: str | None) -> str:
    """PATH asking for LANGUAGE (None: for none in particular)."""
    parts = urlsplit(path)
    query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name != "lang"]
    query += [] if language is None else [("lang", language)]
    return parts.path + (f"?{urlencode(query)}" if query else "")
