"""The dashboard's cookie, and the key that ties a form to the browser that was shown it."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Callable
from hashlib import blake2b
from hmac import compare_digest

from aiohttp import web


class Cookie:
    """Held for this host alone, by no script, and sent along by links from elsewhere but by no other site's forms.

    Lax, since a button in the CRM leads here. It ends with the browser; when it is over before is the store's business.
    """

    def __init__(self, dashboard_url: str) -> None:
        # Over plain http, which the settings allow on loopback alone, Chromium keeps a cookie that is `Secure` and with
        # it one whose name begins with `__Host-`; not every browser does.
        self.secure = dashboard_url.startswith("https://")
        self.name = "__Host-staff" if self.secure else "staff"

    def read(self, request: web.Request) -> str:
        """What REQUEST brought; empty when it brought none."""
        return request.cookies.get(self.name, "")

    def give(self, answer: web.StreamResponse, token: str) -> None:
        """Set it to TOKEN with ANSWER."""
        answer.set_cookie(self.name, token, path="/", secure=self.secure, httponly=True, samesite="Lax")

    def take(self, answer: web.StreamResponse) -> None:
        """Have it dropped."""
        answer.set_cookie(self.name, "", max_age=0, path="/", secure=self.secure, httponly=True, samesite="Lax")


def new_token(random_bytes: Callable[[int], bytes]) -> str:
    """A token for a browser that has none; it opens nothing."""
    return urlsafe_b64encode(random_bytes(24)).decode("ascii")


def form_key(token: str) -> str:
    """What each form carries that is shown to the browser with TOKEN; it does not lead back to the token."""
    digest = blake2b(token.encode("utf-8", "replace"), digest_size=24, person=b"dashboard form")
    return urlsafe_b64encode(digest.digest()).decode("ascii")


def is_form_key(token: str, given: str) -> bool:
    """Whether GIVEN is the form key of the browser with TOKEN; a browser without one has none."""
    return bool(token) and compare_digest(form_key(token).encode("ascii"), given.encode("utf-8", "replace"))
