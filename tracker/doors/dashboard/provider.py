"""Asks a company's OpenID Connect provider who somebody is, and believes no answer that was not made for this asking.

The code flow with PKCE (RFC 7636), state and nonce; OpenID Connect Core 1.0 section 3.1, RFC 9207. The law: only the
provider that the settings name is asked, over https or on loopback; it tells an address, and nothing of what its owner
may do here.
"""

from __future__ import annotations

import hmac
import json
import logging
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import quote, urlsplit

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from authlib.oidc.discovery import get_well_known_url
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from tracker.doors.server import place
from tracker.model import ProviderAway, ProviderRefused

PATIENCE: Final = ClientTimeout(total=5)
LARGEST: Final = 256 * 1024
"""Bytes of an answer that are read."""
FRESH: Final = timedelta(hours=1)
"""How long what the provider publishes of itself is believed."""
LEEWAY: Final = 60
"""Seconds by which its clock may be off."""
ALGORITHMS: Final = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "Ed25519",
    "EdDSA",
)
"""Signatures with a key of the provider's own: none that anybody with the client's secret could make."""
SCOPE: Final = "openid email"
_log = logging.getLogger("tracker.dashboard")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One asking: what ties the answer to the browser that began it."""

    state: str
    nonce: str
    verifier: str = field(repr=False)

    @classmethod
    def of(cls, key: bytes, seed: str) -> Attempt:
        """The attempt of the browser that holds SEED, which says nothing without KEY."""

        def derived(use: str) -> str:
            digest = hmac.digest(key, f"provider {use} {seed}".encode("utf-8", "replace"), "sha256")
            return urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")

        return cls(derived("state"), derived("nonce"), derived("verifier"))


@dataclass(frozen=True, slots=True)
class Client:
    """What the provider knows the dashboard by."""

    issuer: str
    id: str
    secret: str | None = field(repr=False)
    redirect: str
    """Where it sends browsers back to."""


class Provider:
    """The company's provider. Raises ProviderAway when it does not answer, ProviderRefused for what does not hold."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._published: tuple[datetime, Mapping[str, Any], KeySet] | None = None

    async def address_to_ask(self, attempt: Attempt, now: datetime) -> str:
        """Where to send the browser for ATTEMPT."""
        metadata, _ = await self._known(now)
        address: str = prepare_grant_uri(
            metadata["authorization_endpoint"],
            self._client.id,
            "code",
            redirect_uri=self._client.redirect,
            scope=SCOPE,
            state=attempt.state,
            nonce=attempt.nonce,
            code_challenge=create_s256_code_challenge(attempt.verifier),
            code_challenge_method="S256",
        )
        return address

    async def email(self, answer: Mapping[str, str], attempt: Attempt, now: datetime) -> str:
        """The verified e-mail address of who came back with ANSWER, the query of the redirect, to ATTEMPT."""
        if not hmac.compare_digest(answer.get("state", "").encode("utf-8", "replace"), attempt.state.encode("ascii")):
            raise _refused("the state is another")
        metadata, _ = await self._known(now)
        issuer = answer.get("iss", "" if metadata.get("authorization_response_iss_parameter_supported") else None)
        if issuer not in (None, self._client.issuer):
            raise _refused("the answer is another provider's")
        if "code" not in answer:
            raise _refused("there is no code")
        tokens = await self._tokens(metadata, answer["code"], attempt)
        claims = await self._claims(tokens, attempt, now)
        if "email" not in claims and "userinfo_endpoint" in metadata:
            claims = await self._userinfo(metadata, tokens, str(claims["sub"]))
        if claims.get("email_verified") is not True or not isinstance(claims.get("email"), str):
            raise _refused("there is no verified address")
        email: str = claims["email"]
        return email

    async def _tokens(self, metadata: Mapping[str, Any], code: str, attempt: Attempt) -> Mapping[str, Any]:
        client = self._client
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": client.redirect,
            "code_verifier": attempt.verifier,
        }
        # RFC 6749 section 2.3.1: both parts are form-encoded first. `client_secret_basic` is what every provider takes
        # unless it says otherwise (Discovery 1.0 section 3).
        headers = {}
        if client.secret is None:
            form["client_id"] = client.id
        elif "client_secret_basic" in metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"]):
            pair = f"{quote(client.id, safe='')}:{quote(client.secret, safe='')}"
            headers["Authorization"] = f"Basic {b64encode(pair.encode('ascii')).decode('ascii')}"
        else:
            form |= {"client_id": client.id, "client_secret": client.secret}
        tokens = await _fetched(metadata["token_endpoint"], form=form, headers=headers)
        if not isinstance(tokens.get("id_token"), str) or not isinstance(tokens.get("access_token"), str):
            raise _refused("there is no identity token")
        return tokens

    async def _claims(self, tokens: Mapping[str, Any], attempt: Attempt, now: datetime) -> Mapping[str, Any]:
        """What the identity token says, if it was signed by the provider, for us, for this attempt, and just now."""
        client = self._client
        try:
            token = await self._verified(tokens["id_token"], now)
            claims = CodeIDToken(
                token.claims,
                token.header,
                options={
                    "iss": {"essential": True, "value": client.issuer},
                    "aud": {"essential": True, "value": client.id},
                },
                params={"nonce": attempt.nonce, "client_id": client.id, "access_token": tokens["access_token"]},
            )
            claims.validate(now=int(now.timestamp()), leeway=LEEWAY)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise _refused(f"the identity token does not hold ({type(error).__name__})") from None
        return dict(claims)

    async def _verified(self, text: str, now: datetime) -> jwt.Token:
        _, keys = await self._known(now)
        try:
            return jwt.decode(text, keys, algorithms=list(ALGORITHMS))
        except (JoseError, ValueError):
            self._published = None  # it may have taken another key into use
            _, keys = await self._known(now)
            return jwt.decode(text, keys, algorithms=list(ALGORITHMS))

    async def _userinfo(
        self, metadata: Mapping[str, Any], tokens: Mapping[str, Any], subject: str
    ) -> Mapping[str, Any]:
        bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
        claims = await _fetched(metadata["userinfo_endpoint"], headers=bearer)
        if claims.get("sub") != subject:
            raise _refused("the address is somebody else's")
        return claims

    async def _known(self, now: datetime) -> tuple[Mapping[str, Any], KeySet]:
        """What the provider publishes of itself, and its keys."""
        if self._published is not None and now - self._published[0] < FRESH:
            return self._published[1:]
        metadata = await _fetched(get_well_known_url(self._client.issuer, external=True))
        if metadata.get("issuer") != self._client.issuer:
            raise _refused("it calls itself otherwise than oidc_issuer")
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"):
            if name != "userinfo_endpoint" or name in metadata:
                self._check(metadata.get(name))
        try:
            keys = KeySet.import_key_set(await _fetched(metadata["jwks_uri"]))  # type: ignore[arg-type]
        except (JoseError, ValueError, TypeError, KeyError):
            raise _refused("its keys cannot be read") from None
        self._published = (now, metadata, keys)
        return metadata, keys

    def _check(self, endpoint: object) -> None:
        """Raise ProviderRefused unless ENDPOINT is reached as safely as the issuer is."""
        parts = urlsplit(endpoint if isinstance(endpoint, str) else "")
        issuer = urlsplit(self._client.issuer)
        if parts.scheme == "https" or (issuer.scheme == "http" and parts[:2] == issuer[:2]):
            return
        raise _refused("it names an address that is not https")


async def _fetched(
    url: str,
    *,
    form: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Mapping[str, Any]:
    """The JSON object that URL answers: to a POST of FORM, else to a GET. It follows no redirect."""
    method = "GET" if form is None else "POST"
    try:
        async with (
            ClientSession(timeout=PATIENCE, cookie_jar=DummyCookieJar()) as session,
            session.request(
                method,
                url,
                data=form,
                headers={"Accept": "application/json", **(headers or {})},
                allow_redirects=False,
            ) as answer,
        ):
            status, octets = answer.status, await answer.content.read(LARGEST + 1)
            while len(octets) <= LARGEST and (more := await answer.content.read(LARGEST)):
                octets += more
    except (ClientError, TimeoutError, OSError) as error:
        _log.warning("the company's provider does not answer: %s", place(error))
        raise ProviderAway from None
    if status >= 500:
        _log.warning("the company's provider answers %d", status)
        raise ProviderAway
    if status != 200 or len(octets) > LARGEST:
        raise _refused(f"it answers {status}")
    try:
        said = json.loads(octets)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise _refused("it answers no JSON object")
    return said


def _refused(why: str) -> ProviderRefused:
    _log.warning("a sign-in with the company's provider was refused: %s", why)
    return ProviderRefused(why)
