"""Lets a caller in who holds an API key with the scope that a route needs (RFC 6750)."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Final

from aiohttp import web

from tracker.core.calendar import day_of
from tracker.doors.api_problems import Problem
from tracker.flows.access import Access
from tracker.model import ApiKey, Forbidden, Scope, Unauthorized

_BEARER: Final = re.compile(r"bearer +([A-Za-z0-9._~+/-]{1,200}=*)", re.IGNORECASE)
_CHALLENGE: Final = 'Bearer realm="tracker"'


class Gate:
    """Asks who calls, for each request anew: a revoked key opens nothing from then on."""

    def __init__(self, access: Access, clock: Callable[[], datetime]) -> None:
        self._access = access
        self._clock = clock

    async def __call__(self, request: web.Request, scope: Scope) -> ApiKey:
        """The key that came with REQUEST, which allows SCOPE. Raises Problem (401, 403) and StoreUnavailable."""
        bearer = _bearer(request)
        try:
            key = await self._access.authenticate(bearer, day_of(self._clock()))
        except Unauthorized as error:
            # A caller who sent no key is told how to; one whose key is unknown, that it is (section 3.1).
            challenge = _CHALLENGE if bearer is None else f'{_CHALLENGE}, error="invalid_token"'
            raise Problem(error, {"WWW-Authenticate": challenge}) from None
        if scope not in key.scopes:
            challenge = f'{_CHALLENGE}, error="insufficient_scope", scope="{scope}"'
            raise Problem(Forbidden(f"scope {scope}"), {"WWW-Authenticate": challenge})
        return key


def _bearer(request: web.Request) -> str | None:
    fields = request.headers.getall("Authorization", [])
    match = _BEARER.fullmatch(fields[0].strip()) if len(fields) == 1 else None
    return None if match is None else match[1]
