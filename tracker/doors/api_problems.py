"""Answers every error of the private listener as problem details (RFC 9457) that quote nothing of what was sent."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Final

from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler, Middleware

from tracker.doors.server import place
from tracker.model import (
    AskedAlready,
    BadRequest,
    BodyTooLarge,
    BodyTooSlow,
    NoRoom,
    NotAllowed,
    NotFound,
    Suppressed,
    TrackerError,
)

PROBLEM: Final = "application/problem+json"
TYPE: Final = "urn:tracker:problem:"
"""What stands before the slug in a problem's type: a name, and no page to look up."""
RETRY_AFTER: Final = "60"
"""Seconds."""
_log = logging.getLogger("tracker.http")


class Problem(Exception):
    """An error of the tree with what HTTP adds to it: headers, and texts that fit this door better than its own."""

    def __init__(self, error: TrackerError, headers: Mapping[str, str] | None = None, **texts: str) -> None:
        super().__init__(error.slug)
        self.error = error
        self.headers = headers or {}
        self.texts = texts


def answer(problem: Problem) -> web.Response:
    """The answer that PROBLEM is: its own texts, then type, title, status, detail, meaning and remedy of its error."""
    error = problem.error
    content = {
        "type": TYPE + error.slug,
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "meaning": error.meaning,
        "remedy": error.remedy,
        **problem.texts,
    }
    headers = dict(problem.headers)
    if error.status == web.HTTPServiceUnavailable.status_code:
        headers.setdefault("Retry-After", RETRY_AFTER)
    said = {name: value for name, value in content.items() if value}
    return web.Response(status=error.status, text=json.dumps(said), content_type=PROBLEM, headers=headers)


def problems(count: Callable[[str], None], public_url: str) -> Middleware:
    """A middleware that turns everything raised into a problem; COUNT is told its slug."""

    @web.middleware
    async def answer_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Problem as raised:
            problem = raised
        except Suppressed as error:
            page = f"{public_url}/ask"
            problem = Problem(error, ask=page, remedy=f"Only the person can change this, at {page}.")
        except AskedAlready as error:
            problem = Problem(error, ask=f"{public_url}/ask")
        except TrackerError as error:
            if error.status >= web.HTTPInternalServerError.status_code:
                _log.warning("answered %d %s: %s", error.status, error.slug, place(error))
            problem = Problem(error)
        except web.HTTPMethodNotAllowed as error:
            problem = Problem(NotAllowed(), {"Allow": ", ".join(sorted(error.allowed_methods))})
        except web.HTTPException as error:
            problem = Problem(_in_our_tree(error.status))
        except (ConnectionError, ClientPayloadError, HttpProcessingError, web.RequestPayloadError):
            problem = Problem(BadRequest("the body did not arrive complete"), {"Connection": "close"})
        except Exception as error:
            _log.error("request failed: %s", place(error))
            problem = Problem(TrackerError())
        count(problem.error.slug)
        response = answer(problem)
        if isinstance(problem.error, BodyTooLarge | BodyTooSlow | NoRoom):
            response.force_close()  # what is still on its way is not read
        return response

    return answer_problems


def malformed(count: Callable[[str], None]) -> Callable[[int], web.Response]:
    """What makes problems of requests that cannot even be parsed; COUNT is told their slug."""

    def answer_malformed(status: int) -> web.Response:
        error = _in_our_tree(status)
        count(error.slug)
        response = answer(Problem(error, {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}))
        response.set_status(status)
        response.force_close()
        return response

    return answer_malformed


def _in_our_tree(status: int) -> TrackerError:
    known: dict[int, type[TrackerError]] = {404: NotFound, 413: BodyTooLarge}
    if status in known:
        return known[status]()
    return BadRequest() if status < web.HTTPInternalServerError.status_code else TrackerError()
