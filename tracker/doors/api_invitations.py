"""The door for invitations: a mail system gets a link by which its own lawful mail asks a person (LAW.md R8)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from aiohttp import web

from tracker.doors.api_access import Gate
from tracker.doors.api_bodies import read_json
from tracker.doors.schemas import InvitationBody
from tracker.flows.asking import Asking
from tracker.model import Language, Scope


class InvitationsDoor:
    """Answers `POST /v1/consents/invitations`: one person a call; raises what flows/asking raises, and Problem."""

    def __init__(self, asking: Asking, gate: Gate, clock: Callable[[], datetime], language: Language) -> None:
        """LANGUAGE is that of who is asked where a call names none."""
        self._asking = asking
        self._gate = gate
        self._clock = clock
        self._language = language

    async def invite(self, request: web.Request) -> web.Response:
        """201 with the link and when it ends."""
        key = await self._gate(request, Scope.INVITE)
        body = await read_json(request, InvitationBody)
        invitation = await self._asking.invite(
            body.address,
            body.purposes,
            body.language or self._language,
            key.name,
            self._clock(),
            reference=body.reference,
        )
        expires_at = invitation.expires_at.astimezone(UTC).isoformat().replace("+00:00", "Z")
        return web.json_response({"url": invitation.url, "expires_at": expires_at}, status=web.HTTPCreated.status_code)
