"""Builds the dashboard's application from the pages' own tables of routes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from aiohttp import web

from tracker.doors.dashboard.cookie import Cookie
from tracker.doors.dashboard.gate import Gate
from tracker.doors.dashboard.screens import Screens
from tracker.doors.dashboard.visit import Route
from tracker.doors.middlewares import Answered, access_log, errors
from tracker.flows.looks import Looks
from tracker.flows.signing_in import SigningIn


def build(
    routes: Sequence[Route],
    signing_in: SigningIn,
    looks: Looks,
    screens: Screens,
    cookie: Cookie,
    clock: Callable[[], datetime],
    random_bytes: Callable[[int], bytes],
    *,
    answered: Answered | None = None,
) -> web.Application:
    """The application of the dashboard's listener: what ROUTES say, each behind the gate, and nothing else.

    ANSWERED is told route template, method and status of each answer.
    """
    gate = Gate(signing_in, looks, screens, cookie, clock, random_bytes)
    screens.use(routes)
    app = web.Application(
        middlewares=[access_log(answered=answered), errors(screens.error)],
        client_max_size=max(route.largest for route in routes) + 1,
    )
    for route in routes:
        if route.get is not None:
            app.router.add_get(route.path, gate.guard(route, route.get))
        if route.post is not None:
            app.router.add_post(route.path, gate.guard(route, route.post))
    return app
