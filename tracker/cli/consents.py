"""The commands on consent: grant, withdraw, invite, show."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import click

from tracker.cli.common import LANGUAGE, LANGUAGES, Context, address_given, run, spoken
from tracker.cli.sections import Sections
from tracker.config import Settings
from tracker.core.calendar import date_of
from tracker.flows.asking import Invitation
from tracker.flows.consent import Lookup, ReportedConsent
from tracker.model import MAIL_PURPOSES, ConsentState, Day, Evidence, Language, Method, OwnActor, Purpose
from tracker.parts import built, utc_now

PURPOSES = click.Choice([purpose.value for purpose in sorted(MAIL_PURPOSES)])
ANY_PURPOSES = click.Choice([purpose.value for purpose in sorted(Purpose)])
METHODS = click.Choice([method.value for method in Method if method is not Method.PAGE])
ADDRESS = click.argument("address", required=False)
WHEN = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"])
TIMES = "2026-11-01 or 2026-11-01T09:00:00Z, in UTC"


@click.group(cls=Sections)
def consent() -> None:
    """Record, withdraw, ask for and prove consent.

    Without ADDRESS, or with '-', the address is read from stdin.
    """


@click.command()
@ADDRESS
@click.option("--purpose", "purposes", type=PURPOSES, multiple=True, required=True, help="To what; may be given twice.")
@click.option("--method", type=METHODS, required=True, help="How the consent was obtained.")
@click.option("--given-at", type=WHEN, metavar="TIME", required=True, help=f"When the person agreed: {TIMES}.")
@click.option("--notice", default="2026-1", show_default=True, help="The version of the text the person saw.")
@click.option("--language", type=LANGUAGES, required=True, help="That of the text the person saw.")
@click.option("--source", help="Evidence: where the consent was given.")
@click.option("--confirmed-at", type=WHEN, metavar="TIME", help="Evidence: when the person confirmed it.")
@click.option("--confirmed-by", help="Evidence: how, for example link-in-mail.")
@click.option("--document", help="Evidence: where the paper is filed.")
@click.option("--reference", help="Your own id for the person.")
@click.pass_obj
def grant(
    context: Context,
    address: str | None,
    purposes: tuple[str, ...],
    method: str,
    given_at: datetime,
    notice: str,
    language: str,
    source: str | None,
    confirmed_at: datetime | None,
    confirmed_by: str | None,
    document: str | None,
    reference: str | None,
) -> None:
    """Record that a person agreed."""
    reported = ReportedConsent(
        address=address_given(address),
        purposes=frozenset(map(Purpose, purposes)),
        method=Method(method),
        given_at=given_at.replace(tzinfo=UTC),
        notice_version=notice,
        language=Language(language),
        evidence=Evidence(
            source=source,
            confirmed_at=confirmed_at and confirmed_at.replace(tzinfo=UTC),
            confirmed_by=confirmed_by,
            document=document,
        ),
        actor=OwnActor.CLI,
        reference=reference,
    )
    state, until = run(_report(context.settings(), reported))
    click.echo(state.value if until is None else f"{state.value} until {date_of(until)}")


@click.command()
@ADDRESS
@click.option("--purpose", "purposes", type=ANY_PURPOSES, multiple=True, help="Default: all.")
@click.pass_obj
def withdraw(context: Context, address: str | None, purposes: tuple[str, ...]) -> None:
    """Record that a person said no; it counts at once.

    What was measured about them is deleted.
    """
    news = run(_withdraw(context.settings(), address_given(address), frozenset(map(Purpose, purposes))))
    click.echo("withdrawn" if news else "withdrawn before; nothing was written")


@click.command()
@ADDRESS
@click.option("--purpose", "purposes", type=PURPOSES, multiple=True, help="Default: all.")
@LANGUAGE
@click.option("--reference", help="Your own id for the person.")
@click.pass_obj
def invite(
    context: Context, address: str | None, purposes: tuple[str, ...], language: str | None, reference: str | None
) -> None:
    """Print a link by which a lawful mail of yours may ask.

    When it ends is said on stderr.
    """
    settings = context.settings()
    wanted = frozenset(map(Purpose, purposes)) or MAIL_PURPOSES
    invitation = run(_invite(settings, address_given(address), wanted, spoken(language, settings), reference))
    click.echo(invitation.url)
    click.echo(f"good for one answer until {invitation.expires_at:%Y-%m-%d %H:%M} UTC", err=True)


@click.command()
@ADDRESS
@click.pass_obj
def show(context: Context, address: str | None) -> None:
    """Show where a person stands and how it came about, as JSON."""
    lookup = run(_lookup(context.settings(), address_given(address)))
    click.echo(json.dumps(_shown(lookup), indent=2, ensure_ascii=False))


async def _report(settings: Settings, reported: ReportedConsent) -> tuple[ConsentState, Day | None]:
    async with built(settings) as parts:
        return await parts.consents.report(reported, utc_now())


async def _invite(
    settings: Settings, address: str, purposes: frozenset[Purpose], language: Language, reference: str | None
) -> Invitation:
    async with built(settings) as parts:
        return await parts.asking.invite(address, purposes, language, OwnActor.CLI, utc_now(), reference=reference)


async def _withdraw(settings: Settings, address: str, purposes: frozenset[Purpose]) -> bool:
    async with built(settings) as parts:
        return await parts.consents.withdraw(address, purposes, OwnActor.CLI, utc_now())


async def _lookup(settings: Settings, address: str) -> Lookup:
    async with built(settings) as parts:
        return await parts.consents.lookup(address, utc_now())


def _shown(lookup: Lookup) -> dict[str, object]:
    standing = lookup.standing
    return {
        "live": {purpose: str(date_of(grant.last_day)) for purpose, grant in standing.grants.items()},
        "pending": {purpose: str(date_of(one.last_day)) for purpose, one in standing.pending.items()},
        "suppressed": {purpose: str(date_of(day)) for purpose, day in standing.suppressed.items()},
        "history": [
            {
                "entry": one.entry,
                "event": one.event,
                "purposes": sorted(one.purposes),
                "at": one.recorded_at.isoformat(),
                "actor": one.actor,
                "method": one.method,
                "given_at": one.given_at and one.given_at.isoformat(),
                "notice_version": one.notice_version,
                "language": one.language,
                "kept_until": str(date_of(one.last_day)),
            }
            for one in lookup.history
        ],
    }
