"""Answers programs that look for well-known files: who to tell of a hole, what to index, which key signs receipts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from typing import Final
from urllib.parse import quote

from aiohttp import web

from tracker.doors.pages import Pages, answer_headers
from tracker.doors.raw_routes import Captured
from tracker.model import Language

SECURITY_ROUTE: Final = "/.well-known/security.txt"
KEY_ROUTE: Final = "/.well-known/consent-receipt-key"
VALID: Final = timedelta(days=180)
"""RFC 9116 section 2.5.5: less than a year ahead."""


class WellKnown:
    """The files, made of the settings, the clock and the key in use."""

    def __init__(self, pages: Pages, clock: Callable[[], datetime], receipt_key: Callable[[], str]) -> None:
        self._site = pages.site
        self._clock = clock
        self._receipt_key = receipt_key
        self._headers = answer_headers(pages.site.public_url)

    async def security(self, _: web.Request, __: Captured) -> web.StreamResponse:
        """Where to report a vulnerability (RFC 9116, LAW.md R67)."""
        expires = datetime.combine(self._clock().astimezone(UTC).date(), time(tzinfo=UTC)) + VALID
        contact = self._site.contact
        lines = (
            f"Contact: {contact if contact.startswith('https://') else 'mailto:' + quote(contact, safe='@')}",
            f"Expires: {expires:%Y-%m-%dT%H:%M:%SZ}",
            f"Preferred-Languages: {', '.join(dict.fromkeys((self._site.language, *Language)))}",
            f"Canonical: {self._site.public_url}{SECURITY_ROUTE}",
        )
        return self._text("\n".join(lines) + "\n")

    async def robots(self, _: web.Request, __: Captured) -> web.StreamResponse:
        """Nothing here is for search engines."""
        return self._text("User-agent: *\nDisallow: /\n")

    async def key(self, _: web.Request, __: Captured) -> web.StreamResponse:
        """The public key that receipts are checked with, in PEM."""
        return self._text(self._receipt_key())

    def _text(self, text: str) -> web.Response:
        return web.Response(text=text, headers=self._headers)
