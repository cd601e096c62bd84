"""The pages of somebody's own account: sessions, password, second factor, recovery codes."""

from __future__ import annotations

from typing import Final

import segno
from aiohttp import web
from markupsafe import Markup

from tracker.core.access import Stage, may_remove_second_factor
from tracker.core.one_time import typed, uri
from tracker.doors.dashboard.cookie import Cookie
from tracker.doors.dashboard.gate import ENROL, local
from tracker.doors.dashboard.screens import Screens
from tracker.doors.dashboard.visit import EVERY_ROLE, Route, Visit
from tracker.flows.own_account import OwnAccount
from tracker.flows.signing_in import Opened, SigningIn
from tracker.model import BadPassword, NotForYou, NotFound, SignInFailed, TooManyAttempts, TrackerError

HOME: Final = "/account"
PASSWORD: Final = "/account/password"  # noqa: S105 - a path
CODES: Final = "/account/recovery-codes"
REMOVE: Final = "/account/remove-second-factor"
ENROLLING: Final = frozenset({Stage.ENROL, Stage.IN})


class AccountPage:
    """Answers `/account`, what stands under it, and `/second-factor`."""

    def __init__(self, signing_in: SigningIn, own: OwnAccount, screens: Screens, cookie: Cookie) -> None:
        self._signing_in = signing_in
        self._own = own
        self._screens = screens
        self._cookie = cookie

    @property
    def routes(self) -> tuple[Route, ...]:
        """What it answers."""
        return (
            Route(HOME, get=self.show, roles=EVERY_ROLE),
            Route(f"{HOME}/end-session", post=self.end_session, roles=EVERY_ROLE),
            Route(f"{HOME}/end-others", post=self.end_others, roles=EVERY_ROLE),
            Route(PASSWORD, get=self.ask_password, post=self.change_password, roles=EVERY_ROLE),
            Route(CODES, get=self.ask_codes, post=self.renew_codes, roles=EVERY_ROLE),
            Route(REMOVE, get=self.ask_removal, post=self.remove, roles=EVERY_ROLE),
            Route(ENROL, get=self.offer, post=self.set_up, roles=EVERY_ROLE, stages=ENROLLING),
        )

    async def show(self, visit: Visit) -> web.StreamResponse:
        """The account and its sessions."""
        said = self._screens.wording(visit.language)
        values = {
            "sessions": [
                {
                    "began": said.instant(one.began),
                    "used": said.instant(one.used),
                    "id": one.digest.hex(),
                    "this": one.digest == visit.signed_in.digest,
                }
                for one in await self._signing_in.sessions(visit.account, visit.now)
            ],
            "codes_left": await self._own.codes_left(visit.account),
            "removable": may_remove_second_factor(visit.account),
            "done": visit.request.query.get("done", ""),
        }
        return self._screens.answer("account.html", visit, values)

    async def end_session(self, visit: Visit) -> web.StreamResponse:
        """Sign out one browser. Raises NotFound for a session that is not the visitor's."""
        try:
            digest = bytes.fromhex(visit.text("session"))
        except ValueError:
            raise NotFound from None
        if not await self._signing_in.end(visit.account, digest, visit.now):
            raise NotFound
        return self._screens.go(f"{HOME}?done=ended")

    async def end_others(self, visit: Visit) -> web.StreamResponse:
        """Sign out every other browser."""
        await self._signing_in.end_others(visit.signed_in, visit.now)
        return self._screens.go(f"{HOME}?done=ended")

    async def ask_password(self, visit: Visit) -> web.StreamResponse:
        """The form for another password."""
        return self._screens.answer("password.html", visit, {"problem": None})

    async def change_password(self, visit: Visit) -> web.StreamResponse:
        """Change it, and sign out every other browser."""
        current, new = visit.text("current"), visit.text("new")
        try:
            if new != visit.text("again"):
                return self._again(visit, "password.html", BadPassword("differs"))
            opened = await self._own.change_password(visit.signed_in, current, new, visit.now)
        except (SignInFailed, TooManyAttempts, BadPassword) as error:
            return self._again(visit, "password.html", error)
        return self._rotated(f"{HOME}?done=password", opened)

    async def ask_codes(self, visit: Visit) -> web.StreamResponse:
        """The form for new recovery codes. Raises NotForYou without a second factor."""
        if not visit.account.second_factor:
            raise NotForYou
        return self._screens.answer("renew-codes.html", visit, {"problem": None})

    async def renew_codes(self, visit: Visit) -> web.StreamResponse:
        """New recovery codes, shown once."""
        try:
            codes = await self._own.renew_codes(visit.signed_in, visit.text("password"), visit.now)
        except (SignInFailed, TooManyAttempts) as error:
            return self._again(visit, "renew-codes.html", error)
        return self._screens.answer("recovery-codes.html", visit, {"codes": codes, "after": HOME})

    async def ask_removal(self, visit: Visit) -> web.StreamResponse:
        """The question whether to do without a second factor. Raises NotForYou where the role needs one."""
        if not visit.account.second_factor or not may_remove_second_factor(visit.account):
            raise NotForYou
        return self._screens.answer("remove-second-factor.html", visit, {"problem": None})

    async def remove(self, visit: Visit) -> web.StreamResponse:
        """Do without a second factor."""
        try:
            opened = await self._own.remove(visit.signed_in, visit.text("password"), visit.now)
        except (SignInFailed, TooManyAttempts) as error:
            return self._again(visit, "remove-second-factor.html", error)
        return self._rotated(f"{HOME}?done=removed", opened)

    async def offer(self, visit: Visit) -> web.StreamResponse:
        """The QR code of a new second factor, and the form for its first code."""
        return self._screens.answer("second-factor.html", visit, self._offered(visit))

    async def set_up(self, visit: Visit) -> web.StreamResponse:
        """Take it into use, and show the recovery codes, once."""
        password, code = visit.text("password"), visit.text("code")
        try:
            opened, codes = await self._own.set_up(visit.signed_in, visit.token, password, code, visit.now)
        except (SignInFailed, TooManyAttempts) as error:
            return self._again(visit, "second-factor.html", error, self._offered(visit))
        then = visit.with_session(opened.session, opened.token)
        after = local(visit.text("next"))
        answer = self._screens.answer("recovery-codes.html", then, {"codes": codes, "after": after})
        self._cookie.give(answer, opened.token)
        return answer

    def _offered(self, visit: Visit) -> dict[str, object]:
        secret = self._own.offered(visit.token)
        link = uri(secret, visit.account.login, self._screens.pages.site.controller)
        picture = segno.make(link, error="m").svg_inline(scale=4, border=4, omitsize=True, dark="#000", light="#fff")
        after = visit.text("next") or visit.request.query.get("next", "/")
        return {
            "qr": Markup(picture),  # noqa: S704 - segno's own, which holds no text
            "typed": typed(secret),
            "after": local(after),
            "asks_password": visit.stage is Stage.IN,
            "problem": None,
        }

    def _again(
        self, visit: Visit, template: str, error: TrackerError, values: dict[str, object] | None = None
    ) -> web.Response:
        problem = "wait" if isinstance(error, TooManyAttempts) else error.detail or "wrong"
        return self._screens.answer(template, visit, {**(values or {}), "problem": problem}, status=error.status)

    def _rotated(self, path: str, opened: Opened) -> web.Response:
        answer = self._screens.go(path)
        self._cookie.give(answer, opened.token)
        return answer
