"""What surrounds every request of a listener: the access log, and the answer to each error."""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus
from time import perf_counter
from typing import Final, TypeAlias

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from tracker.doors.server import place
from tracker.model import BadRequest, FormTooLarge, NotAllowed, NotFound, PageFailed, TrackerError

Answered: TypeAlias = Callable[[str, str, int], None]
"""Told of each answer: route template, method, status."""

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_access = logging.getLogger("tracker.access")
_log = logging.getLogger("tracker.http")


def canonical(request: web.Request) -> str:
    """The template of the route that aiohttp found for REQUEST, or `-`."""
    resource = request.match_info.route.resource
    return "-" if resource is None else resource.canonical


def access_log(
    template_of: Callable[[web.Request], str] = canonical,
    *,
    answered: Answered | None = None,
    unlogged: frozenset[str] = frozenset(),
) -> Middleware:
    """A middleware that logs route template, method, status and duration, and nothing else (LAW.md R62).

    Routes in UNLOGGED leave no line: a line for a hit would be a second record of it, to the second.
    """

    @web.middleware
    async def log_access(request: web.Request, handler: Handler) -> web.StreamResponse:
        began = perf_counter()
        answer = await handler(request)
        template = template_of(request)
        # A method is any token (RFC 9110 section 9.1), so even that could carry something.
        method = request.method if request.method in METHODS else "OTHER"
        if answered is not None:
            answered(template, method, answer.status)
        if template not in unlogged:
            milliseconds = (perf_counter() - began) * 1000
            _access.info("%s %s %d %.1f ms", method, template, answer.status, milliseconds)
        return answer

    return log_access


def errors(answer: Callable[[web.Request, TrackerError], web.StreamResponse]) -> Middleware:
    """A middleware that turns everything raised into an error of our tree and has ANSWER make the response."""

    @web.middleware
    async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except TrackerError as error:
            if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                _log.warning("answered %d %s: %s", error.status, error.slug, place(error))
            return answer(request, error)
        except web.HTTPException as error:
            response = answer(request, _in_our_tree(error.status))
            if isinstance(error, web.HTTPMethodNotAllowed):
                response.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
            return response
        except Exception as error:
            _log.error("request failed: %s", place(error))
            return answer(request, PageFailed())

    return answer_errors


def _in_our_tree(status: int) -> TrackerError:
    known: dict[int, type[TrackerError]] = {404: NotFound, 405: NotAllowed, 413: FormTooLarge}
    if status in known:
        return known[status]()
    return BadRequest() if status < HTTPStatus.INTERNAL_SERVER_ERROR else PageFailed()
