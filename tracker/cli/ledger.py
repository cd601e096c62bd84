"""The commands on the ledger as a whole: head, verify, expiring."""

from __future__ import annotations

import sys

import click

from tracker.cli.common import Context, run
from tracker.config import Settings
from tracker.core.calendar import date_of, day_of
from tracker.flows import verification
from tracker.flows.verification import Head, Verification
from tracker.parts import built, utc_now
from tracker.store.expiring import Expiring


@click.command()
@click.pass_obj
def head(context: Context) -> None:
    """Print the ledger's head, for your own files.

    With it you can show later that nothing was rewritten.
    """
    click.echo(str(run(_head(context.settings()))))


@click.command()
@click.option("--head", "kept", metavar="HASH", help="A head that `tracker consent head` printed earlier.")
@click.pass_obj
def verify(context: Context, kept: str | None) -> None:
    """Check that no entry of the ledger was changed or removed.

    Nor reordered, nor cut off. Exits 1 when one was.
    """
    found = run(_verify(context.settings(), None if kept is None else verification.read_head(kept)))
    for remark in found.remarks:
        click.echo(f"note  {remark}")
    for fault in found.faults:
        click.echo(f"WRONG {fault}")
    if found.faults:
        sys.exit(1)
    click.echo(f"ok    {found.head.entry} entries, each as it was written; head {found.head}")


@click.command()
@click.option("--days", type=click.IntRange(1, 3_650), default=30, show_default=True, help="How far to look ahead.")
@click.pass_obj
def expiring(context: Context, days: int) -> None:
    """List the consents that end soon.

    How many people each day, and each system's own references for them.
    """
    found = run(_expiring(context.settings(), days))
    if not found:
        click.echo(f"No consent ends within {days} days.")
    for day in found:
        click.echo(f"{date_of(day.day)}  {day.people} {'person' if day.people == 1 else 'people'}")
        for source, references in day.references.items():
            click.echo(f"    {source}: {', '.join(references)}")


async def _head(settings: Settings) -> Head:
    async with built(settings) as parts:
        return await verification.head(parts.store)


async def _verify(settings: Settings, kept: Head | None) -> Verification:
    async with built(settings) as parts:
        return await verification.verify(parts.store, parts.journal, kept, utc_now())


async def _expiring(settings: Settings, days: int) -> tuple[Expiring, ...]:
    async with built(settings) as parts:
        return await parts.store.expiring(day_of(utc_now()), days)
