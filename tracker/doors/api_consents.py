"""The door for consent: mail systems report what people agreed to, look it up, and report what they took back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from aiohttp import web

from tracker.core.calendar import date_of
from tracker.doors.api_access import Gate
from tracker.doors.api_bodies import read_json
from tracker.doors.schemas import ConsentBody, LookupBody, WithdrawBody
from tracker.flows.asking import Asking
from tracker.flows.consent import Consents, Lookup, ReportedConsent
from tracker.flows.recording import Answer, Outcome
from tracker.model import ConsentState, LedgerContent, Method, Purpose, Scope

STATUS: Final = {
    ConsentState.LIVE: 201,
    ConsentState.UNCHANGED: 200,
    ConsentState.PENDING: 202,
    ConsentState.WITHDRAWN: 200,
}


class ConsentsDoor:
    """Answers `POST /v1/consents`, `/lookup` and `/withdraw`; all raise what flows/consent raises, and Problem."""

    def __init__(self, consents: Consents, asking: Asking, gate: Gate, clock: Callable[[], datetime]) -> None:
        self._consents = consents
        self._asking = asking
        self._gate = gate
        self._clock = clock

    async def report(self, request: web.Request) -> web.Response:
        """Record a consent: 201 live, 200 unchanged, 202 pending; a call's no to further calls 200 withdrawn.

        A call may be about mail and about calls: then `phone` says what became of the answer about calls. What waits
        is mailed if the person asked for that.
        """
        key = await self._gate(request, Scope.CONSENT)
        body = await read_json(request, ConsentBody)
        reported = reported_consent(body, key.name, requested=body.requested)
        now = self._clock()
        if reported.method is Method.PHONE:
            outcome = await self._consents.report_all(reported, now)
        else:
            outcome = Outcome(mail=await self._consents.report(reported, now), phone=None)
        waits = outcome.mail is not None and outcome.mail[0] is ConsentState.PENDING
        if reported.requested and waits and reported.method is not Method.IMPORTED:
            await self._asking.confirm(reported, now)  # here alone: what comes in masses mails nobody
        phone = {} if outcome.mail is None or outcome.phone is None else {"phone": said_of(outcome.phone)}
        return web.json_response({**said_of(outcome.answer), **phone}, status=STATUS[outcome.answer[0]])

    async def lookup(self, request: web.Request) -> web.Response:
        """Where a person stands, and how it came about."""
        await self._gate(request, Scope.CONSENT)
        body = await read_json(request, LookupBody)
        return web.json_response(_lookup(await self._consents.lookup(body.address, self._clock())))

    async def withdraw(self, request: web.Request) -> web.Response:
        """Record a no; the same answer the second time."""
        key = await self._gate(request, Scope.CONSENT)
        body = await read_json(request, WithdrawBody)
        await self._consents.withdraw(body.address, body.purposes or frozenset(), key.name, self._clock())
        return web.json_response({"state": "withdrawn", "purposes": _in_order(body.purposes or frozenset(Purpose))})


def reported_consent(body: ConsentBody, actor: str, *, requested: bool) -> ReportedConsent:
    """What BODY reports, as the flows know it."""
    return ReportedConsent(
        address=body.address,
        purposes=body.purposes,
        method=body.method,
        given_at=body.given_at,
        notice_version=body.notice_version,
        language=body.language,
        evidence=body.evidence.evidence(),
        actor=actor,
        reference=body.reference,
        requested=requested,
    )


def said_of(answer: Answer) -> dict[str, Any]:
    """ANSWER as the API says it."""
    state, until = answer
    return {"state": state, "until": None if until is None else date_of(until).isoformat()}


def _lookup(found: Lookup) -> dict[str, Any]:
    standing = found.standing
    return {
        "grants": [
            {
                "purpose": purpose,
                "given_at": _instant(grant.given_at),
                "notice_version": grant.notice_version,
                "until": date_of(grant.last_day).isoformat(),
            }
            for purpose, grant in sorted(standing.grants.items())
        ],
        "pending": [
            {"purpose": purpose, "method": pending.method, "until": date_of(pending.last_day).isoformat()}
            for purpose, pending in sorted(standing.pending.items())
        ],
        "suppressed": [
            {"purpose": purpose, "until": date_of(last_day).isoformat()}
            for purpose, last_day in sorted(standing.suppressed.items())
        ],
        "history": [_entry(entry) for entry in found.history],
    }


def _entry(entry: LedgerContent) -> dict[str, Any]:
    said = {
        "entry": entry.entry,
        "event": entry.event,
        "purposes": _in_order(entry.purposes),
        "at": _instant(entry.recorded_at),
        "actor": entry.actor,
        "method": entry.method,
        "given_at": entry.given_at and _instant(entry.given_at),
        "notice_version": entry.notice_version,
        "notice_hash": entry.notice_hash,
        "language": entry.language,
        "evidence": _plain(asdict(entry.evidence)),
    }
    return _plain(said)


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """VALUES without those that are not known, and with instants written out."""
    return {
        name: _instant(value) if isinstance(value, datetime) else value
        for name, value in values.items()
        if value is not None
    }


def _in_order(purposes: frozenset[Any]) -> list[str]:
    return sorted(purposes)


def _instant(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
