"""Starts the SMTP proxy on the parts, where the settings ask for it."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tracker.config import Settings
from tracker.core.control import ControlNames
from tracker.doors.api_rewrite import HARD_LIMIT
from tracker.doors.budget import Budget
from tracker.doors.next_hop import NextHop
from tracker.doors.smtp.door import SmtpDoor
from tracker.doors.smtp.hops import Hops
from tracker.doors.smtp.office import Office, SmtpPolicy
from tracker.flows.relay import Relay
from tracker.listeners import SMTP, Sockets
from tracker.model import BadSetting
from tracker.parts import Clock, Parts


@asynccontextmanager
async def smtp_listening(parts: Parts, clock: Clock, sockets: Sockets) -> AsyncIterator[SmtpDoor | None]:
    """Listen on those of SOCKETS that are bound for mail, if any; at the end finish what was begun.

    Raises BadSetting.
    """
    bound = [(name, one) for name in SMTP for one in sockets.get(name, ())]
    if not bound:
        yield None
        return
    door = smtp_door(parts, clock)
    try:
        for name, one in bound:
            await door.listen(sock=one, tls=name == "smtps_listen")
        yield door
    finally:
        await door.close()


def smtp_door(parts: Parts, clock: Clock) -> SmtpDoor:
    """The door, which listens nowhere yet: `SmtpDoor.listen` takes a bound socket. Raises BadSetting."""
    settings = parts.settings
    assert settings.smtp_next_hop is not None, "the settings ask for it with smtp_listen"
    policy = smtp_policy(settings)
    office = Office(
        policy,
        Relay(parts.sender, parts.store, parts.metrics, clock),
        Hops(NextHop.of(settings.smtp_next_hop), policy.name),
        parts.access,
        Budget(settings.bodies_in_flight),
        clock,
    )
    return SmtpDoor(office)


def smtp_policy(settings: Settings) -> SmtpPolicy:
    """What SETTINGS say about the door. Raises BadSetting when the certificate cannot be used."""
    return SmtpPolicy(
        name=urlsplit(settings.public_url).hostname or "localhost",
        largest=HARD_LIMIT * settings.max_message,
        networks=settings.smtp_networks,
        control_networks=settings.control_networks,
        names=ControlNames(
            campaign_header=settings.campaign_header,
            reference_header=settings.reference_header,
            label_from_subject=settings.label_from == "subject",
        ),
        certificate=_certificate(settings.smtp_certificate, settings.smtp_private_key),
    )


def _certificate(chain: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if chain is None or key is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(chain, key)
    except (OSError, ssl.SSLError) as error:
        raise BadSetting(f"smtp_certificate, smtp_private_key: cannot be used: {type(error).__name__}") from None
    return context
