"""Tells the story step by step against a running tracker, and says so when a step does not do what it says."""

from __future__ import annotations

import asyncio
import logging
import secrets
import tempfile
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Final

import aiohttp
import click

from tracker import installation
from tracker.config import Settings, load
from tracker.core.calendar import day_of
from tracker.dashboard import accounts
from tracker.demo.rep import Rep
from tracker.demo.visitor import TrackedMail, Visitor, free_ports
from tracker.flows.access import Access
from tracker.flows.sweep import sweep
from tracker.logs import configure
from tracker.model import Language, Role, Scope
from tracker.parts import built, utc_now
from tracker.service import serve

ANNA, BERT, CARA = "anna@example.org", "bert@example.org", "cara@example.org"
REP: Final = "jonas@werkstatt-nord.example"
STAFF: Final = {
    REP: Role.REP,
    "mara@werkstatt-nord.example": Role.MANAGER,
    "paula@werkstatt-nord.example": Role.PRIVACY,
}
"""Who signs in at the dashboard."""
NAMES: Final = {Role.REP: "a rep", Role.MANAGER: "a manager", Role.PRIVACY: "the privacy officer"}
CAMPAIGN: Final = {"Tracker-Label": "Herbstbrief", "Tracker-Campaign": "herbst-2026", "Tracker-Owner": REP}
STATEMENTS: Final = {
    "TRACKER_CONTROLLER_ADDRESS": "Hafenstraße 1, 24103 Kiel",
    "TRACKER_DATA_PROTECTION_OFFICER": "none",
    "TRACKER_SUPERVISORY_AUTHORITY": "Unabhängiges Landeszentrum für Datenschutz Schleswig-Holstein",
    "TRACKER_PURPOSES": "Damit wir wissen, ob unsere Angebote ankommen und was darin wichtig war.",
    "TRACKER_DATA_RECIPIENTS": "unser Vertrieb",
    "TRACKER_HOSTING": "auf unserem eigenen Server in Kiel",
    "TRACKER_TRANSFERS": "none",
}
"""What this controller tells of itself in its privacy notice."""
AT_ONCE: Final = {"TRACKER_MACHINE_SECONDS": "0"}
"""The people of this story open their mail as soon as it was written; elsewhere only programs are that quick."""
OFFER: Final = {"Tracker-Label": "Offer 2026-118", "Tracker-Owner": REP}


class StoryFailed(Exception):
    """A step did not do what it says."""


async def tell(*, once: bool) -> int:
    """Tell the story; 0, or 1 when a step failed. Unless ONCE, keep the tracker running until Ctrl-C."""
    with tempfile.TemporaryDirectory(prefix="tracker-demo-") as name:
        folder = Path(name)
        with (folder / "tracker.log").open("w") as log_file:
            configure(log_file)
            settings, key, password = await _installed(folder)
            ready, stop = asyncio.Event(), asyncio.Event()
            server = asyncio.create_task(serve(settings, ready.set, stop=stop))
            listening = asyncio.create_task(ready.wait())
            await asyncio.wait((server, listening), return_when=asyncio.FIRST_COMPLETED)
            try:
                if server.done():
                    await server
                async with aiohttp.ClientSession() as session:
                    visitor = Visitor(session, settings, key)
                    await Story(visitor, settings, folder, password).tell()
                    if not once:
                        await _invite(visitor, settings, folder, password)
                        await server
            except StoryFailed as failure:
                click.secho(f"  This did not happen: {failure}", fg="red", err=True)
                return 1
            finally:
                stop.set()
                await asyncio.gather(server, listening, return_exceptions=True)
    return 0


class Story:
    """The steps, in order."""

    def __init__(self, visitor: Visitor, settings: Settings, folder: Path, password: str) -> None:
        """PASSWORD: the rep's."""
        self._visitor = visitor
        self._settings = settings
        self._folder = folder
        self._password = password
        self._steps = 0

    async def tell(self) -> None:
        """All of it. Raises StoryFailed."""
        await self._consent_is_recorded()
        newsletter, caras = await self._mail_is_rewritten_for_who_agreed()
        offer = await self._other_kinds_of_mail()
        await self._somebody_reads(newsletter, offer, caras)
        await self._another_system_reads(opened=3, clicked=1)
        async with Rep.at(self._settings.dashboard_url) as rep:
            await self._the_rep_looks(rep)
            await self._the_recipient_says_no(newsletter, rep)
        await self._everything_expires()
        self._nothing_rests_on_disk()

    async def _consent_is_recorded(self) -> None:
        self._step("Consent is recorded")
        for person in (ANNA, CARA):
            state = await self._visitor.grant(person)
            self._expect(state == "live", f"{person} agreed on a web form and confirmed it: the grant is {state}")
        state = await self._visitor.grant(ANNA)
        self._expect(state == "unchanged", f"the same again tonight changes nothing: {state}")
        self._say(f"{BERT} was never asked")

    async def _mail_is_rewritten_for_who_agreed(self) -> tuple[TrackedMail, TrackedMail]:
        self._step("A newsletter goes out (quoted-printable, MSO buttons)")
        message = _sample("newsletter.eml")
        untouched = await self._visitor.rewrite(message, BERT, CAMPAIGN)
        self._expect(
            untouched.message == message and untouched.reason == "no-grant",
            f"for {BERT}: not one of {len(message)} bytes changed ({untouched.reason})",
        )
        tracked = await self._visitor.rewrite(message, ANNA, CAMPAIGN)
        self._expect(tracked.reason is None and bool(tracked.pixel), f"for {ANNA}: tracked, links {tracked.links}")
        self._expect("visible-url" in tracked.left, f"left alone: {tracked.left}")
        for url in tracked.tracked_links[:1]:
            self._say(f"a link now reads {url}")
        cara = await self._visitor.rewrite(message, CARA, CAMPAIGN)
        self._expect(cara.pixel != tracked.pixel, f"for {CARA}: the same, with tokens of her own")
        return tracked, cara

    async def _other_kinds_of_mail(self) -> TrackedMail:
        self._step("A rep's own mail goes out")
        offer = await self._visitor.rewrite(_sample("offer.eml"), ANNA, OFFER)
        self._expect(offer.reason is None, f"an offer with an attachment: tracked, links {offer.links}")
        for name, reason in (("signed.eml", "signed"), ("note.eml", "nothing-to-track")):
            message = _sample(name)
            answer = await self._visitor.rewrite(message, ANNA, OFFER)
            self._expect(answer.message == message and answer.reason == reason, f"{name}: untouched ({answer.reason})")
        return offer

    async def _somebody_reads(self, newsletter: TrackedMail, offer: TrackedMail, caras: TrackedMail) -> None:
        self._step("Anna opens both and follows a link")
        for mail in (newsletter, offer):
            self._expect(await self._visitor.loads(mail.pixel), "her mail program loads the pixel")
        self._expect(await self._visitor.loads(caras.pixel), "and so does Cara's")
        await self._visitor.prefetches(offer.tracked_links[0])
        self._say("a scanner asks for a link with HEAD: that never counts")
        url = offer.tracked_links[0]
        target = await self._visitor.follows(url)
        wanted = "https://files.werkstatt-nord.example/offers/2026-118.pdf?v=2#page=3"
        self._expect(target == wanted, f"the link leads exactly where it pointed: {target}")
        altered = url[:60] + ("A" if url[60] != "A" else "B") + url[61:]
        self._expect(await self._visitor.follows(altered) is None, "a link changed in one letter leads nowhere")

    async def _another_system_reads(self, *, opened: int, clicked: int) -> None:
        self._step("The CRM reads the figures")
        messages = await self._visitor.messages()
        for one in messages:
            measurable = one["measurable"]["open"]
            self._say(
                f"{one['label']}: {one['sent']} sent, {measurable} measurable, {one['opened']} opened, "
                f"{one['clicked']} clicked; untouched: {_counts(one['untouched'])}"
            )
        self._expect(sum(one["sent"] for one in messages) == 4, "four copies went out, one of them untouched")
        self._expect(sum(one["opened"] for one in messages) == opened, f"opened by a person's mail program: {opened}")
        self._expect(sum(one["clicked"] for one in messages) == clicked, f"clicked: {clicked}")

    async def _the_rep_looks(self, rep: Rep) -> None:
        self._step("The rep signs in at the dashboard")
        self._expect(await rep.sign_in(REP, self._password), f"{REP} types the password and sees their messages")
        feed = {entry.label: entry.marks for entry in await rep.feed()}
        for label, marks in feed.items():
            self._say(f"{label}: {'; '.join(marks)}")
        offer = feed.get(OFFER["Tracker-Label"], ())
        self._expect({"Opened", "Clicked"} <= set(offer), "the offer reached Anna, and what mattered in it")

    async def _the_recipient_says_no(self, newsletter: TrackedMail, rep: Rep) -> None:
        self._step("Anna follows the link in the notice and says no")
        self._expect(await self._visitor.looks_at(newsletter.notice), "the page explains and changes nothing")
        await self._the_figures_are(opened=3, why="the figures are as before")
        self._expect(await self._visitor.presses(newsletter.notice), "she presses the one button")
        await self._the_figures_are(opened=1, why="what was measured of her is gone, also from the rate")
        self._expect(await self._visitor.loads(newsletter.pixel), "the old pixel still looks the same")
        await self._the_figures_are(opened=1, why="and nothing is recorded any more")
        state = await self._visitor.grant(ANNA)
        self._expect(state == "suppressed", f"tonight's sync says she agreed: {state}; only she can change it")
        message = _sample("newsletter.eml")
        answer = await self._visitor.rewrite(message, ANNA, CAMPAIGN)
        self._expect(answer.message == message, "her next mail leaves untouched")
        feed = {entry.label: entry.marks for entry in await rep.feed()}
        offer = feed.get(OFFER["Tracker-Label"], ("missing",))
        self._expect(
            not {"missing", "Opened", "Clicked"} & set(offer), f"the rep sees of the offer: {'; '.join(offer)}"
        )

    async def _everything_expires(self) -> None:
        days = self._settings.retention_days + 1
        self._step(f"{days} days pass")
        async with built(self._settings) as parts:
            deleted = await sweep(parts.store, utc_now() + timedelta(days=days), self._settings.proof_days)
        self._expect(deleted.get("events", 0) > 0, "the sweep deletes what is past its last day")
        for table, rows in deleted.items():
            if rows:
                self._say(f"{rows} from {table}")

    def _nothing_rests_on_disk(self) -> None:
        self._step("Database, write-ahead log and log file are searched for every address and peer")
        for path in sorted(self._folder.rglob("*")):
            if path.is_file():
                data = path.read_bytes().lower()
                for wanted in (ANNA, BERT, CARA, "127.0.0.77", "mozilla"):
                    self._expect(wanted.encode() not in data, f"{wanted} in {path.name}", quiet=True)
        self._say("found none")

    async def _the_figures_are(self, *, opened: int, why: str) -> None:
        messages = await self._visitor.messages()
        self._expect(sum(one["opened"] for one in messages) == opened, why)

    def _step(self, title: str) -> None:
        self._steps += 1
        click.secho(f"\n{self._steps}. {title}", bold=True)

    def _say(self, text: str) -> None:
        click.echo(f"   - {text}")

    def _expect(self, condition: bool, what: str, *, quiet: bool = False) -> None:
        if not condition:
            raise StoryFailed(what)
        if not quiet:
            self._say(what)


async def _installed(folder: Path) -> tuple[Settings, str, str]:
    """A new installation in FOLDER on free ports, an API key for it, and the password of all who sign in."""
    click.secho("A tracker is set up in a temporary folder", bold=True)
    public, private, dashboard = free_ports(3)
    config = await installation.create(
        folder,
        controller="Werkstatt Nord GmbH",
        contact="privacy@werkstatt-nord.example",
        public_url=f"http://127.0.0.1:{public}",
        language=Language.DE,
        now=utc_now(),
        environ={},
        live=True,  # what its people do shows at once, not when the hour is over
    )
    listen = {
        "TRACKER_PUBLIC_LISTEN": f"127.0.0.1:{public}",
        "TRACKER_PRIVATE_LISTEN": f"127.0.0.1:{private}",
        "TRACKER_DASHBOARD_LISTEN": f"127.0.0.1:{dashboard}",
        "TRACKER_DASHBOARD_URL": f"http://127.0.0.1:{dashboard}",
    }
    settings = load(config, {**listen, **STATEMENTS, **AT_ONCE})
    async with built(settings) as parts:
        scopes = frozenset({Scope.REWRITE, Scope.CONSENT, Scope.STATS})
        key = await Access(parts.store).create("demo", scopes, None, day_of(utc_now()), secrets.token_urlsafe)
        password = secrets.token_urlsafe(15)
        for login, role in STAFF.items():
            await accounts(parts).add(login, role, (), password, utc_now())
    return settings, key, password


async def _invite(visitor: Visitor, settings: Settings, folder: Path, password: str) -> None:
    """Say what there is to open in a browser; the tracker runs on."""
    logging.getLogger("tracker.demo").info("the story is told; running on")
    mail = await visitor.rewrite(_sample("newsletter.eml"), CARA, {**CAMPAIGN, "Tracker-Campaign": "for your browser"})
    offer = await visitor.rewrite(_sample("offer.eml"), CARA, {**OFFER, "Tracker-Reference": "4711"})
    await visitor.loads(offer.pixel)
    await visitor.follows(offer.tracked_links[0])
    await visitor.until_written()
    page = folder / "newsletter-for-cara.html"
    page.write_text(mail.html, encoding="utf-8")
    private = f"http://{settings.private_listen}"
    click.secho("\nOpen in your browser", bold=True)
    click.echo(f"   the tracked newsletter   file://{page}")
    click.echo(f"   the recipient's page     {mail.notice}")
    click.echo(f"   the privacy notice       {settings.public_url}/notice")
    click.echo(f"   metrics                  {private}/metrics")
    click.echo(f"   the figures              curl -H 'Authorization: Bearer {visitor.key}' {private}/v1/stats/messages")
    click.secho("\nThe dashboard", bold=True)
    click.echo(f"   sign in at               {settings.dashboard_url}")
    for login, role in STAFF.items():
        more = "" if role is Role.REP else ", who sets up a second factor first"
        click.echo(f"   {NAMES[role]:<25}{login}{more}")
    click.echo(f"   password of all three    {password}")
    click.echo("   Open the newsletter and follow a link in it: the rep's list of messages shows it.")
    click.echo("\nThe tracker runs until you press Ctrl-C; then its folder is deleted.")


def _counts(untouched: dict[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in untouched.items()) or "none"


def _sample(name: str) -> bytes:
    return files("tracker.demo").joinpath("mail", name).read_bytes()
