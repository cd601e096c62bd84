"""Examines what strangers meet behind `public_url`: fetches a pixel and a link as a mail program would.

The law: no event comes of it. The token is of no delivery and past its day, and each request says `Sec-GPC: 1`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol
from urllib.parse import urlsplit

from tracker.core.calendar import day_of
from tracker.core.keys import KeyRing
from tracker.core.tokens import MESSAGE_DIGEST_SIZE, PLAN_SIZE, DeliveryToken, Tokens
from tracker.doors.asker import Heard
from tracker.doors.hits import PIXEL
from tracker.doors.pages import answer_headers
from tracker.findings import Finding
from tracker.model import Day, DeliveryId, NoAnswer

TARGET: Final = "https://example.com/"
"""Where the link leads (RFC 2606); no redirect is followed, so that nobody asks there."""
PATIENCE: Final = 2.0
"""Seconds within which an image should be there."""
CERTIFICATE_DAYS: Final = 14
"""Before its end a certificate should have been renewed."""
HEADERS: Final[Mapping[str, str]] = {"User-Agent": "consent-tracker doctor", "Sec-GPC": "1", "Accept": "*/*"}
HSTS_NAME: Final = "Strict-Transport-Security"
NOT_FOR_STRANGERS: Final = ("/metrics", "/health/ready", "/openapi.json", "/sign-in")


class Ask(Protocol):
    """Asks for one thing, as `doors/asker.ask` does."""

    def __call__(self, method: str, url: str, headers: Mapping[str, str]) -> Heard:
        """The answer. Raises NoAnswer."""


@dataclass(frozen=True, slots=True)
class _Paths:
    """What is asked for: tokens of ours, and the same with a character changed."""

    pixel: str
    forged_pixel: str
    link: str
    forged_link: str


def examine_from_outside(
    public_url: str,
    ring: KeyRing,
    now: datetime,
    random_bytes: Callable[[int], bytes],
    ask: Ask,
    plain_port: int = 80,
) -> tuple[Finding, ...]:
    """What is to be said of PUBLIC_URL, asked with ASK; PLAIN_PORT: where http without TLS would be answered.

    Raises BadKeyFile when no key signs now.
    """
    paths = _paths(ring, now, random_bytes)
    try:
        pixel = ask("GET", public_url + paths.pixel, HEADERS)
        forged = ask("GET", public_url + paths.forged_pixel, HEADERS)
        link = ask("GET", public_url + paths.link, HEADERS)
        forged_link = ask("GET", public_url + paths.forged_link, HEADERS)
        inside = [path for path in NOT_FOR_STRANGERS if ask("GET", public_url + path, HEADERS).status != 404]
    except NoAnswer as error:
        return (Finding("public_url answers strangers", fine=False, why=error.detail),)
    return (
        Finding("public_url answers strangers", fine=True),
        _in_time(pixel),
        _encrypted(public_url, pixel, now),
        _pixels(pixel, forged),
        _links(link, forged_link),
        _as_sent(public_url, (pixel, forged, link)),
        Finding(
            "strangers reach the public listener alone",
            fine=not inside,
            why=f"it does not answer 404 to {', '.join(inside)}: let the reverse proxy lead to `public_listen` alone"
            if inside
            else "",
        ),
        *_plain(public_url, paths.pixel, ask, plain_port),
    )


def _paths(ring: KeyRing, now: datetime, random_bytes: Callable[[int], bytes]) -> _Paths:
    tokens = Tokens(ring)
    key_id = ring.signing_key(now).id
    token = DeliveryToken(
        last_day=Day(day_of(now) - 1),  # past its day: nothing is recorded, whoever asks
        delivery=DeliveryId(random_bytes(16)),
        plan=random_bytes(PLAN_SIZE),
        message_digest=random_bytes(MESSAGE_DIGEST_SIZE),
        issued=int(now.timestamp()),
        key_id=key_id,
    )
    delivery = tokens.sign_delivery(token).decode("ascii")
    part = tokens.sign_link(key_id, token.plan, TARGET)
    link = f"{part.part.decode('ascii')}/{part.host.decode('ascii')}/"
    forged = _altered(delivery)
    return _Paths(f"/o/{delivery}.gif", f"/o/{forged}.gif", f"/c/{delivery}/{link}", f"/c/{forged}/{link}")


def _altered(token: str) -> str:
    """TOKEN with one character in its middle changed."""
    at = len(token) // 2
    return token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]


def _in_time(pixel: Heard) -> Finding:
    late = pixel.seconds > PATIENCE
    why = f"the pixel took {pixel.seconds:.1f} s; mail programs show no images that take long" if late else ""
    return Finding("the pixel comes in time", fine=not late, why=why)


def _encrypted(public_url: str, pixel: Heard, now: datetime) -> Finding:
    what = "the certificate of public_url holds"
    if not public_url.startswith("https://"):
        return Finding(what, fine=True, note=True, why="public_url is this machine itself: nobody else can open it")
    if pixel.certificate_ends is None:
        return Finding(what, fine=False, why="the server showed none")
    left = pixel.certificate_ends - now
    soon = left < timedelta(days=CERTIFICATE_DAYS)
    why = f"it ends in {max(left.days, 0)} days: is it renewed by itself?" if soon else ""
    return Finding(what, fine=True, note=soon, why=why)


def _pixels(pixel: Heard, forged: Heard) -> Finding:
    what = "a pixel is the same image, whatever its token"
    for heard, kind in ((pixel, "of a token of ours"), (forged, "of a forged token")):
        if heard.status != 200 or heard.body != PIXEL or heard.headers.get("content-type") != "image/gif":
            return Finding(
                what,
                fine=False,
                why=f"that {kind} is not our GIF (status {heard.status}): does public_url lead to this tracker's "
                "public listener, and does nothing on the way change images?",
            )
    told = sorted(name for name in pixel.headers.keys() ^ forged.headers.keys())
    why = f"the answers differ in {', '.join(told)}: that tells strangers which tokens are ours" if told else ""
    return Finding(what, fine=not told, why=why)


def _links(link: Heard, forged: Heard) -> Finding:
    what = "a link leads on, and a forged one does not"
    why = ""
    if link.status != 302 or link.headers.get("location") != TARGET:
        why = (
            f"a link that this key file signed was answered {link.status}: another key file is in use there, or "
            "something on the way changes paths"
        )
    elif forged.status != 404:
        why = f"a forged link was answered {forged.status}: it must be 404"
    return Finding(what, fine=not why, why=why)


def _as_sent(public_url: str, answers: Sequence[Heard]) -> Finding:
    what = "answers come as they were sent, without cookies"
    for heard in answers:
        if "set-cookie" in heard.headers:
            return Finding(
                what, fine=False, why="something on the way sets a cookie: that would need a consent of its own"
            )
        for name, value in answer_headers(public_url).items():
            came = heard.headers.get(name.lower())
            own = name == HSTS_NAME and came is not None and "," not in came  # a proxy with TLS may say its own, once
            if came != value and not own:
                said = "is missing" if came is None else "was changed"
                return Finding(what, fine=False, why=f"{name} {said}; let the reverse proxy leave headers as they are")
    return Finding(what, fine=True)


def _plain(public_url: str, path: str, ask: Ask, plain_port: int) -> tuple[Finding, ...]:
    """What http says, where public_url is https at its usual port; elsewhere nobody would try it."""
    parts = urlsplit(public_url)
    if parts.scheme != "https" or (parts.port is not None and plain_port == 80):
        return ()
    what = "http leads to https"
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
    port = "" if plain_port == 80 else f":{plain_port}"
    try:
        heard = ask("GET", f"http://{host}{port}{path}", HEADERS)
    except NoAnswer:
        return (
            Finding(what, fine=True, note=True, why="nobody listens for http; who types the name alone sees nothing"),
        )
    to = heard.headers.get("location", "")
    right = heard.status in (301, 302, 307, 308) and to == public_url + path
    why = f"it was answered {heard.status}: redirect it to public_url with the whole path, and serve nothing there"
    return (Finding(what, fine=right, why="" if right else why),)
