"""An identity provider that says whatever a test has it say, and notes what it was asked."""

from __future__ import annotations

import hmac
import json
from base64 import b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from aiohttp import web
from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.doors.dashboard_world import NOW, RITA
from tracker.doors.server import bind, listen

KEY, ANOTHER = (RSAKey.generate_key(2048, {"kid": kid}) for kid in ("one", "two"))


@dataclass
class LyingProvider:
    """Tells the truth until it is told otherwise."""

    issuer: str = ""
    now: datetime = NOW
    nonce: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    """What it publishes otherwise; None takes something out."""
    claims: dict[str, Any] = field(default_factory=dict)
    """What the identity token says otherwise."""
    userinfo: dict[str, Any] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=dict)
    key: RSAKey = field(default_factory=lambda: KEY)
    forged: bytes | None = None
    """A secret to sign with in place of its key (HS256); empty: it signs nothing (alg none)."""
    keys: tuple[RSAKey, ...] = (KEY,)
    status: int = 200
    asked: list[tuple[str, dict[str, str], str]] = field(default_factory=list)
    """Path, form and authorisation of what came."""

    async def discovery(self, _: web.Request) -> web.Response:
        said = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/auth",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "userinfo_endpoint": f"{self.issuer}/me",
            "authorization_response_iss_parameter_supported": True,
            **self.metadata,
        }
        return web.json_response({name: value for name, value in said.items() if value is not None})

    async def jwks(self, _: web.Request) -> web.Response:
        return web.json_response({"keys": [key.as_dict(private=False) for key in self.keys]})

    async def token(self, request: web.Request) -> web.Response:
        form = {name: values[0] for name, values in parse_qs(await request.text()).items()}
        self.asked.append(("/token", form, request.headers.get("Authorization", "")))
        seconds = int(self.now.timestamp())
        claims = {
            "iss": self.issuer, "sub": "4711", "aud": "tracker", "nonce": self.nonce,
            "iat": seconds, "exp": seconds + 300, "email": RITA, "email_verified": True, **self.claims,
        }  # fmt: skip
        header = {"alg": "RS256", "kid": "one", **self.header}
        told = {name: value for name, value in claims.items() if value is not None}
        token = jwt.encode(header, told, self.key) if self.forged is None else forged(told, self.forged)
        return web.json_response({"access_token": "a", "token_type": "Bearer", "id_token": token}, status=self.status)

    async def me(self, request: web.Request) -> web.Response:
        self.asked.append(("/me", {}, request.headers.get("Authorization", "")))
        return web.json_response({"sub": "4711", "email": RITA, "email_verified": True, **self.userinfo})

    def sent_out(self, location: str) -> dict[str, str]:
        """What the browser brings along by LOCATION; the nonce is noted, as a provider does."""
        parts = urlsplit(location)
        assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{self.issuer}/auth"
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.nonce = query["nonce"]
        return query


def forged(claims: dict[str, Any], secret: bytes) -> str:
    """A token over CLAIMS as whoever knows SECRET makes one; without a secret, an unsigned one."""
    header = {"alg": "HS256" if secret else "none", "kid": "one"}
    text = ".".join(_encoded(json.dumps(part).encode()) for part in (header, claims))
    return f"{text}.{_encoded(hmac.digest(secret, text.encode(), 'sha256')) if secret else ''}"


def _encoded(octets: bytes) -> str:
    return urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def basic(authorization: str) -> str:
    """Name and secret in AUTHORIZATION."""
    return b64decode(authorization.removeprefix("Basic ")).decode()


@asynccontextmanager
async def lying_provider() -> AsyncIterator[LyingProvider]:
    """One on a free port of loopback."""
    provider = LyingProvider()
    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", provider.discovery)
    app.router.add_get("/jwks", provider.jwks)
    app.router.add_post("/token", provider.token)
    app.router.add_get("/me", provider.me)
    runner = await listen(app, bind("127.0.0.1", 0))
    provider.issuer = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield provider
    finally:
        await runner.cleanup()
