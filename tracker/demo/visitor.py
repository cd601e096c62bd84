"""Everybody outside the tracker: the mail system, the reader's mail program, the rep, over HTTP."""

from __future__ import annotations

import asyncio
import email
import email.policy
import random
import re
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Any, Final

import aiohttp
from yarl import URL

from tracker.config import Settings
from tracker.parts import utc_now

BROWSER: Final = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"}
PATIENCE: Final = 30.0
"""Seconds for what happened to be written."""
PORTS: Final = range(20_000, 26_000)
"""Below those that the system gives away by itself."""


@dataclass(frozen=True, slots=True)
class TrackedMail:
    """A copy as it came back, and the tracker's URLs in it."""

    message: bytes
    reason: str | None
    links: str
    left: str
    html: str
    pixel: str
    notice: str
    tracked_links: tuple[str, ...]


class Visitor:
    """Requests from outside, each of one kind."""

    def __init__(self, session: aiohttp.ClientSession, settings: Settings, key: str) -> None:
        self.key = key
        self._session = session
        self._public = settings.public_url
        self._private = f"http://{settings.private_listen}"
        self._authorization = {"Authorization": f"Bearer {key}"}

    async def grant(self, address: str) -> str:
        """Report that ADDRESS agreed to both purposes; the state that comes back."""
        given = utc_now() - timedelta(days=20)
        body = {
            "address": address,
            "purposes": ["open", "click"],
            "method": "web-form",
            "given_at": given.strftime("%Y-%m-%dT09:00:00Z"),
            "notice_version": "2026-1",
            "language": "de",
            "evidence": {
                "source": "https://werkstatt-nord.example/brief",
                "confirmed_at": given.strftime("%Y-%m-%dT09:05:00Z"),
                "confirmed_by": "link-in-mail",
            },
        }
        async with self._session.post(f"{self._private}/v1/consents", json=body, headers=self._authorization) as answer:
            told = await answer.json(content_type=None)
            return "suppressed" if answer.status == 409 else str(told.get("state", answer.status))

    async def rewrite(self, message: bytes, recipient: str, headers: Mapping[str, str]) -> TrackedMail:
        """Hand over one copy, as a mail system does."""
        named = {"Content-Type": "message/rfc822", "Tracker-Recipient": recipient, "Tracker-Copy": "single"}
        async with self._session.post(
            f"{self._private}/v1/rewrite", data=message, headers={**self._authorization, **named, **headers}
        ) as answer:
            return self._read(await answer.read(), answer.headers)

    async def messages(self) -> list[dict[str, Any]]:
        """The figures of all messages, once all that happened is in them."""
        await self.until_written()
        async with self._session.get(f"{self._private}/v1/stats/messages", headers=self._authorization) as answer:
            told: list[dict[str, Any]] = (await answer.json())["messages"]
            return told

    async def until_written(self) -> None:
        """Ask until no event waits for the database: a hit is answered before its commit when that takes long."""
        with suppress(TimeoutError):  # then the figures show what is missing
            async with asyncio.timeout(PATIENCE):
                while b"\ntracker_events_waiting 0.0\n" not in await self._metrics():
                    await asyncio.sleep(0.05)

    async def loads(self, pixel: str) -> bool:
        """Load the image, as a mail program does; whether an image came."""
        async with self._session.get(pixel, headers=BROWSER) as answer:
            return answer.status == 200 and (await answer.read()).startswith(b"GIF8")

    async def prefetches(self, url: str) -> None:
        """Ask for a link as a scanner does."""
        async with self._session.head(url, headers=BROWSER, allow_redirects=False):
            pass

    async def follows(self, url: str) -> str | None:
        """Where a link leads; None when it leads nowhere."""
        async with self._session.get(_as_written(url), headers=BROWSER, allow_redirects=False) as answer:
            return answer.headers.get("Location")

    async def looks_at(self, notice: str) -> bool:
        """Open the page behind the notice; whether it has a button."""
        async with self._session.get(notice, headers=BROWSER) as answer:
            return answer.status == 200 and 'method="post"' in (await answer.text()).lower()

    async def presses(self, notice: str) -> bool:
        """Press the button on that page."""
        async with self._session.post(f"{notice}/withdraw", headers=BROWSER) as answer:
            return answer.status == 200

    async def _metrics(self) -> bytes:
        async with self._session.get(f"{self._private}/metrics", headers=self._authorization) as answer:
            return await answer.read()

    def _read(self, message: bytes, headers: Mapping[str, str]) -> TrackedMail:
        html = _html_of(message)
        base = re.escape(self._public)
        pixels = re.findall(rf"{base}/o/[A-Za-z0-9._-]+", html)
        notices = re.findall(rf"{base}/privacy/[A-Za-z0-9_-]+", html)
        return TrackedMail(
            message=message,
            reason=headers.get("Tracker-Reason"),
            links=headers.get("Tracker-Links", ""),
            left=headers.get("Tracker-Left", ""),
            html=html,
            pixel=pixels[0] if pixels else "",
            notice=notices[0] if notices else "",
            tracked_links=tuple(re.findall(rf"{base}/c/[A-Za-z0-9._~%:/-]+", html)),
        )


def free_ports(count: int) -> list[int]:
    """So many ports on loopback that nobody listens on just now.

    They are none of those that the system gives away, or connects from: it would not know that we want them.
    """
    return list(islice(filter(_is_free, random.sample(PORTS, len(PORTS))), count))


def _is_free(port: int) -> bool:
    with socket.socket() as probe, suppress(OSError):
        probe.bind(("127.0.0.1", port))
        return True
    return False


def _html_of(message: bytes) -> str:
    body = email.message_from_bytes(message, policy=email.policy.default).get_body(("html",))
    return "" if body is None else str(body.get_content())


def _as_written(url: str) -> URL:
    return URL(url, encoded=True)
