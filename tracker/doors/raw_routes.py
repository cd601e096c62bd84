"""Finds the handler for a request by its path as it came, before anything decodes or re-encodes it.

aiohttp matches decoded paths; a token or a host must be compared as it was sent, and a pixel answers any shape of path.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from aiohttp import web

from tracker.model import NotFound

Captured: TypeAlias = Mapping[str, str]
RawHandler: TypeAlias = Callable[[web.Request, Captured], Awaitable[web.StreamResponse]]

_AUTHORITY: Final = re.compile(r"https?://[^/?#]*", re.IGNORECASE)
_QUERY: Final = re.compile(r"[?#]")


@dataclass(frozen=True, slots=True)
class RawRoute:
    """A template for logs, the paths it stands for, and a handler for each method; GET answers HEAD too."""

    template: str
    pattern: re.Pattern[str]
    handlers: Mapping[str, RawHandler]


class RawRoutes:
    """An ordered table of routes; the first whose pattern matches the whole path counts."""

    def __init__(self, *routes: RawRoute) -> None:
        self._routes = routes

    def template_of(self, request: web.Request) -> str:
        """The template of the route for REQUEST, or `-`."""
        found = self._find(request)
        return "-" if found is None else found[0].template

    async def dispatch(self, request: web.Request) -> web.StreamResponse:
        """Answer REQUEST. Raises NotFound, or HTTPMethodNotAllowed with the methods there are."""
        found = self._find(request)
        if found is None:
            raise NotFound
        route, captured = found
        method = "GET" if request.method == "HEAD" else request.method
        handler = route.handlers.get(method)
        if handler is None:
            allowed = {*route.handlers, *({"HEAD"} if "GET" in route.handlers else ())}
            raise web.HTTPMethodNotAllowed(request.method, allowed)
        return await handler(request, captured)

    def _find(self, request: web.Request) -> tuple[RawRoute, Captured] | None:
        path = path_of(request.raw_path)
        for route in self._routes:
            match = route.pattern.fullmatch(path)
            if match is not None:
                return route, match.groupdict()
        return None


def path_of(target: str) -> str:
    """The path of a request TARGET, which may be in absolute form (RFC 9112 section 3.2.2); its query is dropped."""
    authority = _AUTHORITY.match(target)
    path = target if authority is None else target[authority.end() :]
    return _QUERY.split(path, maxsplit=1)[0] or "/"
