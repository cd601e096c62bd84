"""The door of pixels and links: what a reader is answered; what a hit means is the flow's business."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Final, TypeAlias

from tracker.doors.pages import Pages, answer_headers
from tracker.doors.prepared import Prepared
from tracker.doors.server import place
from tracker.flows.hit import KNOWN_TARGETS, Destination, Hits
from tracker.model import BadToken, Hit, Language, PageFailed

PIXEL: Final = bytes.fromhex(
    "47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b"  # GIF89a, 1x1, transparent
)
Then: TypeAlias = Callable[[Prepared], None]
"""Takes the answer when it may go: once, and often at once."""
_log = logging.getLogger("tracker.http")


class HitDoor:
    """Answers pixels and links when their hit is recorded, or has waited long enough."""

    def __init__(self, hits: Hits, pages: Pages) -> None:
        self._hits = hits
        self._pages = pages
        headers = answer_headers(pages.site.public_url)
        self._pixel = Prepared(200, {**headers, "Content-Type": "image/gif"}, PIXEL)
        self._leading_to = lru_cache(KNOWN_TARGETS)(Prepared(302, headers).leading_to)

    def pixel(self, name: str, hit: Hit, then: Then) -> None:
        """Always the same answer, whatever NAME, the path below `/o/`, says (LAW.md R33)."""
        if not name.endswith(".gif") or not name.isascii():
            then(self._pixel)
            return
        try:
            self._hits.opened(name.removesuffix(".gif"), hit, partial(then, self._pixel))
        except Exception as error:  # whatever failed, the reader's mail program gets its image
            _log.error("hit failed: %s", place(error))
            then(self._pixel)

    def redirect(
        self, delivery: str, link: str, host: str, hit: Hit, language: Callable[[], Language], then: Then
    ) -> None:
        """302 to the signed target, the page that shows it and asks, or 404 for anything altered.

        LANGUAGE is asked for that of a page.
        """

        def answer(destination: Destination | None) -> None:
            try:
                prepared = self._leading(destination, host, language)
            except Exception as error:
                prepared = self._failed(error, language)
            then(prepared)

        if not (delivery.isascii() and link.isascii() and host.isascii()):
            answer(None)
            return
        try:
            self._hits.clicked(delivery, link, host, hit, answer)
        except Exception as error:
            then(self._failed(error, language))

    def _leading(self, destination: Destination | None, host: str, language: Callable[[], Language]) -> Prepared:
        if destination is None:
            return self._pages.refusal(BadToken(), language())
        if destination.ask:
            values = {"url": destination.url, "host": host, "blocked": destination.blocked}
            return self._pages.prepared("destination.html", language(), values)
        return self._leading_to(destination.url)

    def _failed(self, error: Exception, language: Callable[[], Language]) -> Prepared:
        _log.error("request failed: %s", place(error))
        return self._pages.refusal(PageFailed(), language())
