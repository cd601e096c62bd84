"""Tells how a sample goes the whole way: consent, the tracker's own door, the next hop, and back as an event.

The law: it goes as any mail goes, and leaves behind what any mail leaves.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Final, Protocol
from urllib.parse import urlsplit

from tracker.config import Listen, Settings
from tracker.core.address import mask_addresses
from tracker.core.calendar import date_of, day_of, later
from tracker.core.glance import glance
from tracker.core.identity import delivery_id, digest_of, mail_key, owner_of
from tracker.core.pseudonym import normalise, pseudonym
from tracker.core.survey import Refused
from tracker.doors.asker import Heard
from tracker.doors.next_hop import NextHop
from tracker.doors.sample_mail import SampleMail
from tracker.doors.submission import Unreached, submitted
from tracker.flows.consent import ReportedConsent
from tracker.model import (
    MAIL_PURPOSES,
    ApiKey,
    ConsentState,
    DeliveryRef,
    Engagement,
    Evidence,
    Forbidden,
    InvalidField,
    Method,
    NothingToTry,
    NoWayToTry,
    OwnActor,
    Pseudonym,
    Purpose,
    Reason,
    Reply,
    SampleNotTaken,
    SampleRefused,
    SampleUntracked,
    Scope,
)
from tracker.parts import Parts

LOOK_AGAIN: Final = 0.5
"""Seconds between two looks whether the pixel came back."""
_ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what one listens on is not where one connects to
_WORDS: Final = {Purpose.OPEN: "opens", Purpose.CLICK: "clicks"}


class Ask(Protocol):
    """Asks our private listener, as `doors/asker.ask` does."""

    def __call__(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> Heard:
        """The answer. Raises NoAnswer."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the operator asked for."""

    address: str = field(repr=False)
    sender: str | None = field(default=None, repr=False)
    """None: `contact`."""
    link: str | None = None
    """None: the website of the sender's domain."""
    proof: str | None = None
    """What proves that the owner of the mailbox agrees, where that is to be put on record first."""
    key: str | None = field(default=None, repr=False)
    """An API key."""
    wait: int = 0
    """Seconds to wait for what comes back."""


@dataclass(frozen=True, slots=True)
class _Sample:
    message: bytes = field(repr=False)
    sender: str = field(repr=False)
    recipient: str = field(repr=False)
    person: Pseudonym
    key: ApiKey | None


class Trial:
    """Mails a sample and looks what becomes of it."""

    def __init__(
        self,
        parts: Parts,
        say: Callable[[str], None],
        clock: Callable[[], datetime],
        random_bytes: Callable[[int], bytes],
        ask: Ask,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._parts = parts
        self._settings: Settings = parts.settings
        self._say = say
        self._clock = clock
        self._random_bytes = random_bytes
        self._ask = ask
        self._sleep = sleep
        self._name = urlsplit(self._settings.public_url).hostname or "localhost"

    async def run(self, wish: Wish) -> bool:
        """Do what WISH says, step by step; False when it was to wait and nothing came back.

        Raises InvalidAddress, InvalidField, AddressInValue, Suppressed, NothingToTry, NoWayToTry, Unauthorized,
        Forbidden, NoAnswer, SampleNotTaken, SampleRefused, SampleUntracked, StoreUnavailable.
        """
        sample = await self._prepared(wish)
        await self._consent(wish)
        await self._look_at(sample)
        await (self._by_smtp(sample, wish) if self._settings.smtp_listen else self._by_api(sample, wish))
        measured = await self._engagement(sample)
        if measured is None or not measured.measurable:
            raise SampleUntracked(
                "it left as it came: the running server works with other settings than these (start it again), or the "
                "next hop refused the tracked copy and took the plain one"
            )
        until = date_of(later(day_of(self._clock()), self._settings.retention_days))
        self._say(f"Tracked: {_listed(measured.measurable)} are measured, and forgotten after {until}.")
        self._say(_what_to_look_for(self._settings.machine_seconds))
        return wish.wait == 0 or await self._came_back(sample, wish.wait)

    async def _prepared(self, wish: Wish) -> _Sample:
        settings = self._settings
        if settings.smtp_next_hop is None:
            raise NoWayToTry("smtp_next_hop is not set")
        if settings.smtp_listen is None and wish.key is None:
            raise NoWayToTry("there is no smtp_listen, and for /v1/rewrite an API key is needed: --key FILE")
        key = None
        if wish.key is not None:
            key = await self._parts.access.authenticate(wish.key, day_of(self._clock()))
            if Scope.REWRITE not in key.scopes:
                raise Forbidden("rewrite")
        recipient, sender = _mailbox(wish.address, "ADDRESS"), _mailbox(wish.sender or settings.contact, "--from")
        link = wish.link or f"https://{sender.rpartition('@')[2]}/"
        if urlsplit(link).scheme not in ("http", "https") or not urlsplit(link).hostname or not link.isascii():
            raise InvalidField("--link: an address that begins with https://")
        message_id = f"<{self._random_bytes(16).hex()}@{self._name}>"
        writer = SampleMail(settings.controller, settings.language)
        return _Sample(
            message=writer.written(sender, recipient, link, message_id, self._clock()),
            sender=sender,
            recipient=recipient,
            person=pseudonym(self._parts.keys().ring.pseudonym_keys, normalise(recipient)),
            key=key,
        )

    async def _consent(self, wish: Wish) -> None:
        now = self._clock()
        standing = (await self._parts.consents.lookup(wish.address, now)).standing
        granted = MAIL_PURPOSES & standing.grants.keys()
        if wish.proof is not None and granted != MAIL_PURPOSES:
            notice = await self._parts.asking.notice(self._settings.language, self._settings.language)
            state, _ = await self._parts.consents.report(
                ReportedConsent(
                    address=wish.address,
                    purposes=MAIL_PURPOSES,
                    method=Method.WRITTEN,
                    given_at=now,
                    notice_version=notice.version,
                    language=notice.language,
                    evidence=Evidence(source=wish.proof, confirmed_at=now, confirmed_by="tracker try"),
                    actor=OwnActor.CLI,
                ),
                now,
            )
            if state in (ConsentState.LIVE, ConsentState.UNCHANGED):
                granted = MAIL_PURPOSES
                self._say(f"Recorded a consent to notice {notice.version} ({notice.language}), with your proof.")
        if not granted:
            waits = MAIL_PURPOSES & standing.pending.keys()
            refused = MAIL_PURPOSES & standing.suppressed.keys()
            raise NothingToTry("a no is on record" if refused else "one waits for the person's word" if waits else "")
        self._say(f"Consent is on record: {_listed(granted)}.")

    async def _look_at(self, sample: _Sample) -> None:
        """Say before anything is sent what would keep the sample from being tracked."""
        if self._settings.mode == "observe":
            raise SampleUntracked('mode = "observe" changes nothing; nothing was sent')
        survey = await self._parts.surveys(sample.message, OwnActor.CLI, self._clock())
        if isinstance(survey, Refused):
            raise SampleUntracked(f"{survey.reason}; nothing was sent")
        if survey.foreign_sender:
            raise SampleUntracked(f"{Reason.FOREIGN_SENDER}: sender_domains lacks the sender's; nothing was sent")

    # --- the two ways --------------------------------------------------------------------------------

    async def _by_smtp(self, sample: _Sample, wish: Wish) -> None:
        assert self._settings.smtp_listen is not None
        login = None if sample.key is None or wish.key is None else (sample.key.name, wish.key)
        where = _reached_at(self._settings.smtp_listen)
        user, password = login or (None, None)
        proxy = NextHop(host=where.host, port=where.port, tls=False, user=user, password=password)
        try:
            reply = await submitted(proxy, self._name, sample.sender, sample.recipient, sample.message)
        except Unreached as error:
            raise SampleNotTaken(f"{where}: {error.why}") from None
        if reply.code == 530:
            raise SampleNotTaken(f"{where}: {_said(reply)}")
        if not reply.is_yes:
            raise SampleRefused(_said(reply))
        self._say(f"The tracker took it at {where} and passed it on; the next hop said: {_said(reply)}")

    async def _by_api(self, sample: _Sample, wish: Wish) -> None:
        copy = await self._rewritten(sample, wish)
        assert self._settings.smtp_next_hop is not None
        hop = NextHop.of(self._settings.smtp_next_hop)
        try:
            reply = await submitted(hop, self._name, sample.sender, sample.recipient, copy)
        except Unreached as error:
            await self._take_back(sample)
            raise SampleRefused(f"{hop.host}:{hop.port}: {error.why}") from None
        if not reply.is_yes:
            await self._take_back(sample)
            raise SampleRefused(_said(reply))
        self._say(f"Handed to the next hop; it said: {_said(reply)}")

    async def _rewritten(self, sample: _Sample, wish: Wish) -> bytes:
        where = _reached_at(self._settings.private_listen)
        headers = {
            "Authorization": f"Bearer {wish.key}",
            "Content-Type": "message/rfc822",
            "Tracker-Recipient": sample.recipient,
        }
        ask = partial(self._ask, "POST", f"http://{where}/v1/rewrite", headers, sample.message)
        heard = await asyncio.to_thread(ask)
        if heard.status != 200:
            raise SampleNotTaken(f"/v1/rewrite answered {heard.status}{_problem(heard)}")
        if heard.headers.get("tracker-outcome") != "tracked":
            reason = heard.headers.get("tracker-reason", "no reason was given")
            raise SampleUntracked(f"/v1/rewrite said: {reason}; nothing was sent")
        links = heard.headers.get("tracker-links", "?")
        self._say(f"/v1/rewrite at {where} made a tracked copy of it, with {links} links tracked.")
        return heard.body

    async def _take_back(self, sample: _Sample) -> None:
        """Nobody got the copy: it is not to be counted as sent."""
        keys = self._parts.keys().ring.digest_keys
        today = day_of(self._clock())
        delivery = delivery_id(keys.delivery, digest_of(sample.message), sample.person, today)
        await self._parts.store.take_back(DeliveryRef(later(today, self._settings.retention_days), delivery))

    # --- what comes of it ----------------------------------------------------------------------------

    async def _engagement(self, sample: _Sample) -> Engagement | None:
        """What is on record of the sample; None where it left untracked."""
        keys = self._parts.keys().ring.digest_keys
        head = glance(sample.message)
        login = (sample.key and sample.key.owner) or head.from_address or ""
        owner = owner_of(keys.owner, login)
        message = mail_key(keys.message, owner, head.identity)
        figures = await self._parts.store.person(sample.person, frozenset({owner}), day_of(self._clock()))
        return next((one for one in figures.messages if one.message == message), None)

    async def _came_back(self, sample: _Sample, seconds: int) -> bool:
        self._say(f"Waiting up to {seconds} s for the mail to be opened ...")
        by_machine = False
        for _ in range(max(1, round(seconds / LOOK_AGAIN))):
            seen = await self._engagement(sample)
            if seen is None:
                self._say("The consent was withdrawn meanwhile, and all that was measured is gone.")
                return False
            if seen.opened is not None or seen.clicked is not None:
                what = " and ".join(
                    word for word, hour in (("opened", seen.opened), ("its link followed", seen.clicked)) if hour
                )
                self._say(f"It came back: the sample was {what}. The whole way works.")
                return True
            if seen.machines and not by_machine:
                by_machine = True
                self._say(
                    "A program looked at it, such as a mail filter - or you, within "
                    f"{self._settings.machine_seconds} s of its sending. Open it once more, please."
                )
            await self._sleep(LOOK_AGAIN)
        if by_machine:
            self._say("Nobody but a program looked at it in time; the way back works.")
            return True
        self._say(
            "Nothing came back in time.\n"
            "  What it means: nobody opened it, or the mail program shows no images, or public_url cannot be reached.\n"
            "  What to do:    look for the mail (in the spam folder, too), show its images, follow its link; "
            "`tracker doctor --from-outside` tells whether public_url works."
        )
        return False


def _mailbox(address: str, field_name: str) -> str:
    """ADDRESS as it is named to a mail server. Raises InvalidAddress, InvalidField."""
    if address.isascii():
        normalise(address)
        return address
    local, _, domain = normalise(address).rpartition("@")
    if not local.isascii():
        raise InvalidField(f"{field_name}: the sample goes to addresses in ASCII letters alone")
    return f"{local}@{domain}"


def _reached_at(listen: Listen) -> Listen:
    """Where whoever is on this machine reaches a listener that LISTENs there."""
    return Listen(_ANY.get(listen.host, listen.host), listen.port)


def _said(reply: Reply) -> str:
    """REPLY in a line; a mail server may name the address."""
    return f"{reply.code} {mask_addresses(' '.join(reply.text.split()))}"


def _problem(heard: Heard) -> str:
    try:
        title = json.loads(heard.body)["title"]
    except (ValueError, KeyError, TypeError):
        return ""
    return f": {title}"


def _listed(purposes: frozenset[Purpose]) -> str:
    return " and ".join(word for purpose, word in _WORDS.items() if purpose in purposes)


def _what_to_look_for(machine_seconds: int) -> str:
    moment = f"Wait {machine_seconds} s (what is faster counts as a program). " if machine_seconds else ""
    return (
        "What to look for: the mail arrives; at its end stands what is measured, with the link that stops it.\n"
        f"  {moment}Open it with its images, and follow its link.\n"
        "  Then `tracker subject show`, with the address on stdin, lists the event, and /v1/stats/messages counts it; "
        "the dashboard does when the hour is over."
    )
