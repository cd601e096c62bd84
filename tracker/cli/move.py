"""The commands that bring a database somewhere else: to PostgreSQL, to the next release."""

from __future__ import annotations

import os
import sys

import click

from tracker.cli.common import Context, run
from tracker.config import Settings, found_config
from tracker.config_values import database_url, masked
from tracker.core.calendar import day_of
from tracker.keyfile import KeyFile
from tracker.model import BadSetting
from tracker.parts import utc_now
from tracker.store.migrate import upgrade as upgrade_database
from tracker.store.moving import Moved, Progress, move


class _Bar(Progress):
    """A progress bar on stderr, where that is a terminal."""

    def __init__(self) -> None:
        self._bar = click.progressbar(length=0, label="copying", file=sys.stderr, show_pos=True)

    def begin(self, rows: int) -> None:
        self._bar.length = rows
        self._bar.render_progress()

    def copied(self, rows: int) -> None:
        self._bar.update(rows)

    def end(self) -> None:
        self._bar.render_finish()


@click.command("migrate-store")
@click.argument("url", metavar="URL")
@click.pass_obj
def migrate_store(context: Context, url: str) -> None:
    """Copy an SQLite installation into an empty PostgreSQL one.

    Stop the server first. URL: postgresql+asyncpg://USER:PASSWORD@HOST/DATABASE; with "-" it is read from stdin, so
    that nobody sees the password among the processes. The file stays as it is.
    """
    settings = context.settings()
    target = _target(sys.stdin.readline() if url == "-" else url)
    bar = _Bar()
    try:
        moved = run(_move(settings, target, bar))
    finally:
        bar.end()
    click.echo(f"copied {sum(moved.rows.values())} rows of {len(moved.rows)} tables; each has as many as in the file")
    if moved.left_out:
        click.echo(f"left out {moved.left_out} rows of mail that is past its day")
    click.echo(f"the ledger's chain holds there, too: {moved.entries} entries, head {moved.entries}:{moved.head.hex()}")
    config = found_config(context.config, os.environ)
    click.echo(f"Next: in {config.name if config else 'the settings'}, or in TRACKER_DATABASE_URL_FILE, set")
    click.echo(f'    database_url = "{masked(target)}"')
    click.echo("and start the server. Key file and journal stay where they are. Delete the file when all is well.")


@click.command()
@click.pass_obj
def upgrade(context: Context) -> None:
    """Bring the database to this release.

    Servers of the release before may run meanwhile; upgrade them one by one afterwards. Make a backup first.
    """
    before, after = run(upgrade_database(context.settings().database_url))
    if before == after:
        click.echo(f"nothing to do: the database is at {after}")
    else:
        click.echo(f"the database went from {before} to {after}")


def _target(text: str) -> str:
    try:
        return database_url(text)
    except ValueError as error:
        raise BadSetting(f"URL: {error}") from None


async def _move(settings: Settings, target: str, progress: Progress) -> Moved:
    ring = KeyFile(settings.key_file).load()
    return await move(settings.database_url, target, ring.fingerprint, ring.ledger_key, day_of(utc_now()), progress)
