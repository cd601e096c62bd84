"""The commands for the day on which something is lost: backup, restore-check."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import click

from tracker import backup as backups
from tracker.cli.common import Context, run
from tracker.config import Settings, found_config
from tracker.flows.restore import Decision, Restore, Restored
from tracker.model import BadJournal
from tracker.parts import Parts, built, utc_now
from tracker.store.journal import Journal


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.pass_obj
def backup(context: Context, folder: Path) -> None:
    """Copy database, journal and settings into DIR.

    Never the keys. DIR must be new or empty. The server may run meanwhile.
    """
    settings = context.settings()
    copied = run(_backup(settings, found_config(context.config, os.environ), folder.absolute()))
    click.echo(f"copied {', '.join(copied)}; the keys are not among them: keep a copy of the key file elsewhere")
    click.echo(f"Delete this backup within {settings.backup_days} days (setting backup_days).")


@click.command("restore-check")
@click.argument("journals", metavar="[JOURNAL]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--end-grants", is_flag=True, help="End every grant: nobody can vouch for any.")
@click.option("--not-restored", is_flag=True, help="Say that this database was never replaced by an older one.")
@click.option("--new-server", is_flag=True, help="Begin the journal of a server that joins others.")
@click.pass_obj
def restore_check(
    context: Context, journals: tuple[Path, ...], end_grants: bool, not_restored: bool, new_server: bool
) -> None:
    """Check a restored database, so that mail is tracked again.

    For when its journal alone could not mend it. JOURNAL: the journal folders of other servers, or a copy of this
    server's own.
    """
    if end_grants + not_restored + new_server > 1 or (new_server and journals):
        raise click.UsageError("--end-grants, --not-restored and --new-server exclude each other")
    if new_server:
        run(_join(context.settings()))
        click.echo("a new journal was begun; the other servers keep theirs")
        return
    decision = Decision.END_GRANTS if end_grants else Decision.NOT_RESTORED if not_restored else Decision.NONE
    done = run(_check(context.settings(), journals, decision))
    click.echo(f"{done.replayed} {'no was' if done.replayed == 1 else 'nos were'} replayed")
    if end_grants:
        click.echo(f"{done.ended} grants ended; consents from before now wait for the person's own word")
    if done.begun:
        click.echo("a new journal was begun")
    if done.aside is not None:
        click.echo(f"the old one lies in {done.aside.name}; it goes by itself, as the months of a journal do")


async def _backup(settings: Settings, config: Path | None, folder: Path) -> tuple[str, ...]:
    async with built(settings) as parts:
        return await backups.make(settings, parts.store, parts.journal, config, folder)


async def _join(settings: Settings) -> None:
    async with built(settings) as parts:
        await _restore(settings, parts).join(utc_now())
        if parts.in_step.trouble:
            raise BadJournal(parts.in_step.trouble)


def _restore(settings: Settings, parts: Parts) -> Restore:
    return Restore(parts.store, parts.journal, parts.in_step, secrets.token_bytes, proof_days=settings.proof_days)


async def _check(settings: Settings, folders: tuple[Path, ...], decision: Decision) -> Restored:
    async with built(settings) as parts:
        key = parts.keys().ring.journal_key
        done = await _restore(settings, parts).check([Journal(folder, key) for folder in folders], decision, utc_now())
        if parts.in_step.trouble:
            raise BadJournal(parts.in_step.trouble)
        return done
