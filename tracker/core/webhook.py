"""Writes webhooks and signs them as Standard Webhooks has it (specification 1.0, section "Webhook headers").

The law: a person is named by the references alone that the receiver gave, and a time is an hour. What the identifier
is made from is stored, so that a webhook that is sent again has the same one.
"""

from __future__ import annotations

import hmac
import json
from base64 import b64decode, b64encode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Final

from tracker.core.calendar import instant_of
from tracker.core.export import AGENTS
from tracker.model import Change, Event, Hour, LedgerEvent, MessageKey, Purpose

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - no secret itself
SECRET_OCTETS: Final = range(24, 65)
"""How long the specification has a secret be."""
LONGEST_PAUSE: Final = timedelta(hours=6)
_TYPES: Final = {Purpose.OPEN: "message.opened", Purpose.CLICK: "message.clicked"}
_ENDS: Final = (LedgerEvent.WITHDRAWN, LedgerEvent.REFUSED, LedgerEvent.EXPIRED, LedgerEvent.ERASED)
"""After these the receiver deletes what it was told of the person, for the purposes that are named."""


@dataclass(frozen=True, slots=True)
class WaitingWebhook:
    """An event that is to be told, with what is told of it."""

    event: Event
    references: tuple[str, ...]
    """What the receiver calls the person: one, unless it has several numbers for them."""
    message: MessageKey
    label: str | None
    host: str | None
    """Of the link that was followed, as its path."""
    path: str | None
    tries: int
    """How often it was tried before."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits to be told; of very many events the first are counted."""

    waiting: int
    """Events, those among them whose hour has not turned yet."""
    refused: int
    """Those of them that were tried, and not taken."""
    oldest: Hour | None
    """The hour of the one that happened first."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """What goes out: the same octets and the same identifier each time it is tried."""

    id: str
    body: bytes = field(repr=False)


def secret_octets(secret: str) -> bytes:
    """The key of a SECRET as it is written, `whsec_` and base64. Raises ValueError."""
    try:
        octets = b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (NotBase64, ValueError):
        octets = b""
    if not secret.startswith(SECRET_PREFIX) or len(octets) not in SECRET_OCTETS:
        raise ValueError("must be whsec_ and 24 to 64 random octets in base64")
    return octets


def of_event(waiting: WaitingWebhook, key: bytes) -> Webhook:
    """That a person or a program opened a message or followed a link of it; KEY is the secret's."""
    event = waiting.event
    data: dict[str, Any] = {
        "references": list(waiting.references),
        "message": {"id": waiting.message.hex(), "label": waiting.label},
        "hour": _instant(instant_of(event.hour)),
        "agent": AGENTS[event.agent],
    }
    if waiting.host is not None:
        data["link"] = {"host": waiting.host, "path": waiting.path}
    fact = [event.last_day, event.delivery.hex(), event.purpose.value, event.link, event.hour, int(event.agent)]
    return _written(_TYPES[event.purpose], instant_of(event.hour), data, fact, key)


def of_changes(changes: Sequence[Change], key: bytes) -> tuple[tuple[int, Webhook], ...]:
    """The consents that ended among CHANGES, which are in the ledger's order: the entry of each, and its webhook."""
    made = []
    for entry, of_entry in groupby(changes, key=lambda change: change.entry):
        for event, same in groupby(sorted(of_entry, key=lambda one: one.event), key=lambda one: one.event):
            told = list(same)
            if not is_end(told[0]):
                continue
            references = sorted(one.reference for one in told)
            data = {
                "references": references,
                "purposes": sorted({purpose.value for one in told for purpose in one.purposes}),
            }
            fact = [entry, event.value, references]
            made.append((entry, _written(f"consent.{event.value}", told[0].at, data, fact, key)))
    return tuple(made)


def is_end(change: Change) -> bool:
    """Whether CHANGE says that a consent ended: only then it is told."""
    return change.event in _ENDS


def headers(webhook: Webhook, key: bytes, at: datetime) -> Mapping[str, str]:
    """The headers under which WEBHOOK goes out AT that time, signed with the secret's KEY."""
    stamp = str(int(at.timestamp()))
    signature = hmac.digest(key, b".".join((webhook.id.encode("ascii"), stamp.encode("ascii"), webhook.body)), "sha256")
    return {
        "content-type": "application/json",
        "webhook-id": webhook.id,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{b64encode(signature).decode('ascii')}",
    }


def pause(tries: int, drawn: float) -> timedelta:
    """How long to wait after TRIES that failed (1: the first one); DRAWN from 0 to 1 spreads those that wait.

    Doubles from ten seconds to six hours; half of it is drawn.
    """
    whole = min(timedelta(seconds=10 * 2 ** min(tries - 1, 20)), LONGEST_PAUSE)
    return whole / 2 + whole / 2 * drawn


def _written(kind: str, at: datetime | None, data: Mapping[str, Any], fact: Sequence[object], key: bytes) -> Webhook:
    said = {"type": kind, **({} if at is None else {"timestamp": _instant(at)}), "data": data}
    digest = hmac.digest(key, json.dumps([kind, *fact]).encode(), "sha256")
    body = json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()
    return Webhook("msg_" + urlsafe_b64encode(digest[:18]).decode("ascii"), body)


def _instant(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
